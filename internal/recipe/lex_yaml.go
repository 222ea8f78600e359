package recipe

import "strings"

// yamlLexer reads the scalars of block-style YAML by lines: keys with their indentation, quotes,
// comments and block scalars; flow collections go to the JSON lexer. It resolves no anchors and
// no tags, and knows exact bytes, which a YAML node (line and column in characters) does not give.
type yamlLexer struct {
	*document
	at    int
	stack []yamlLevel
}

// yamlLevel is a mapping key whose value is a block: what is indented deeper belongs to it.
type yamlLevel struct {
	indent  int
	section int
	key     word
}

func lexYAML(d *document) {
	l := yamlLexer{document: d, stack: []yamlLevel{{indent: -1}}}
	for l.at < len(l.content) {
		start := l.at
		l.line()
		if l.at <= start {
			l.at = start + 1 // the line readers always move; this keeps a mistake from hanging
		}
	}
}

// line reads one line, and the lines that its value takes.
func (l *yamlLexer) line() {
	start := l.at
	for l.at < len(l.content) && l.content[l.at] == ' ' {
		l.at++
	}
	indent := l.at - start
	end := lineEnd(l.content, l.at)
	rest := strings.TrimRight(string(l.content[l.at:min(end, l.at+4)]), " \r")
	switch {
	case rest == "" || rest[0] == '#':
	case indent == 0 && (rest == "---" || rest == "..." || rest[0] == '%'):
		l.stack = l.stack[:1]
	case rest[0] == '\t':
		l.misfits++
	default:
		l.entry(indent, end)
		return
	}
	l.at = end + 1
}

// entry reads "- - key: value" from the first character on the line.
func (l *yamlLexer) entry(indent, end int) {
	item := false
	for l.content[l.at] == '-' && (l.at+1 >= end || isBlank(l.content[l.at+1])) {
		l.pop(indent, true)
		from := l.at
		for l.at++; l.at < end && isBlank(l.content[l.at]); l.at++ {
		}
		item = true
		if l.at >= end || l.content[l.at] == '#' {
			l.at = end + 1
			return
		}
		indent += l.at - from
	}
	l.pop(indent, item)
	key, ok := l.mappingKey(end)
	switch {
	case ok:
		l.value(indent, key, end)
	case item:
		l.scalar(indent-1, l.top().key, false, end)
	default:
		l.at = end + 1 // a plain scalar that goes on, or a document of one scalar
		l.misfits++
	}
}

func (l *yamlLexer) top() yamlLevel { return l.stack[len(l.stack)-1] }

// pop leaves the blocks that a line at this indentation does not belong to. A sequence may stand
// at the indentation of its own key.
func (l *yamlLexer) pop(indent int, item bool) {
	for len(l.stack) > 1 {
		top := l.top()
		if top.indent < indent || item && top.indent == indent && top.key.rawEnd > 0 {
			return
		}
		l.stack = l.stack[:len(l.stack)-1]
	}
}

// mappingKey reads a key and its colon, or nothing.
func (l *yamlLexer) mappingKey(end int) (word, bool) {
	start := l.at
	w := word{start: start, rawStart: start}
	i := start
	if c := l.content[i]; c == '"' || c == '\'' {
		closing := literalEnd(l.content[:end], i, false)
		if closing < 0 {
			return w, false
		}
		w.start, w.end, w.rawEnd, w.quoted, i = start+1, closing, closing+1, true, closing+1
		for i < end && isBlank(l.content[i]) {
			i++
		}
		if i >= end || l.content[i] != ':' {
			return w, false
		}
	} else {
		if strings.IndexByte("{[|>&*!%@`", c) >= 0 {
			return w, false
		}
		for i < end && !(l.content[i] == ':' && (i+1 == end || isBlank(l.content[i+1]))) {
			if l.content[i] == '#' && isBlank(l.content[max(start, i-1)]) {
				return w, false
			}
			i++
		}
		if i >= end {
			return w, false
		}
		w.end = start + len(strings.TrimRight(string(l.content[start:i]), " \t"))
		w.rawEnd = w.end
	}
	l.at = i + 1
	return w, w.rawEnd > w.rawStart
}

// value reads what follows "key:".
func (l *yamlLexer) value(indent int, key word, end int) {
	for l.at < end && isBlank(l.content[l.at]) {
		l.at++
	}
	for l.at < end && (l.content[l.at] == '&' || l.content[l.at] == '!') {
		for l.at < end && !isBlank(l.content[l.at]) {
			l.at++
		}
		for l.at < end && isBlank(l.content[l.at]) {
			l.at++
		}
	}
	if l.at >= end || l.content[l.at] == '#' {
		st := statement{words: []word{key}, start: key.rawStart, end: key.rawEnd}
		if next, ok := l.open(st, l.top().section, len(l.stack), end); ok {
			l.stack = append(l.stack, yamlLevel{indent: indent, section: next, key: key})
		}
		l.at = end + 1
		return
	}
	l.scalar(indent, key, true, end)
}

// scalar reads a value that starts on this line. own says that the key stands on it too.
func (l *yamlLexer) scalar(indent int, key word, own bool, end int) {
	start := l.at
	w := word{start: start, rawStart: start}
	switch c := l.content[start]; c {
	case '|', '>':
		l.skipBlock(indent, end)
		return
	case '{', '[':
		f := flowLexer{document: l.document, at: start, stack: []flowLevel{{section: l.top().section, key: key}}}
		f.value()
		l.at = lineEnd(l.content, max(f.at, start+1)) + 1
		return
	case '"', '\'':
		closing := literalEnd(l.content, start, true)
		if closing < 0 {
			l.misfits++
			l.at = len(l.content)
			return
		}
		w.start, w.end, w.rawEnd, w.quoted = start+1, closing, closing+1, true
		end = lineEnd(l.content, closing)
	default:
		stop := start
		for stop < end && !(l.content[stop] == '#' && isBlank(l.content[max(start, stop-1)])) {
			stop++
		}
		w.end = start + len(strings.TrimRight(string(l.content[start:stop]), " \t\r"))
		w.rawEnd = w.end
	}
	l.at = end + 1
	if w.rawEnd <= w.rawStart || key.rawEnd == key.rawStart {
		return
	}
	from := w.rawStart
	if own {
		from = key.rawStart
	}
	l.add(statement{words: []word{key, w}, start: from, end: w.rawEnd, section: l.top().section, operator: true})
}

// skipBlock goes over a block scalar: every line that is blank or deeper than its key.
func (l *yamlLexer) skipBlock(indent, end int) {
	l.at = end + 1
	for l.at < len(l.content) {
		i := l.at
		for i < len(l.content) && l.content[i] == ' ' {
			i++
		}
		stop := lineEnd(l.content, i)
		if i-l.at <= indent && strings.TrimSpace(string(l.content[i:stop])) != "" {
			return
		}
		l.at = stop + 1
	}
}
