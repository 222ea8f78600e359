package entrypoint

import (
	"fmt"

	"mvdan.cc/sh/v3/syntax"
)

const (
	maxSteps = 60_000 // statements of one run, over all scripts and calls
	maxDepth = 250    // statements around a statement, over all scripts
	maxFiles = 8      // scripts around a script
)

// run reads the scripts as one start would run them: as uid 0, or as another uid.
type run struct {
	*reader
	asRoot   bool
	st       *state
	steps    int // statements so far
	cut      bool
	locals   []map[string]variable    // what function calls must give back
	assigned map[syntax.Node][]string // variables that loops set
	written  map[string]bool          // paths that tasks so far may have made or removed
	tasks    map[taskKey]*sight
	chain    []seenStep
	faults   []Problem
}

// list runs statements one after the other and gives the status of the last.
func (r *run) list(stmts []*syntax.Stmt, c context) verdict {
	v := surely
	for i, s := range stmts {
		if r.st.end != running {
			break
		}
		each := c
		each.tail = c.tail && i == len(stmts)-1
		each.ends = c.ends && i == len(stmts)-1
		v = r.stmt(s, each)
	}
	return v
}

// spent counts a statement and reports whether a limit is reached.
func (r *run) spent(c context) bool {
	r.steps++
	if r.steps > maxSteps || c.depth > maxDepth {
		r.cut = true
	}
	return r.steps > maxSteps || c.depth > maxDepth
}

func (r *run) stmt(s *syntax.Stmt, c context) verdict {
	if r.spent(c) {
		return perhaps
	}
	c = c.deeper()
	endsNot := c.endsNot
	c.endsNot = false
	if s.Negated {
		c = c.inCondition()
		c.ends = endsNot
	}
	if s.Background || s.Coprocess {
		c = c.inCondition().inSubshell(r.st)
		return r.apart(func() verdict { return r.body(s, c) }, executed)
	}
	v := r.body(s, c)
	if s.Negated {
		return v.not()
	}
	if v.definite(no) && r.st.errexit && !c.ignored && r.st.end == running && errexitActs(s.Cmd) {
		r.stops(c, c.in.span(s))
		r.st.end, r.st.failed, r.st.status = exited, true, never
	}
	return v
}

// errexitActs reports whether a failing status of the command itself ends the shell. The status of a
// list or of a compound command is that of something in it, on which errexit acted or did not.
func errexitActs(cmd syntax.Command) bool {
	switch cmd.(type) {
	case *syntax.CallExpr, *syntax.Subshell, *syntax.TestClause, *syntax.ArithmCmd:
		return true
	}
	return false
}

// stops notes a place where every start of this kind ends as failed. Where only the start as another
// user than root does, it is a problem.
func (r *run) stops(c context, at span) {
	if c.exits && c.fatal && !c.maybe && !r.unlikely(c) && c.in != nil {
		r.fault(NeedsRoot, c.in.path, fmt.Sprintf("line %d: %s", c.in.line(at.start), oneLine(c.in.raw(at))))
	}
}

// apart runs in a subshell: what it sets is lost. gives is the status if the caller does not see one.
func (r *run) apart(body func() verdict, gives verdict) verdict {
	before := r.st
	r.st = before.fork()
	v := body()
	if r.st.end == exited || r.st.end == returned {
		v = r.st.status
	}
	r.st = before
	if gives.ran {
		return gives
	}
	return v
}

