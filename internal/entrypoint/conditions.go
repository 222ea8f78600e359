package entrypoint

import (
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxExpr bounds the nesting of an expression that is read.
const maxExpr = 100

// testCommand evaluates the words of test(1), without the closing "]".
func (r *run) testCommand(list []word, more bool) verdict {
	if more || len(list) > 4*maxExpr {
		return perhaps
	}
	t := tester{r: r, list: list}
	v := t.or(0)
	if t.at != len(list) || t.bad {
		return perhaps
	}
	return v
}

// tester reads the words of one test by recursive descent. POSIX: "!" binds more than -a, -a more than -o.
type tester struct {
	r    *run
	list []word
	at   int
	bad  bool
}

func (t *tester) peek(n int) string {
	if t.at+n >= len(t.list) || !t.list[t.at+n].static() {
		return ""
	}
	return t.list[t.at+n].text
}

func (t *tester) or(depth int) verdict {
	v := t.and(depth)
	for t.peek(0) == "-o" {
		t.at++
		v = v.or(t.and(depth))
	}
	return v
}

func (t *tester) and(depth int) verdict {
	v := t.not(depth)
	for t.peek(0) == "-a" {
		t.at++
		v = v.and(t.not(depth))
	}
	return v
}

func (t *tester) not(depth int) verdict {
	left := len(t.list) - t.at
	switch {
	case depth > maxExpr || left == 0:
		t.bad = t.bad || depth > maxExpr
		return never // test with no operand is false
	case left >= 3 && isComparison(t.peek(1)):
		return t.binary()
	case left >= 2 && t.peek(0) == "!":
		t.at++
		return t.not(depth + 1).not()
	case left >= 3 && t.peek(0) == "(":
		t.at++
		v := t.or(depth + 1)
		t.bad = t.bad || t.peek(0) != ")"
		t.at++
		return v
	case left >= 2 && len(t.peek(0)) == 2 && t.peek(0)[0] == '-' && t.peek(1) != "-a" && t.peek(1) != "-o":
		op, v := t.peek(0), t.list[t.at+1].value
		t.at += 2
		return t.r.unary(op, v)
	}
	v := t.list[t.at].value
	t.at++
	return empty(v).not()
}

func isComparison(op string) bool {
	switch op {
	case "=", "==", "!=", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "<", ">", "-nt", "-ot", "-ef":
		return true
	}
	return false
}

func (t *tester) binary() verdict {
	a, op, b := t.list[t.at].value, t.peek(1), t.list[t.at+2].value
	t.at += 3
	switch op {
	case "=", "==":
		return equal(a, b)
	case "!=":
		return equal(a, b).not()
	}
	return compare(numberOf(a), numberOf(b), op)
}

// unary is a file or string test.
func (r *run) unary(op string, v value) verdict {
	switch op {
	case "-z":
		return empty(v)
	case "-n":
		return empty(v).not()
	case "-t":
		return perhaps
	case "-v":
		if v.static() && isName(v.text) {
			return answer(r.st.vars.get(v.text).nature != absent, true)
		}
		return perhaps
	}
	full, ok := r.absolute(v)
	if !ok || volatile(full) {
		return perhaps
	}
	f, found := r.fs.File(full)
	if r.touched(full) {
		return perhaps
	}
	switch op {
	case "-e", "-a":
		return answer(found, true)
	case "-d":
		return answer(found && f.Dir, true)
	case "-f":
		return answer(found && !f.Dir, true)
	case "-x":
		// The mode of a file of the image is as firm as the image.
		return answer(found && (f.Executable || f.Dir), !found)
	case "-s", "-r", "-w", "-O", "-G", "-S", "-p", "-b", "-c", "-u", "-g", "-k":
		if !found {
			return answer(false, true)
		}
		if op == "-s" && f.Content != nil {
			return answer(len(f.Content) > 0, true)
		}
	}
	return perhaps
}

// volatile reports whether a path is made when the container starts.
func volatile(full string) bool {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/var/run", "/tmp"} {
		if full == dir || strings.HasPrefix(full, dir+"/") {
			return true
		}
	}
	return false
}

// testExpr evaluates [[ … ]].
func (r *run) testExpr(x syntax.TestExpr, c context, depth int) verdict {
	if depth > maxExpr {
		return perhaps
	}
	switch x := x.(type) {
	case *syntax.ParenTest:
		return r.testExpr(x.X, c, depth+1)
	case *syntax.UnaryTest:
		if x.Op == syntax.TsNot {
			return r.testExpr(x.X, c, depth+1).not()
		}
		if w, ok := x.X.(*syntax.Word); ok {
			return r.unary(x.Op.String(), r.single(w, c))
		}
	case *syntax.Word:
		return empty(r.single(x, c)).not()
	case *syntax.BinaryTest:
		return r.binaryTest(x, c, depth)
	}
	return perhaps
}

