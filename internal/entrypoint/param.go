package entrypoint

import (
	"regexp"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

// maxPattern bounds patterns that are compiled and texts that they are matched with.
const maxPattern = 1024

// param is the value of one parameter expansion.
func (r *run) param(p *syntax.ParamExp, c context) value {
	if p.Param == nil || p.Flags != nil || p.Width || p.IsSet || p.Names != 0 || len(p.Modifiers) > 0 {
		return unknown()
	}
	if p.Length {
		return r.length(p, c)
	}
	name := p.Param.Value
	if p.Excl {
		v := r.lookup(name, nil, c)
		if !v.static() || !isName(v.text) {
			return unknown()
		}
		name = v.text
	}
	v := r.lookup(name, p.Index, c)
	switch {
	case p.Slice != nil:
		return r.slice(v, p.Slice)
	case p.Repl != nil:
		return r.replace(v, p.Repl, c)
	case p.Exp != nil:
		return r.expansion(name, v, p.Exp, c)
	}
	return v
}

// lookup is the value of a name or of a special parameter.
func (r *run) lookup(name string, index syntax.ArithmExpr, c context) value {
	switch name {
	case "@", "*":
		if len(r.st.args) == 1 && !r.st.argsOpen {
			return r.st.args[0].value
		}
		return r.joined(r.st.args, r.st.argsOpen)
	case "#":
		if r.st.argsOpen {
			return unknown()
		}
		return known(strconv.Itoa(len(r.st.args))).shake()
	case "0":
		return known(c.in.name)
	case "?", "$", "!", "-", "_":
		return unknown()
	case "FUNCNAME":
		return callName(c.calls, index)
	case "BASH_SOURCE":
		return known(c.in.path)
	case "UID", "EUID":
		if c.in.dialect == bash {
			return r.uid()
		}
	case "PWD":
		return r.st.cwd
	}
	if isNumber(name) {
		n, err := strconv.Atoi(name)
		switch {
		case err == nil && n <= len(r.st.args):
			return r.st.args[n-1].value
		case r.st.argsOpen:
			return unknown()
		}
		return value{nature: absent, shaky: true}
	}
	return r.variable(name, index)
}

func (r *run) variable(name string, index syntax.ArithmExpr) value {
	v := r.st.vars.get(name)
	if v.array {
		n, ok := literalNumber(index)
		switch {
		case index == nil:
			n, ok = 0, true
		case wholeIndex(index):
			return r.joined(v.list, !v.whole)
		}
		if ok && n >= 0 && n < len(v.list) {
			return v.list[n].value
		}
		return unknown()
	}
	if index != nil && indexText(index) != "0" && !wholeIndex(index) {
		return unknown()
	}
	if (name == "USER" || name == "LOGNAME") && v.nature == absent {
		// No engine sets USER; where a script tests it, it means the account of the uid.
		return r.userName()
	}
	return v.value
}

func (r *run) uid() value {
	if r.st.root {
		return known("0")
	}
	return value{nature: otherUID}
}

func (r *run) userName() value {
	if r.st.root {
		return known("root")
	}
	return value{nature: otherName}
}

// callName is ${FUNCNAME[n]}: the function, its caller …, "main" or "source" at the end.
func callName(calls []string, index syntax.ArithmExpr) value {
	n := 0
	if index != nil {
		var ok bool
		if n, ok = literalNumber(index); !ok {
			return unknown()
		}
	}
	if n < 0 || n >= len(calls) {
		return known("")
	}
	return known(calls[len(calls)-1-n])
}

func (r *run) length(p *syntax.ParamExp, c context) value {
	if p.Param.Value == "FUNCNAME" && wholeIndex(p.Index) {
		return known(strconv.Itoa(len(c.calls)))
	}
	if list, ok := r.listParam(&syntax.ParamExp{Param: p.Param, Index: p.Index}, false); ok {
		if isArgs(p) && r.st.argsOpen {
			return unknown()
		}
		return known(strconv.Itoa(len(list))).shake()
	}
	v := r.lookup(p.Param.Value, p.Index, c)
	if v.nature == absent {
		return known("0").shake()
	}
	if !v.whole || v.nature != plain {
		return unknown()
	}
	out := known(strconv.Itoa(len([]rune(v.text))))
	out.shaky = v.shaky
	return out
}

func (r *run) slice(v value, s *syntax.Slice) value {
	from, ok := literalNumber(s.Offset)
	if v.nature == absent {
		return v
	}
	if !ok || from < 0 || v.nature != plain {
		return unknown()
	}
	size := -1
	if s.Length != nil {
		if size, ok = literalNumber(s.Length); !ok || size < 0 {
			return unknown()
		}
	}
	text := []rune(v.text)
	if !v.whole && (size < 0 || from+size > len(text)) {
		return unknown()
	}
	from = min(from, len(text))
	end := len(text)
	if size >= 0 {
		end = min(from+size, end)
	}
	v.text, v.whole = string(text[from:end]), true
	return v
}

func (r *run) replace(v value, repl *syntax.Replace, c context) value {
	from, to := r.single(repl.Orig, c), r.single(repl.With, c)
	if v.nature == absent {
		return v
	}
	if !v.static() || !from.static() || !to.static() || from.text == "" || pattern.HasMeta(from.text, 0) || strings.ContainsAny(from.text, "#%\\") {
		return unknown()
	}
	n := 1
	if repl.All {
		n = -1
	}
	v.text = strings.Replace(v.text, from.text, to.text, n)
	if len(v.text) > maxText {
		return unknown()
	}
	return v
}

func (r *run) expansion(name string, v value, e *syntax.Expansion, c context) value {
	if v.nature == otherUID || v.nature == otherName && e.Op != syntax.AlternateUnset && e.Op != syntax.AlternateUnsetOrNull {
		return v
	}
	isEmpty := empty(v)
	switch e.Op {
	case syntax.DefaultUnset, syntax.AssignUnset, syntax.ErrorUnset, syntax.AlternateUnset:
		isEmpty = verdict{is: no}
		if v.nature == absent {
			isEmpty = verdict{is: right, shaky: true}
		} else if !v.whole {
			isEmpty = perhaps
		}
	}
	switch e.Op {
	case syntax.DefaultUnset, syntax.DefaultUnsetOrNull:
		return r.orElse(v, isEmpty, e.Word, c)
	case syntax.AssignUnset, syntax.AssignUnsetOrNull:
		out := r.orElse(v, isEmpty, e.Word, c)
		if isName(name) {
			r.assign(name, variable{value: out})
		}
		return out
	case syntax.AlternateUnset, syntax.AlternateUnsetOrNull:
		return r.alternate(v, isEmpty, e.Word, c)
	case syntax.RemSmallPrefix, syntax.RemLargePrefix, syntax.RemSmallSuffix, syntax.RemLargeSuffix:
		return r.trim(v, e, c)
	case syntax.UpperAll, syntax.LowerAll:
		if v.static() && e.Word == nil {
			v.text = map[syntax.ParExpOperator]func(string) string{syntax.UpperAll: strings.ToUpper, syntax.LowerAll: strings.ToLower}[e.Op](v.text)
			return v
		}
	case syntax.ErrorUnset, syntax.ErrorUnsetOrNull:
		if v.nature == absent {
			return unknown()
		}
		return v
	}
	if v.nature == absent {
		return v
	}
	return unknown()
}

func (r *run) orElse(v value, isEmpty verdict, w *syntax.Word, c context) value {
	switch isEmpty.is {
	case no:
		return v
	case right:
		out := r.single(w, c)
		out.shaky = out.shaky || isEmpty.shaky
		return out
	}
	return unknown()
}

func (r *run) alternate(v value, isEmpty verdict, w *syntax.Word, c context) value {
	switch {
	case isEmpty.is == right && isEmpty.shaky:
		return value{nature: absent, shaky: true}
	case isEmpty.is == right:
		return known("")
	case isEmpty.is == no:
		out := r.single(w, c)
		out.shaky = out.shaky || v.shaky
		return out
	}
	return unknown()
}

// trim is ${x#p}, ${x##p}, ${x%p} and ${x%%p}.
func (r *run) trim(v value, e *syntax.Expansion, c context) value {
	p := r.pattern(e.Word, c)
	if v.nature == absent {
		return v
	}
	if !v.static() || !p.known || len(v.text) > maxPattern || len(p.expr) > maxPattern {
		return unknown()
	}
	small := e.Op == syntax.RemSmallPrefix || e.Op == syntax.RemSmallSuffix
	var mode pattern.Mode
	if small {
		mode = pattern.Shortest
	}
	expr, err := pattern.Regexp(p.expr, mode)
	if err != nil {
		return unknown()
	}
	flags, body, _ := strings.Cut(expr, ")")
	if !strings.HasPrefix(expr, "(?") || strings.HasPrefix(expr, "(?:") {
		flags, body = "(?s", expr
	}
	prefix := e.Op == syntax.RemSmallPrefix || e.Op == syntax.RemLargePrefix
	switch {
	case prefix:
		body = "^(?:" + body + ")"
	case small: // the greedy head leaves the shortest tail
		body = "^(.*)(?:" + body + ")$"
	default:
		body = "(?:" + body + ")$"
	}
	re, err := regexp.Compile(flags + ")" + body)
	if err != nil {
		return unknown()
	}
	v.text = trimmed(re, v.text, prefix, small)
	return v
}

func trimmed(re *regexp.Regexp, text string, prefix, small bool) string {
	m := re.FindStringSubmatchIndex(text)
	switch {
	case m == nil:
		return text
	case prefix:
		return text[m[1]:]
	case small:
		return text[:m[3]]
	}
	return text[:m[0]]
}

// glob is a pattern of case, [[ or an expansion.
type glob struct {
	expr  string // in the syntax of the shell, quoted parts escaped
	known bool
	meta  bool // has pattern characters
}

func (r *run) pattern(w *syntax.Word, c context) glob {
	g := glob{known: true}
	if w == nil {
		return g
	}
	var b strings.Builder
	for _, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(p.Value)
			g.meta = g.meta || pattern.HasMeta(p.Value, 0)
		case *syntax.ExtGlob:
			if p.Op != syntax.GlobOne && p.Op != syntax.GlobZeroOrOne && p.Op != syntax.GlobOneOrMore && p.Op != syntax.GlobZeroOrMore {
				g.known = false
				continue
			}
			b.WriteString(p.Op.String() + p.Pattern.Value + ")")
			g.meta = true
		default:
			f := newFields()
			r.part(f, p, true, c)
			g.known = g.known && f.cur.static()
			b.WriteString(pattern.QuoteMeta(f.cur.text, 0))
		}
	}
	g.expr = b.String()
	return g
}

// matches says whether the value matches the pattern as a whole.
func matches(v value, g glob) verdict {
	switch {
	case g.expr == "*" && g.known:
		return surely
	case !g.known || len(g.expr) > maxPattern:
		return perhaps
	case !g.meta:
		return equal(v, known(unescape(g.expr, "")))
	case v.nature == absent:
		v = value{whole: true, shaky: true}
	case v.nature == plain && !v.whole:
		return prefixMatches(v, g.expr)
	case v.nature != plain || len(v.text) > maxText:
		return perhaps
	}
	expr, err := pattern.Regexp(g.expr, pattern.EntireString|pattern.ExtendedOperators)
	if err != nil {
		return perhaps
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return perhaps
	}
	return answer(re.MatchString(v.text), v.shaky)
}

// prefixMatches knows only the beginning of the text: it can exclude a pattern that begins otherwise.
func prefixMatches(v value, expr string) verdict {
	head := expr
	if i := strings.IndexAny(expr, "*?[\\+@!("); i >= 0 {
		head = expr[:i]
	}
	n := min(len(head), len(v.text))
	if head[:n] != v.text[:n] {
		return verdict{is: no, shaky: v.shaky}
	}
	return perhaps
}