// body runs a statement without its "!" and "&".
func (r *run) body(s *syntax.Stmt, c context) verdict {
	call, simple := s.Cmd.(*syntax.CallExpr)
	if simple {
		return r.call(s, call, c)
	}
	r.redirects(s, s.Redirs, c)
	if loop, files, ok := r.inputListing(s, c); ok {
		return r.readLoop(loop, files, c)
	}
	switch cmd := s.Cmd.(type) {
	case nil: // a redirection alone
		return executed
	case *syntax.Block:
		return r.list(cmd.Stmts, c)
	case *syntax.Subshell:
		inner := c.inSubshell(r.st)
		return r.apart(func() verdict { return r.list(cmd.Stmts, inner) }, surely)
	case *syntax.IfClause:
		return r.ifClause(cmd, c)
	case *syntax.BinaryCmd:
		return r.binary(cmd, c)
	case *syntax.CaseClause:
		return r.caseClause(cmd, c)
	case *syntax.WhileClause:
		return r.whileClause(cmd, c)
	case *syntax.ForClause:
		return r.forClause(cmd, c)
	case *syntax.FuncDecl:
		if cmd.Name != nil {
			r.st.vars.set(cmd.Name.Value+"()", variable{fn: &function{name: cmd.Name.Value, body: cmd.Body, in: c.in}})
		}
		return surely
	case *syntax.TestClause:
		return r.testExpr(cmd.X, c, 0)
	case *syntax.ArithmCmd:
		return r.arith(cmd.X, c, 0).nonZero()
	case *syntax.LetClause:
		return executed
	case *syntax.DeclClause:
		return r.declare(s, cmd, c)
	case *syntax.TimeClause:
		if cmd.Stmt != nil {
			return r.stmt(cmd.Stmt, c)
		}
	case *syntax.CoprocClause:
		return r.apart(func() verdict { return r.stmt(cmd.Stmt, c.inCondition()) }, executed)
	}
	return perhaps
}

// branch runs one of two ways, or both where the condition is open. A way that only the image's own
// Cmd, Env or files choose is run, and the other one is only looked at.
func (r *run) branch(v verdict, c context, yes, otherwise func(context) verdict) verdict {
	switch {
	case v.definite(right):
		return yes(c)
	case v.definite(no):
		return otherwise(c)
	}
	c.maybe = true
	start := r.st
	if v.is == open {
		r.st = start.fork()
		a, stA := yes(c), r.st
		r.st = start.fork()
		b, stB := otherwise(c), r.st
		r.st = start
		start.keepEither(stA, stB)
		return joinEnded(a, stA, b, stB)
	}
	if v.is == no {
		yes, otherwise = otherwise, yes
	}
	r.st = start.fork()
	a, stA := yes(c), r.st
	c.unlikely = true
	r.st = start.fork()
	b, stB := otherwise(c), r.st
	r.st = start
	if stA.end == exited && stB.end != exited {
		// Whoever starts the container gives what is missing (exit 1), or another command (exec).
		stB.unlikely = stB.unlikely || !stA.failed
		start.keep(stB)
		return b
	}
	if (stA.end == broken || stA.end == returned) && stB.end == running && start.usual == nil {
		// The usual way leaves here. The rest is only looked at.
		stA.status.shaky = true
		start.keep(stA)
		stB.usual, stB.unlikely = start, true
		r.st = stB
		return b
	}
	stA.status.shaky = true
	start.keep(stA)
	a.shaky = a.shaky || b.shaky || a.is != b.is // where both ways agree, nothing that a start may change decides
	return a
}

// joinEnded is the status after either way; a way that went away has none.
func joinEnded(a verdict, stA *state, b verdict, stB *state) verdict {
	switch {
	case stA.end != running && stB.end == running:
		return b
	case stB.end != running && stA.end == running:
		return a
	}
	return a.join(b)
}

func (r *run) ifClause(cmd *syntax.IfClause, c context) verdict {
	if r.spent(c) {
		return perhaps
	}
	c = c.deeper()
	if len(cmd.Cond) == 0 { // else
		return r.list(cmd.Then, c)
	}
	cond := c.inCondition()
	// "if ! chown …; then exit 1; fi": the failure ends the start.
	if negated(cmd.Cond) {
		cond.endsNot = c.leaves(cmd.Then)
	} else if cmd.Else != nil && len(cmd.Else.Cond) == 0 {
		cond.ends = c.leaves(cmd.Else.Then)
	}
	v := r.list(cmd.Cond, cond)
	if r.st.end != running {
		return v
	}
	return r.branch(v, c,
		func(c context) verdict { return r.list(cmd.Then, c) },
		func(c context) verdict {
			if cmd.Else == nil {
				return surely
			}
			return r.ifClause(cmd.Else, c)
		})
}