func (r *run) binaryTest(x *syntax.BinaryTest, c context, depth int) verdict {
	switch x.Op {
	case syntax.AndTest:
		return r.testExpr(x.X, c, depth+1).and(r.testExpr(x.Y, c, depth+1))
	case syntax.OrTest:
		return r.testExpr(x.X, c, depth+1).or(r.testExpr(x.Y, c, depth+1))
	}
	a, okA := x.X.(*syntax.Word)
	b, okB := x.Y.(*syntax.Word)
	if !okA || !okB {
		return perhaps
	}
	left := r.single(a, c)
	switch x.Op {
	case syntax.TsMatchShort, syntax.TsMatch:
		return matches(left, r.pattern(b, c))
	case syntax.TsNoMatch:
		return matches(left, r.pattern(b, c)).not()
	}
	return compare(numberOf(left), numberOf(r.single(b, c)), x.Op.String())
}

// number is what is known of an integer.
type number struct {
	n        int64
	whole    bool // n is the value
	positive bool // the value is 1 or more
	shaky    bool
}

func numberOf(v value) number {
	switch {
	case v.nature == otherUID:
		return number{positive: true}
	case v.nature == absent:
		return number{whole: true, shaky: true}
	case v.nature != plain || !v.whole:
		return number{}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v.text), 10, 64)
	return number{n: n, whole: err == nil, shaky: v.shaky}
}

func (n number) value() value {
	switch {
	case n.whole:
		return value{text: strconv.FormatInt(n.n, 10), whole: true, shaky: n.shaky}
	case n.positive:
		return value{nature: otherUID}
	}
	return unknown()
}

func (n number) nonZero() verdict {
	switch {
	case n.whole:
		return answer(n.n != 0, n.shaky)
	case n.positive:
		return surely
	}
	return perhaps
}

// compare evaluates -eq, -lt … and their arithmetic spellings.
func compare(a, b number, op string) verdict {
	shaky := a.shaky || b.shaky
	if !a.whole && a.positive && b.whole && b.n <= 0 {
		a, b = number{n: 1, whole: true}, number{n: 0, whole: true, shaky: b.shaky}
	} else if !b.whole && b.positive && a.whole && a.n <= 0 {
		a, b = number{n: 0, whole: true, shaky: a.shaky}, number{n: 1, whole: true}
	} else if !a.whole && a.positive && b.whole && b.n == 1 && (op == "-ge" || op == ">=" || op == "-lt" || op == "<") {
		a, b = number{n: 1, whole: true}, number{n: 1, whole: true, shaky: b.shaky}
	}
	if !a.whole || !b.whole {
		return perhaps
	}
	switch op {
	case "-eq", "==", "=":
		return answer(a.n == b.n, shaky)
	case "-ne", "!=":
		return answer(a.n != b.n, shaky)
	case "-lt", "<":
		return answer(a.n < b.n, shaky)
	case "-le", "<=":
		return answer(a.n <= b.n, shaky)
	case "-gt", ">":
		return answer(a.n > b.n, shaky)
	case "-ge", ">=":
		return answer(a.n >= b.n, shaky)
	}
	return perhaps
}

// arith evaluates an arithmetic expression, as far as scripts use it to test a uid or to count.
func (r *run) arith(x syntax.ArithmExpr, c context, depth int) number {
	if depth > maxExpr {
		return number{}
	}
	switch x := x.(type) {
	case *syntax.ParenArithm:
		return r.arith(x.X, c, depth+1)
	case *syntax.Word:
		v := r.single(x, c)
		if name := x.Lit(); isName(name) {
			v = r.lookup(name, nil, c)
		}
		return numberOf(v)
	case *syntax.UnaryArithm:
		if x.Op == syntax.Not {
			return truthNumber(r.arith(x.X, c, depth+1).nonZero().not())
		}
		if w, ok := x.X.(*syntax.Word); ok && isName(w.Lit()) {
			r.assign(w.Lit(), variable{})
		}
	case *syntax.BinaryArithm:
		return r.binaryArith(x, c, depth)
	}
	return number{}
}

func (r *run) binaryArith(x *syntax.BinaryArithm, c context, depth int) number {
	a, b := r.arith(x.X, c, depth+1), r.arith(x.Y, c, depth+1)
	switch x.Op {
	case syntax.AndArit:
		return truthNumber(a.nonZero().and(b.nonZero()))
	case syntax.OrArit:
		return truthNumber(a.nonZero().or(b.nonZero()))
	case syntax.Eql, syntax.Neq, syntax.Lss, syntax.Leq, syntax.Gtr, syntax.Geq:
		return truthNumber(compare(a, b, x.Op.String()))
	}
	out := number{n: a.n, whole: a.whole && b.whole, shaky: a.shaky || b.shaky}
	switch x.Op {
	case syntax.Add:
		out.n += b.n
	case syntax.Sub:
		out.n -= b.n
	case syntax.Mul:
		out.n *= b.n
	default:
		out = number{}
		if w, ok := x.X.(*syntax.Word); ok && isName(w.Lit()) && strings.HasSuffix(x.Op.String(), "=") {
			if x.Op == syntax.Assgn {
				out = b
			}
			r.assign(w.Lit(), variable{value: out.value()})
		}
	}
	return out
}

func truthNumber(v verdict) number {
	switch v.is {
	case right:
		return number{n: 1, whole: true, shaky: v.shaky}
	case no:
		return number{whole: true, shaky: v.shaky}
	}
	return number{}
}

// touched reports whether an earlier task of the run may have made or removed the path.
func (r *run) touched(full string) bool {
	for at := full; ; at = path.Dir(at) {
		if r.written[at] {
			return true
		}
		if at == "/" || at == "." {
			return false
		}
	}
}
