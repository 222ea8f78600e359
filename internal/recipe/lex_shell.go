package recipe

import (
	"bytes"

	"mvdan.cc/sh/v3/syntax"
)

// What the shell parser is given is bounded: it recurses, takes square time for open parentheses,
// and environment files are short and flat.
const (
	maxShell     = 32 << 10
	maxShellNest = 256 // characters that could nest
)

// tooNested tells whether the content has more of what nests than an environment file would.
func tooNested(content []byte) bool {
	n := 0
	for _, c := range content {
		if c == '(' || c == '{' || c == '`' {
			n++
		}
	}
	return n > maxShellNest
}

// lexShell reads the assignments of a shell-style environment file: "KEY=value", "export
// KEY=value" and ": ${KEY:=value}", wherever they stand. A value that goes on with an expansion is
// given as its fixed beginning. A file with an interpreter line is a program, not an environment.
func lexShell(d *document) {
	if len(d.content) > maxShell || tooNested(d.content) || bytes.HasPrefix(d.content, []byte("#!")) {
		d.misfits++
		return
	}
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	// The loop must not end early: StmtsSeq (mvdan.cc/sh v3.14.1) yields an error and goes on, and an
	// iterator that goes on after its loop has ended panics. What comes before an error still stands.
	for stmt, err := range parser.StmtsSeq(bytes.NewReader(d.content)) {
		if err != nil {
			d.misfits++
			continue
		}
		syntax.Walk(stmt, func(node syntax.Node) bool { return d.shellNode(node) })
	}
}

func (d *document) shellNode(node syntax.Node) bool {
	switch n := node.(type) {
	case *syntax.CallExpr:
		if len(n.Args) > 0 && n.Args[0].Lit() != ":" {
			d.misfits++
		}
	case *syntax.Assign:
		if n.Name != nil && n.Value != nil && n.Index == nil && !n.Append {
			d.assign(n.Name.Pos(), n.Name.End(), n.Value, n.End())
		}
	case *syntax.ParamExp:
		if n.Exp != nil && n.Exp.Word != nil && n.Param != nil && (n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull) {
			d.assign(n.Param.Pos(), n.Param.End(), n.Exp.Word, n.Exp.Word.End())
		}
	}
	return true
}

// assign adds one assignment, if its offsets are within the content.
func (d *document) assign(nameStart, nameEnd syntax.Pos, value *syntax.Word, end syntax.Pos) {
	key := word{start: int(nameStart.Offset()), end: int(nameEnd.Offset())}
	key.rawStart, key.rawEnd = key.start, key.end
	w, ok := staticPrefix(value)
	stop := int(end.Offset())
	if !ok || key.end > w.rawStart || w.rawEnd > stop || stop > len(d.content) || w.start > w.end {
		return
	}
	d.add(statement{words: []word{key, w}, start: key.start, end: stop, operator: true})
}

// staticPrefix gives the bytes at the start of a shell word that stand for themselves.
func staticPrefix(value *syntax.Word) (word, bool) {
	w := word{rawStart: int(value.Pos().Offset()), rawEnd: int(value.End().Offset()), partial: len(value.Parts) > 1}
	if len(value.Parts) == 0 {
		return w, false
	}
	switch part := value.Parts[0].(type) {
	case *syntax.Lit:
		w.start, w.end = int(part.Pos().Offset()), int(part.End().Offset())
	case *syntax.SglQuoted:
		w.start, w.end, w.quoted = int(part.Left.Offset())+1, int(part.Right.Offset()), true
	case *syntax.DblQuoted:
		if len(part.Parts) == 0 {
			return w, false
		}
		lit, ok := part.Parts[0].(*syntax.Lit)
		if !ok {
			return w, false
		}
		w.start, w.end, w.quoted = int(lit.Pos().Offset()), int(lit.End().Offset()), true
		w.partial = w.partial || len(part.Parts) > 1
	default:
		return w, false
	}
	return w, true
}
