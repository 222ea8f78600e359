package entrypoint

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// site is where and how a command is called.
type site struct {
	context
	at    span // the simple command in in.host; zero where in is nil
	exec  bool // it takes the place of the shell
	whole bool // at is a statement of its own, so that "|| true" can follow it
	deep  bool // called through find, which goes down into directories
	quiet bool // that it is missing is no problem
	pass  bool // it only starts what its words name
	soft  bool // what calls it does not look at its status: find -exec … ;
}

// call runs a simple command.
func (r *run) call(s *syntax.Stmt, cmd *syntax.CallExpr, c context) verdict {
	if len(cmd.Args) == 0 {
		v := surely
		c.assigned = true
		for _, a := range cmd.Assigns {
			v = r.assignment(a, c)
		}
		r.redirects(s, s.Redirs, c)
		return v
	}
	list, more := r.words(cmd.Args, c)
	at := site{context: c, at: simpleSpan(c.in, s), whole: true}
	if len(list) == 0 {
		r.redirects(s, s.Redirs, c)
		return executed
	}
	special := c
	if list[0].static() && specialBuiltins[list[0].text] && (c.in.dialect == posix || list[0].text == "exec") {
		// POSIX 2.8.1: a redirection error of a special builtin ends the shell, whatever follows.
		special.ends = c.exits
	}
	r.redirects(s, s.Redirs, special)
	undo := r.prefix(cmd.Assigns, c)
	v := r.command(list, more, at)
	undo()
	return v
}

var specialBuiltins = nameSet(": . break continue eval exec exit export readonly return set shift times trap unset")

// simpleSpan is the range of a simple command with its assignments and redirections, without here-documents.
func simpleSpan(in *source, s *syntax.Stmt) span {
	from, to := s.Cmd.Pos(), s.Cmd.End()
	for _, redir := range s.Redirs {
		if from.After(redir.Pos()) {
			from = redir.Pos()
		}
		if end := redir.Word.End(); end.After(to) {
			to = end
		}
	}
	return in.between(from, to)
}

// prefix sets the variables of "A=b command" for the command.
func (r *run) prefix(assigns []*syntax.Assign, c context) (undo func()) {
	if len(assigns) == 0 {
		return func() {}
	}
	before := map[string]variable{}
	for _, a := range assigns {
		if a.Name == nil {
			continue
		}
		if _, ok := before[a.Name.Value]; !ok {
			before[a.Name.Value] = r.st.vars.get(a.Name.Value)
		}
		r.assignment(a, c)
		v := r.st.vars.get(a.Name.Value)
		v.sent = true
		r.st.vars.set(a.Name.Value, v)
	}
	return func() {
		for name, v := range before {
			r.st.vars.set(name, v)
		}
	}
}

// assignment sets a variable and gives the status of the substitution in it.
func (r *run) assignment(a *syntax.Assign, c context) verdict {
	if a.Name == nil {
		return surely
	}
	name := a.Name.Value
	if a.Naked {
		return surely
	}
	v := surely
	if a.Value != nil && hasSubst(a.Value) {
		v = executed
	}
	switch {
	case a.Array != nil:
		r.assignArray(name, a, c)
	case a.Index != nil:
		r.assign(name, variable{})
	default:
		val := r.single(a.Value, c)
		if a.Append {
			val = r.st.vars.get(name).value.then(val)
		}
		r.assign(name, variable{value: val})
	}
	return v
}

func hasSubst(w *syntax.Word) bool {
	for _, p := range w.Parts {
		if q, ok := p.(*syntax.DblQuoted); ok && len(q.Parts) > 0 {
			p = q.Parts[0]
		}
		if _, ok := p.(*syntax.CmdSubst); ok {
			return true
		}
	}
	return false
}

func (r *run) assignArray(name string, a *syntax.Assign, c context) {
	v := variable{array: true, value: known("")}
	if old := r.st.vars.get(name); a.Append && old.array {
		v.list, v.whole = old.list[:len(old.list):len(old.list)], old.whole
	}
	for _, e := range a.Array.Elems {
		if e.Index != nil || e.Value == nil {
			v.whole = false
			continue
		}
		list, more := r.words([]*syntax.Word{e.Value}, c)
		v.list = append(v.list, list...)
		v.whole = v.whole && !more
	}
	if len(v.list) > maxWords {
		v.list, v.whole = v.list[:maxWords], false
	}
	r.assign(name, v)
}

// assign sets a variable and keeps it exported if it was.
func (r *run) assign(name string, v variable) {
	v.sent = r.st.vars.get(name).sent
	r.st.vars.set(name, v)
}

// declare runs export, readonly, local, declare and typeset.
func (r *run) declare(s *syntax.Stmt, cmd *syntax.DeclClause, c context) verdict {
	inner := c.inCondition().inSubshell(r.st) // "local x=$(…)" hides the status of the substitution
	for _, a := range cmd.Args {
		if a.Name == nil {
			if a.Value != nil {
				r.single(a.Value, inner)
			}
			continue
		}
		r.declareOne(cmd.Variant.Value, a, inner)
	}
	return surely
}

func (r *run) declareOne(variant string, a *syntax.Assign, c context) {
	name := a.Name.Value
	if variant == "local" || (variant == "declare" || variant == "typeset") && len(c.calls) > 1 {
		r.makeLocal(name)
		if a.Naked {
			r.st.vars.set(name, variable{value: known("")})
			return
		}
	}
	r.assignment(a, c)
	if variant == "export" {
		v := r.st.vars.get(name)
		v.sent = true
		r.st.vars.set(name, v)
	}
}

