package recipe

import (
	"bytes"
	"strings"
)

// lineLexer reads one directive a line: words after a key, or a value after an operator, in
// sections marked by brackets, angles, braces or keywords.
type lineLexer struct {
	*document
	at     int
	stack  []int // sections that must be closed, innermost last; stack[0] is the file
	paren  int
	closed int  // after the last closing parenthesis of the statement at hand
	broken bool // the statement at hand cannot be trusted
}

func lexLines(d *document) {
	l := lineLexer{document: d, stack: []int{0}}
	for l.at < len(l.content) {
		l.skipBlanks()
		switch {
		case l.at >= len(l.content):
		case l.content[l.at] == '\n':
			l.at++
		case l.commentAt(l.at, true):
			l.skipComment()
		case l.grammar.Brackets && l.content[l.at] == '[':
			l.bracket()
		case l.grammar.Angles && l.content[l.at] == '<':
			l.angle()
		case l.grammar.Braces && l.content[l.at] == '}':
			l.at++
			l.closeSection()
		default:
			l.statement()
		}
	}
}

func (l *lineLexer) current() int { return l.stack[len(l.stack)-1] }

// skipBlanks goes over blanks and continued line ends.
func (l *lineLexer) skipBlanks() {
	for l.at < len(l.content) {
		if n := l.continued(l.at); n > 0 {
			l.at += n
		} else if isBlank(l.content[l.at]) {
			l.at++
		} else {
			return
		}
	}
}

// continued gives the length of a backslash with the newline after it, 0 where none stands at i.
func (l *lineLexer) continued(i int) int {
	switch {
	case !l.grammar.Continuation || i >= len(l.content) || l.content[i] != '\\':
	case hasAt(l.content, i, "\\\n"):
		return 2
	case hasAt(l.content, i, "\\\r\n"):
		return 3
	}
	return 0
}

// commentAt tells whether a comment starts at i. first says that only blanks stand before it.
func (l *lineLexer) commentAt(i int, first bool) bool {
	if first && signAt(l.content, i, l.grammar.CommentLines) != "" {
		return true
	}
	return signAt(l.content, i, l.grammar.Comments) != ""
}

// skipComment goes to the line's end; where lines continue, so do comments (httpd joins first).
func (l *lineLexer) skipComment() {
	for l.at < len(l.content) && l.content[l.at] != '\n' {
		l.at += max(1, l.continued(l.at))
	}
}

func (l *lineLexer) skipLine() { l.at = lineEnd(l.content, l.at) }

// bracket reads "[section]"; the next one ends it. TOML's "[[table]]" reads the same.
func (l *lineLexer) bracket() {
	end := lineEnd(l.content, l.at)
	start := l.at
	for start < end && l.content[start] == '[' {
		start++
	}
	closing := start
	for closing < end && l.content[closing] != ']' {
		closing++
	}
	l.at = end
	if closing == end || closing == start {
		l.misfits++
		return
	}
	w := word{start: start, end: closing, rawStart: start, rawEnd: closing}
	l.stack = l.stack[:1]
	if next, ok := l.open(statement{words: []word{w}, start: start, end: closing}, 0, 1, end); ok {
		l.stack = append(l.stack, next)
	}
}

// angle reads "<Section args>" and "</Section>".
func (l *lineLexer) angle() {
	if hasAt(l.content, l.at, "</") {
		l.skipLine()
		l.closeSection()
		return
	}
	start := l.at
	l.at++
	words := l.words(false)
	l.skipLine()
	if len(words) == 0 {
		l.misfits++
		return
	}
	last := &words[len(words)-1]
	if l.content[last.rawEnd-1] != '>' {
		l.misfits++
		return
	}
	last.rawEnd--
	last.end = min(last.end, last.rawEnd)
	if last.rawEnd <= last.rawStart { // "<Section arg >"
		words = words[:len(words)-1]
	}
	l.enter(statement{words: words, start: start, end: l.at})
}

func (l *lineLexer) closeSection() {
	if len(l.stack) == 1 {
		l.misfits++
		return
	}
	if s := l.sections[l.current()]; s.header < len(l.statements) && l.current() != l.stack[len(l.stack)-2] {
		l.statements[s.header].end = l.at
	}
	l.stack = l.stack[:len(l.stack)-1]
}

