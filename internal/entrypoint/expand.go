package entrypoint

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

const (
	maxWords  = 1024 // words of one command that are tracked
	maxBraces = 64   // words that one brace expansion gives
)

// fields collects the words that one written word becomes.
type fields struct {
	done []value
	cur  value
	has  bool // cur is a field even if it is empty
	open bool // words that are not known may be among them
}

func newFields() *fields { return &fields{cur: known("")} }

func (f *fields) add(v value) { f.cur, f.has = f.cur.then(v), true }

func (f *fields) cut() {
	if f.has {
		f.done = append(f.done, f.cur)
	}
	f.cur, f.has = known(""), false
}

// addSplit adds an unquoted expansion, which the shell splits at blanks.
func (f *fields) addSplit(v value) {
	switch {
	case v.nature == absent && !f.has:
		f.open = true
		return
	case v.nature != plain || !v.whole:
		f.add(v)
		f.open = f.open || v.nature == plain || v.nature == absent
		return
	}
	for i, piece := range strings.FieldsFunc(v.text, isBlank) {
		if i > 0 || isBlank(rune(v.text[0])) {
			f.cut()
		}
		p := v
		p.text, p.glob = piece, strings.ContainsAny(piece, "*?[")
		f.add(p)
	}
	if n := len(v.text); n > 0 && isBlank(rune(v.text[n-1])) {
		f.cut()
	}
}

func isBlank(c rune) bool { return c == ' ' || c == '\t' || c == '\n' }

// words expands the words of a command. open means that more words may be there than are given.
func (r *run) words(args []*syntax.Word, c context) (out []word, open bool) {
	for _, w := range args {
		for _, each := range braces(w) {
			list, more := r.word(each, w, c)
			out, open = append(out, list...), open || more
		}
		if len(out) > maxWords {
			r.steps += len(out) / 16
			return out[:maxWords], true
		}
	}
	r.steps += len(out) / 16 // long lists cost time in everything that is done with them
	return out, open
}

// braces gives the words of a brace expansion such as /a/{b,c}; w itself where there is none or too many.
func braces(w *syntax.Word) []*syntax.Word {
	var text strings.Builder
	for _, p := range w.Parts {
		if lit, ok := p.(*syntax.Lit); ok {
			text.WriteString(lit.Value)
		}
	}
	if lit := text.String(); !strings.Contains(lit, "{") || !strings.Contains(lit, ",") || strings.Contains(lit, "..") {
		return []*syntax.Word{w}
	}
	parted := &syntax.Word{Parts: append([]syntax.WordPart(nil), w.Parts...)}
	if !syntax.SplitBraces(parted) {
		return []*syntax.Word{w}
	}
	out := unbrace(parted.Parts)
	if len(out) > maxBraces {
		return []*syntax.Word{w}
	}
	return out
}

func unbrace(parts []syntax.WordPart) []*syntax.Word {
	out := []*syntax.Word{{}}
	for _, p := range parts {
		b, ok := p.(*syntax.BraceExp)
		var ways []*syntax.Word
		if !ok {
			ways = []*syntax.Word{{Parts: []syntax.WordPart{p}}}
		} else {
			for _, e := range b.Elems {
				ways = append(ways, unbrace(e.Parts)...)
			}
		}
		var next []*syntax.Word
		for _, head := range out {
			for _, tail := range ways {
				if len(next) > maxBraces {
					return next
				}
				parts := append(append([]syntax.WordPart(nil), head.Parts...), tail.Parts...)
				next = append(next, &syntax.Word{Parts: parts})
			}
		}
		out = next
	}
	return out
}

// word expands one word, written as node.
func (r *run) word(w, node *syntax.Word, c context) ([]word, bool) {
	if list, ok := r.wholeList(w, c); ok {
		return list, false
	}
	f := newFields()
	for i, p := range w.Parts {
		if lit, ok := p.(*syntax.Lit); ok {
			f.add(r.literal(lit.Value, i == 0))
			continue
		}
		r.part(f, p, false, c)
	}
	f.cut()
	out := make([]word, 0, len(f.done))
	at := c.in.span(node)
	for _, v := range f.done {
		out = append(out, word{value: v, in: c.in, at: at, here: at, part: len(f.done) > 1 || w != node})
	}
	return out, f.open
}

// wholeList gives the words of "$@", $*, "${array[@]}" and of $(find …), where such an expansion is all of the word.
func (r *run) wholeList(w *syntax.Word, c context) ([]word, bool) {
	if len(w.Parts) != 1 {
		return nil, false
	}
	p, quoted := w.Parts[0], false
	if q, ok := p.(*syntax.DblQuoted); ok && len(q.Parts) == 1 {
		p, quoted = q.Parts[0], true
	}
	switch p := p.(type) {
	case *syntax.ParamExp:
		list, ok := r.listParam(p, quoted)
		if !ok || r.st.argsOpen && isArgs(p) {
			return nil, false
		}
		used := make([]word, len(list))
		for i, each := range list {
			each.here = c.in.span(w)
			used[i] = each
		}
		return used, true
	case *syntax.CmdSubst:
		if quoted || len(p.Stmts) != 1 {
			return nil, false
		}
		if files, ok := r.listing(p.Stmts[0], c); ok {
			var out []word
			for _, f := range files {
				out = append(out, word{value: known(f), in: c.in, at: c.in.span(w), here: c.in.span(w), part: true})
			}
			return out, true
		}
	}
	return nil, false
}

func isArgs(p *syntax.ParamExp) bool {
	return p.Param != nil && (p.Param.Value == "@" || p.Param.Value == "*")
}