// makeLocal keeps the variable's value to give it back when the function ends.
func (r *run) makeLocal(name string) {
	if n := len(r.locals); n > 0 {
		if _, ok := r.locals[n-1][name]; !ok {
			r.locals[n-1][name] = r.st.vars.get(name)
		}
	}
}

// command runs a command of which the words are known as far as they are.
func (r *run) command(list []word, more bool, at site) verdict {
	if len(list) == 0 || r.spent(at.context) {
		return executed
	}
	at.context = at.deeper()
	if !list[0].static() {
		return r.external(list, more, at)
	}
	name := list[0].text
	if fn := r.st.vars.get(name + "()").fn; fn != nil && !at.exec {
		return r.callFunction(fn, list, more, at)
	}
	if b, ok := builtins[name]; ok && !at.exec {
		return b(r, list, more, at)
	}
	return r.external(list, more, at)
}

// callFunction runs the body of a function where it is called.
func (r *run) callFunction(fn *function, list []word, more bool, at site) verdict {
	active := 0
	for _, name := range at.calls {
		if name == fn.name {
			active++
		}
	}
	if active > 1 {
		return perhaps // recursion
	}
	c := at.context
	c.in, c.calls, c.returns = fn.in, called(at.calls, fn.name), at.fails(r.st)
	args, open := r.st.args, r.st.argsOpen
	r.st.args, r.st.argsOpen = r.globbed(list[1:]), more
	r.locals = append(r.locals, map[string]variable{})
	v := r.stmt(fn.body, c)
	if u := r.st.usual; u != nil && u.end == returned {
		v = u.status
	} else if r.st.end == returned {
		v = r.st.status
	}
	r.settle(returned)
	if r.st.lost != nil {
		v, r.st.lost = v.join(*r.st.lost), nil
	}
	for name, old := range r.locals[len(r.locals)-1] {
		r.st.vars.set(name, old)
	}
	r.locals = r.locals[:len(r.locals)-1]
	r.st.args, r.st.argsOpen = args, open
	return v
}

// called is the stack of FUNCNAME with one more call.
func called(calls []string, name string) []string {
	if len(calls) == 0 {
		return []string{"main", name}
	}
	return append(calls[:len(calls):len(calls)], name)
}

// external runs what is neither a function nor a builtin.
func (r *run) external(list []word, more bool, at site) verdict {
	argv := texts(list)
	if s, ok := strip(argv); ok {
		return r.stepDown(s, list, more, at)
	}
	name := path.Base(argv[0])
	if list[0].static() {
		if w, ok := wrappers[name]; ok && (len(list) > 1 || more) {
			return r.wrapped(w, list, more, at)
		}
		if d, ok := shellNamed(r.fs, argv[0]); ok {
			return r.shell(d, list, more, at)
		}
		switch name {
		case "find":
			return r.findCommand(list, at)
		case "xargs":
			return r.xargs(list, more, at)
		case "run-parts":
			return r.runParts(list, at)
		}
		argv[0] = name
		if u, ok := readCommand(argv); ok {
			r.commandTasks(u, argv, list, at)
			if !at.exec {
				return r.statusOf(name)
			}
		}
	}
	return r.start(list, more, at)
}

// questions are commands whose status is an answer, not success.
var questions = nameSet(`grep egrep fgrep zgrep cmp diff getent id pgrep pidof mountpoint stat ls kill getcap expr curl wget nc pg_isready mysqladmin redis-cli tty
	test [ hash nslookup host ping timeout dpkg rpm`)

func (r *run) statusOf(name string) verdict {
	if questions[name] {
		return perhaps
	}
	return executed
}

// wrapped runs the command that a wrapper such as env, nice or tini starts.
func (r *run) wrapped(w wrapper, list []word, more bool, at site) verdict {
	argv := texts(list)
	inner := w.command(argv, 0)
	r.passing(list, more, at)
	if inner >= len(list) {
		return executed
	}
	if w.assigns {
		defer r.envWords(list[1:inner])()
	}
	return r.external(list[inner:], more, at)
}

// envWords sets the NAME=value words of env(1).
func (r *run) envWords(list []word) (undo func()) {
	before := map[string]variable{}
	for _, w := range list {
		name, text, ok := strings.Cut(w.text, "=")
		if !ok || !isName(name) {
			continue
		}
		if _, seen := before[name]; !seen {
			before[name] = r.st.vars.get(name)
		}
		v := w.value
		v.text = text
		r.st.vars.set(name, variable{value: v, sent: true})
	}
	return func() {
		for name, v := range before {
			r.st.vars.set(name, v)
		}
	}
}

// stepDown notes the change of user and goes on with the command behind it, as the other user.
func (r *run) stepDown(s stepped, list []word, more bool, at site) verdict {
	r.stepDownTask(s, list, more, at)
	rest := make([]word, 0, len(s.rest))
	for _, p := range s.rest {
		switch {
		case p.index >= 0:
			rest = append(rest, list[p.index])
		default:
			rest = append(rest, word{value: known(p.text), in: at.in, at: at.at, part: true})
		}
	}
	quiet := at
	quiet.quiet = true // the tool may be missing: without it nothing is lost
	r.passing(list, more, quiet)
	if len(rest) == 0 {
		return executed
	}
	was := r.st.root
	if s.user != "" {
		at.user = s.user
	}
	r.st.root = was && (s.user == "root" || s.user == "0")
	v := r.external(rest, more, at)
	r.st.root = was
	return v
}
