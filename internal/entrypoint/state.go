package entrypoint

import (
	"maps"
	"slices"

	"mvdan.cc/sh/v3/syntax"
)

// word is one argument as a script gives it, with the place where it is written.
type word struct {
	value
	in    *source // where it was written; nil: in the image config
	at    span    // in in.host
	part  bool    // the place holds more than this word, such as $args that gave several
	here  span    // where it is used, such as at "$@"; the same as at for most
	field string  // of the image config, such as "Cmd[0]", where in is nil
}

// variable is what a shell knows under a name. A function is kept under its name followed by "()".
type variable struct {
	value
	list  []word // elements, if it is an array
	array bool
	fn    *function
	sent  bool // exported: programs that the shell starts get it
}

type function struct {
	name string
	body *syntax.Stmt
	in   *source
}

// scope is a layer of variables: a branch writes into its own, and what is kept of it is merged into its parent.
type scope struct {
	vars   map[string]variable
	parent *scope
}

// get gives the variable; one that nothing set is absent.
func (s *scope) get(name string) variable {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v
		}
	}
	return variable{value: value{nature: absent, shaky: true}}
}

func (s *scope) set(name string, v variable) { s.vars[name] = v }

// ending says whether and how the run of a script stopped at this point, from the weakest to the strongest.
type ending uint8

const (
	running  ending = iota
	broken          // break or continue
	returned        // return
	exited          // exit, or exec of something else
)

// state is what a shell knows at one point of a script.
type state struct {
	vars     *scope
	args     []word // positional parameters
	argsOpen bool   // more may follow
	cwd      value
	root     bool // uid 0 here
	errexit  bool
	pipefail bool
	unlikely bool // the image's own Cmd and Env end before this point
	end      ending
	failed   bool     // it ended by an exit that is not 0
	status   verdict  // of the return or exit
	lost     *verdict // status of branches that returned where another one went on
	usual    *state   // where the image's own Cmd and Env left the function or loop that s only looks at
}

// fork is a state that can be changed without changing s.
func (s *state) fork() *state {
	out := *s
	out.vars = &scope{vars: map[string]variable{}, parent: s.vars}
	out.args = slices.Clip(s.args)
	return &out
}

// keep makes s what the fork became.
func (s *state) keep(fork *state) {
	parent := s.vars
	var layers []*scope
	for l := fork.vars; l != nil && l != parent; l = l.parent {
		layers = append(layers, l)
	}
	for _, l := range slices.Backward(layers) {
		for name, v := range l.vars {
			parent.set(name, v)
		}
	}
	*s = *fork
	s.vars = parent
}

// own gives the names that were set since the fork from parent.
func (s *state) own(parent *scope) map[string]bool {
	names := map[string]bool{}
	for l := s.vars; l != nil && l != parent; l = l.parent {
		for name := range l.vars {
			names[name] = true
		}
	}
	return names
}

// keepEither makes s what is true after either of two forks.
func (s *state) keepEither(a, b *state) {
	if a.end != b.end {
		if a.end > b.end {
			a, b = b, a
		}
		if b.end == returned {
			a.lose(b.status)
		}
		if b.lost != nil {
			a.lose(*b.lost)
		}
		s.keep(a)
		return
	}
	names := a.own(s.vars)
	maps.Copy(names, b.own(s.vars))
	merged := &scope{vars: map[string]variable{}, parent: a.vars}
	for name := range names {
		merged.set(name, either(a.vars.get(name), b.vars.get(name)))
	}
	a.vars = merged
	for _, each := range []*state{a, b} {
		if each.usual != nil {
			a.lose(each.usual.status)
		}
	}
	a.usual = nil
	if !sameWords(a.args, b.args) || a.argsOpen != b.argsOpen {
		a.args, a.argsOpen = commonWords(a.args, b.args), true
	}
	if a.cwd != b.cwd {
		a.cwd = unknown()
	}
	a.errexit = a.errexit || b.errexit
	a.pipefail = a.pipefail && b.pipefail
	a.unlikely = a.unlikely && b.unlikely
	a.failed = a.failed && b.failed
	a.status = a.status.join(b.status)
	if b.lost != nil {
		a.lose(*b.lost)
	}
	s.keep(a)
}

func (s *state) lose(v verdict) {
	if s.lost != nil {
		v = v.join(*s.lost)
	}
	s.lost = &v
}

func either(a, b variable) variable {
	switch {
	case a.fn != nil || b.fn != nil:
		if a.fn == nil {
			return b
		}
		return a
	case a.array != b.array:
		return variable{}
	case a.array && sameWords(a.list, b.list):
		return a
	case a.array:
		return variable{array: true, list: commonWords(a.list, b.list), value: unknown()}
	}
	a.shaky = a.shaky || b.shaky
	if c := b.value; c.text == a.text && c.whole == a.whole && c.nature == a.nature {
		return a
	}
	return variable{}
}

func sameWords(a, b []word) bool {
	return slices.EqualFunc(a, b, func(a, b word) bool {
		return a.text == b.text && a.whole == b.whole && a.nature == b.nature && a.in == b.in && a.at == b.at
	})
}

func commonWords(a, b []word) []word {
	n := 0
	for n < len(a) && n < len(b) && sameWords(a[n:n+1], b[n:n+1]) {
		n++
	}
	return slices.Clip(a[:n])
}

// settle ends what break (upTo broken) or return (upTo returned) ends.
func (r *run) settle(upTo ending) {
	if u := r.st.usual; u != nil && u.end <= upTo {
		r.st = u
	}
	if r.st.end <= upTo {
		r.st.end = running
	}
}

// context is what surrounds a statement.
type context struct {
	in       *source
	maybe    bool // inside a condition that is not about the user
	unlikely bool // the image's own Cmd, Env and files do not lead here
	ignored  bool // errexit does not act here: a condition, or not the last of && and ||
	ends     bool // something else ends the start where this fails: "|| exit 1"
	endsNot  bool // something else ends the start where this, negated, succeeds: "if ! this; then exit 1; fi"
	tail     bool // its status is the status of the whole start
	exits    bool // an exit here that is not 0 ends the start; not so in a subshell whose status is ignored
	returns  bool // a return here that is not 0 ends the start
	assigned bool // a substitution here gives its status to the statement: x=$(…)
	piped    bool // its output goes into another command
	fatal    bool // a failure of the script that this is in is one of the start
	depth    int  // statements around this one, over all files
	files    int  // scripts around this one
	calls    []string
	user     string // that a step-down tool changed to
}

// inCondition is the context of something whose status is looked at.
func (c context) inCondition() context {
	c.ignored, c.tail, c.ends, c.endsNot = true, false, false, false
	return c
}

// inSubshell is the context of a shell of its own, whose end is only a failure of the statement.
func (c context) inSubshell(st *state) context {
	c.exits = c.fails(st)
	c.returns, c.ends = c.exits, c.exits // its last status is the status of the statement
	return c
}

// fails reports whether a failing status here ends the start.
func (c context) fails(st *state) bool {
	return c.tail || c.ends || c.exits && st.errexit && !c.ignored
}

func (c context) deeper() context {
	c.depth++
	return c
}