// listParam gives the words of $@, "${@:2}", ${array[@]} … as a list that keeps where each was written.
func (r *run) listParam(p *syntax.ParamExp, quoted bool) ([]word, bool) {
	if p.Param == nil || p.Length || p.Excl || p.Repl != nil || p.Exp != nil {
		return nil, false
	}
	list := r.st.args
	if !isArgs(p) {
		v := r.st.vars.get(p.Param.Value)
		if !v.array || !wholeIndex(p.Index) || quoted && indexText(p.Index) == "*" {
			return nil, false
		}
		list = v.list
		if !v.whole {
			return nil, false
		}
	} else if quoted && p.Param.Value == "*" {
		return nil, false
	}
	if p.Slice != nil {
		from, ok := literalNumber(p.Slice.Offset)
		if !ok || p.Slice.Length != nil || from < 0 {
			return nil, false
		}
		if isArgs(p) {
			from = max(from-1, 0)
		}
		list = list[min(from, len(list)):]
	}
	return list, true
}

func wholeIndex(x syntax.ArithmExpr) bool { return indexText(x) == "@" || indexText(x) == "*" }

func indexText(x syntax.ArithmExpr) string {
	if w, ok := x.(*syntax.Word); ok {
		return w.Lit()
	}
	return ""
}

func literalNumber(x syntax.ArithmExpr) (int, bool) {
	n, err := strconv.Atoi(indexText(x))
	return n, err == nil
}

// literal is unquoted text: escapes are taken away, a leading tilde is the home directory.
func (r *run) literal(s string, first bool) value {
	home := value{}
	if first && (s == "~" || strings.HasPrefix(s, "~/")) {
		home = r.st.vars.get("HOME").value
		if home.nature == absent {
			home = unknown()
		}
		return home.then(r.literal(s[1:], false))
	}
	if first && strings.HasPrefix(s, "~") {
		return unknown()
	}
	glob := pattern.HasMeta(s, 0)
	return value{text: unescape(s, ""), whole: true, glob: glob}
}

// unescape takes away the backslashes that the shell takes away: all of them outside quotes (only is ""),
// only those before one of the characters inside.
func unescape(s, only string) string {
	if !strings.Contains(s, "\\") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (only == "" || strings.IndexByte(only, s[i+1]) >= 0) {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (r *run) part(f *fields, p syntax.WordPart, quoted bool, c context) {
	add := f.addSplit
	if quoted {
		add = f.add
	}
	switch p := p.(type) {
	case *syntax.Lit: // inside double quotes
		f.add(known(unescape(p.Value, "\"\\$`\n")))
	case *syntax.SglQuoted:
		if p.Dollar && strings.Contains(p.Value, "\\") {
			f.add(unknown())
			return
		}
		f.add(known(p.Value))
	case *syntax.DblQuoted:
		f.has = f.has || !r.emptyList(p)
		for _, q := range p.Parts {
			r.part(f, q, true, c)
		}
	case *syntax.ParamExp:
		r.paramPart(f, p, quoted, c)
	case *syntax.CmdSubst:
		add(r.capture(p, c))
	case *syntax.ArithmExp:
		add(r.arith(p.X, c, 0).value())
	case *syntax.ProcSubst:
		r.apart(func() verdict { return r.list(p.Stmts, c.inCondition()) }, executed)
		f.add(unknown())
	default:
		f.add(value{glob: true})
	}
}

// emptyList reports whether "…" is a list expansion alone, which can give no word at all.
func (r *run) emptyList(q *syntax.DblQuoted) bool {
	if len(q.Parts) != 1 {
		return false
	}
	p, ok := q.Parts[0].(*syntax.ParamExp)
	if !ok || p.Param == nil {
		return false
	}
	return p.Param.Value == "@" || indexText(p.Index) == "@"
}

// paramPart adds a parameter inside a longer word, where "$@" gives several words too.
func (r *run) paramPart(f *fields, p *syntax.ParamExp, quoted bool, c context) {
	list, ok := r.listParam(p, quoted)
	if !ok && quoted && isArgs(p) && p.Param.Value == "*" && p.Exp == nil && p.Slice == nil {
		list = []word{{value: r.joined(r.st.args, r.st.argsOpen)}}
		ok = true
	}
	if !ok {
		v := r.param(p, c)
		if quoted {
			f.add(v)
		} else {
			f.addSplit(v)
		}
		return
	}
	for i, w := range list {
		if i > 0 {
			f.cut()
		}
		f.add(w.value)
	}
	if isArgs(p) && r.st.argsOpen {
		f.open = true
		if f.has {
			f.cur.whole = f.cur.whole && len(list) == 0
		}
	}
}

// joined is "$*".
func (r *run) joined(list []word, more bool) value {
	v := known("")
	for i, w := range list {
		if i > 0 {
			v = v.then(known(" "))
		}
		v = v.then(w.value)
	}
	if more {
		v.whole = false
	}
	return v
}

// single expands a word that the shell does not split, as in assignments and case.
func (r *run) single(w *syntax.Word, c context) value {
	if w == nil {
		return known("")
	}
	f := newFields()
	for i, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			f.add(r.literal(p.Value, i == 0))
		case *syntax.ParamExp, *syntax.CmdSubst, *syntax.ArithmExp:
			r.part(f, p, true, c)
		default:
			r.part(f, p, false, c)
		}
	}
	if len(f.done) > 0 { // "$@" in an assignment
		f.done = append(f.done, f.cur)
		var list []word
		for _, v := range f.done {
			list = append(list, word{value: v})
		}
		return r.joined(list, f.open)
	}
	return f.cur
}