func negated(stmts []*syntax.Stmt) bool { return len(stmts) == 1 && stmts[0].Negated }

// leaves reports whether the statements end the start as failed, whatever happens in them.
func (c context) leaves(stmts []*syntax.Stmt) bool {
	if len(stmts) == 0 {
		return false
	}
	switch cmd := stmts[len(stmts)-1].Cmd.(type) {
	case *syntax.Block:
		return c.leaves(cmd.Stmts)
	case *syntax.CallExpr:
		if len(cmd.Args) == 0 || len(cmd.Args) > 1 && cmd.Args[1].Lit() == "0" {
			return false
		}
		switch cmd.Args[0].Lit() {
		case "exit":
			return c.exits
		case "return":
			return c.returns
		}
	}
	return false
}

func (r *run) binary(cmd *syntax.BinaryCmd, c context) verdict {
	switch cmd.Op {
	case syntax.AndStmt:
		return r.and(cmd, c)
	case syntax.OrStmt:
		return r.or(cmd, c)
	}
	return r.pipe(cmd, c)
}

func (r *run) and(cmd *syntax.BinaryCmd, c context) verdict {
	left := c
	left.ignored = true // errexit does not act on it, but the list may be the last thing of the start
	if c.tail {
		left.ends = true
	}
	left.tail = false
	v := r.stmt(cmd.X, left)
	if r.st.end != running || v.definite(no) {
		return v
	}
	last := func(c context) verdict { return r.stmt(cmd.Y, c) }
	if v.ran {
		return v.and(last(c))
	}
	var w verdict
	gone := false
	out := r.branch(v, c, func(c context) verdict {
		w = last(c)
		gone = r.st.end != running
		return v.and(w)
	}, func(context) verdict { return never })
	if v.is == right || gone {
		return out
	}
	return v.and(w)
}

func (r *run) or(cmd *syntax.BinaryCmd, c context) verdict {
	left := c.inCondition()
	left.ends = c.leaves([]*syntax.Stmt{cmd.Y})
	v := r.stmt(cmd.X, left)
	if r.st.end != running || v.definite(right) {
		return v
	}
	var w verdict
	out := r.branch(v, c, func(context) verdict { return surely }, func(c context) verdict { w = r.stmt(cmd.Y, c); return v.or(w) })
	if r.st.end == running && v.ran {
		return executed
	}
	if v.is == open {
		return v.or(w)
	}
	return out
}

func (r *run) pipe(cmd *syntax.BinaryCmd, c context) verdict {
	if files, ok := r.listing(cmd.X, c); ok {
		if loop, ok := cmd.Y.Cmd.(*syntax.WhileClause); ok {
			return r.apart(func() verdict { return r.readLoop(loop, files, c) }, executed)
		}
	}
	left := c.inCondition()
	if r.st.pipefail {
		left = c
	}
	left = left.inSubshell(r.st)
	left.piped = true
	last := c.inSubshell(r.st)
	r.apart(func() verdict { return r.stmt(cmd.X, left) }, executed)
	v := r.apart(func() verdict { return r.stmt(cmd.Y, last) }, surely)
	if v.is != open || v.ran {
		v.ran = v.ran || v.is == open
	}
	return v
}

func (r *run) caseClause(cmd *syntax.CaseClause, c context) verdict {
	subject := r.single(cmd.Word, c)
	return r.caseItems(subject, cmd.Items, c)
}

func (r *run) caseItems(subject value, items []*syntax.CaseItem, c context) verdict {
	if len(items) == 0 || r.spent(c) {
		return surely
	}
	c = c.deeper()
	v := never
	for _, p := range items[0].Patterns {
		v = v.or(matches(subject, r.pattern(p, c)))
	}
	return r.branch(v, c,
		func(c context) verdict {
			out := r.list(items[0].Stmts, c)
			if items[0].Op != syntax.Break && r.st.end == running && len(items) > 1 {
				return r.list(items[1].Stmts, c)
			}
			return out
		},
		func(c context) verdict { return r.caseItems(subject, items[1:], c) })
}