func (l *lineLexer) enter(st statement) {
	if next, ok := l.open(st, l.current(), len(l.stack), st.end); ok {
		l.stack = append(l.stack, next)
	} else {
		l.stack = append(l.stack, l.current())
		if len(l.stack) > 2*maxDepth { // lost: read no further
			l.at = len(l.content)
		}
	}
}

// statement reads a key, its operator and its words.
func (l *lineLexer) statement() {
	start := l.at
	l.broken, l.paren, l.closed = false, 0, start
	opEnd := start
	st := statement{start: start, words: []word{l.name()}}
	l.skipBlanks()
	if op := signAt(l.content, l.at, l.grammar.Operators); op != "" {
		st.operator = true
		l.at += len(op)
		opEnd = l.at
		l.skipBlanks()
	}
	braced := false
	if l.grammar.Whole {
		if w, ok := l.whole(); ok {
			st.words = append(st.words, w)
		}
	} else {
		st.words = append(st.words, l.joined(l.words(true))...)
		braced = l.grammar.Braces && l.at < len(l.content) && l.content[l.at] == '{'
	}
	st.end = max(st.words[len(st.words)-1].rawEnd, start)
	st.end = max(st.end, opEnd, l.closed) // "key =" without a value; "key = ( … )"
	l.place(st, braced)
}

// place puts a finished statement where it stands, and opens the section that it may start.
func (l *lineLexer) place(st statement, braced bool) {
	g := l.grammar
	key := l.key(&st)
	switch {
	case l.broken || st.words[0].rawEnd == st.words[0].rawStart && !braced:
		l.misfits++
	case braced:
		l.at++
		st.end = l.at
		if st.words[0].rawEnd == st.words[0].rawStart { // a block without a name: the key is its brace
			st.words[0].rawEnd = st.end
		}
		l.enter(st)
	case g.sectionWords[key]:
		l.stack = l.stack[:1]
		l.enter(st)
	case g.OpensBare && st.operator && len(st.words) == 1:
		l.stack = l.stack[:1]
		l.enter(st)
	case g.NeedOperator && !st.operator:
		l.misfits++
	default:
		st.section = l.current()
		l.add(st)
	}
}

// name reads the first word, the key, up to a blank or an operator; brackets and quotes in it are kept whole
// (lighttpd's $SERVER["socket"]).
func (l *lineLexer) name() word {
	w := word{start: l.at, rawStart: l.at}
	if c := l.content[l.at]; strings.IndexByte(l.grammar.Quotes, c) >= 0 {
		if end := quoteEnd(l.content, l.at, false); end > 0 {
			l.at = end + 1
			return word{start: w.start + 1, end: end, rawStart: w.start, rawEnd: l.at, quoted: true}
		}
	}
	for ; l.at < len(l.content); l.at++ {
		c := l.content[l.at]
		if isSpace(c) || l.continued(l.at) > 0 || signAt(l.content, l.at, l.grammar.Operators) != "" {
			break
		}
		if l.grammar.Braces && (l.braceAt(l.at) || c == '}') {
			break
		}
		if c == '[' {
			for l.at < len(l.content) && l.content[l.at] != ']' && l.content[l.at] != '\n' {
				l.at++
			}
			if l.at >= len(l.content) || l.content[l.at] == '\n' {
				break
			}
		}
	}
	w.end, w.rawEnd = l.at, l.at
	return w
}

// braceAt tells whether the "{" at i opens a block: one that is glued to a word is a placeholder.
func (l *lineLexer) braceAt(i int) bool {
	return l.content[i] == '{' && (i+1 >= len(l.content) || isSpace(l.content[i+1]) || l.content[i+1] == '}')
}

// whole reads the rest of the line as one value: unquoted where one pair of quotes holds all of it.
func (l *lineLexer) whole() (word, bool) {
	start := l.at
	if start >= len(l.content) || l.content[start] == '\n' {
		return word{}, false
	}
	if delim := signAt(l.content, start, l.grammar.Multiline); delim != "" {
		return l.multiline(delim)
	}
	if strings.IndexByte(l.grammar.Quotes, l.content[start]) >= 0 {
		if end := quoteEnd(l.content, start, false); end > 0 && l.endsAt(end+1) {
			l.skipLine()
			return word{start: start + 1, end: end, rawStart: start, rawEnd: end + 1, quoted: true}, true
		}
	}
	end := start
	for i := start; i < len(l.content) && l.content[i] != '\n'; i++ {
		if i > start && isBlank(l.content[i-1]) && l.commentAt(i, false) || i == start && l.commentAt(i, false) {
			break
		}
		if !isBlank(l.content[i]) {
			end = i + 1
		}
	}
	l.skipLine()
	return word{start: start, end: end, rawStart: start, rawEnd: end}, end > start
}

// multiline reads TOML's three-quoted strings.
func (l *lineLexer) multiline(delim string) (word, bool) {
	start := l.at
	n := bytes.Index(l.content[start+3:], []byte(delim))
	if n < 0 {
		l.broken = true
		l.at = len(l.content)
		return word{}, false
	}
	l.at = start + 3 + n + 3
	return word{start: start + 3, end: start + 3 + n, rawStart: start, rawEnd: l.at, quoted: true}, true
}

// endsAt tells whether nothing but blanks and a comment follows on the line.
func (l *lineLexer) endsAt(i int) bool {
	for i < len(l.content) && isBlank(l.content[i]) {
		i++
	}
	return i >= len(l.content) || l.content[i] == '\n' || l.commentAt(i, false)
}

// words reads the words up to the line's end, past it while a parenthesis is open. It stops before
// a brace of the grammar.
func (l *lineLexer) words(comments bool) []word {
	var out []word
	for l.at < len(l.content) {
		l.skipBlanks()
		if l.at >= len(l.content) || l.content[l.at] == '\n' && l.paren == 0 {
			break
		}
		c := l.content[l.at]
		switch {
		case c == '\n':
			l.at++
		case comments && l.commentAt(l.at, l.paren > 0):
			l.skipComment()
		case l.grammar.Parens && (c == '(' || c == ')' || c == ','):
			l.parenthesis(c)
		case l.grammar.Braces && (l.braceAt(l.at) || c == '}') && l.paren == 0:
			return out
		default:
			if w := l.word(); len(out) < maxWords {
				out = append(out, w)
			}
		}
	}
	return out
}

// joined takes what is added to a word out of the list: only its beginning is fixed.
func (l *lineLexer) joined(words []word) []word {
	if l.grammar.Join == "" {
		return words
	}
	out := words[:0]
	for i := 0; i < len(words); i++ {
		if !words[i].quoted && l.text(words[i]) == l.grammar.Join && len(out) > 0 {
			out[len(out)-1].partial = true
			out[len(out)-1].rawEnd = words[min(i+1, len(words)-1)].rawEnd
			i++
			continue
		}
		out = append(out, words[i])
	}
	return out
}

func (l *lineLexer) parenthesis(c byte) {
	switch {
	case c == '(':
		l.paren++
	case c == ')' && l.paren > 0:
		l.paren--
		l.closed = l.at + 1
	}
	l.at++
}

// word reads one word; quotes count at its start, and inside it where the grammar says so.
func (l *lineLexer) word() word {
	g, start := l.grammar, l.at
	w := word{start: start, rawStart: start}
	for l.at < len(l.content) {
		c := l.content[l.at]
		switch {
		case strings.IndexByte(g.Quotes, c) >= 0 && (l.at == start || g.InnerQuotes):
			end := quoteEnd(l.content, l.at, l.paren > 0)
			if end < 0 {
				l.broken = true
				l.skipLine()
				w.end, w.rawEnd = l.at, l.at
				return w
			}
			if l.at == start && l.wordEnds(end+1) {
				l.at = end + 1
				return word{start: start + 1, end: end, rawStart: start, rawEnd: l.at, quoted: true}
			}
			l.at = end + 1
		case c == '\\' && l.at+1 < len(l.content) && l.content[l.at+1] != '\n' && l.continued(l.at) == 0:
			l.at += 2
		case l.at > start && l.wordEnds(l.at):
			w.end, w.rawEnd = l.at, l.at
			return w
		default:
			l.at++
		}
	}
	w.end, w.rawEnd = l.at, l.at
	return w
}

// wordEnds tells whether a word cannot go on at i.
func (l *lineLexer) wordEnds(i int) bool {
	if i >= len(l.content) || isSpace(l.content[i]) || l.continued(i) > 0 {
		return true
	}
	c := l.content[i]
	if l.grammar.Parens && (c == '(' || c == ')' || c == ',') {
		return true
	}
	return l.grammar.Braces && (l.braceAt(i) || c == '}' && l.grammar.Parens)
}
