package entrypoint

import (
	"path"
	"slices"
	"strings"
)

// defaultPath is what runc and crun search where Env has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// find looks a command up as execvp(3) does.
func (r *run) find(name string) (full string, f File, ok bool) {
	if name == "" {
		return "", File{}, false
	}
	if strings.Contains(name, "/") {
		full, ok = r.absolute(known(name))
		if !ok {
			return "", File{}, false
		}
		f, ok = r.fs.File(full)
		return full, f, ok
	}
	dirs := defaultPath
	if v := r.st.vars.get("PATH"); v.static() {
		dirs = v.text
	}
	for _, dir := range strings.Split(dirs, ":") {
		if !strings.HasPrefix(dir, "/") {
			continue
		}
		full = path.Join(dir, name)
		if f, ok = r.fs.File(full); ok && !f.Dir && f.Executable {
			return full, f, true
		}
	}
	return "", File{}, false
}

// start resolves and notes a program, and reads it if it is a shell script.
func (r *run) start(list []word, more bool, at site) verdict {
	f, shell := r.step(list, more, at)
	if shell.ok {
		name, _, _ := r.find(list[0].text) // the kernel gives the interpreter the path
		r.follow(f, shell, name, list[1:], more, at)
	}
	return r.statusOf(path.Base(list[0].text))
}

// reading says how a script is read.
type reading struct {
	ok       bool
	dialect  dialect
	errexit  bool
	pipefail bool
}

// follow reads a script that runs as a process of its own.
func (r *run) follow(f File, how reading, name string, args []word, more bool, at site) {
	if at.files >= maxFiles {
		return
	}
	if f.Content == nil {
		r.fault(Unreadable, f.Path, "its content was not kept")
		return
	}
	in := r.source(f, how.dialect)
	if in.err != nil {
		r.fault(Unreadable, f.Path, in.err.Error())
		return
	}
	named := *in
	named.name = name
	r.process(&named, how, args, more, at)
}

// process runs a text in a new shell, which gets the exported variables only.
func (r *run) process(in *source, how reading, args []word, more bool, at site) {
	before := r.st
	vars := map[string]variable{}
	var layers []*scope
	for l := before.vars; l != nil; l = l.parent {
		layers = append(layers, l)
	}
	for _, l := range slices.Backward(layers) {
		r.steps += len(l.vars) / 64
		for key, v := range l.vars {
			if v.sent {
				vars[key] = v
			} else {
				delete(vars, key)
			}
		}
	}
	r.st = &state{vars: &scope{vars: vars}, args: r.globbed(args), argsOpen: more, cwd: before.cwd, root: before.root,
		errexit: how.errexit, pipefail: how.pipefail, unlikely: before.unlikely}
	c := context{in: in, maybe: at.maybe, unlikely: at.unlikely, tail: true, exits: true, returns: true, fatal: r.fatal(before, at), depth: at.depth, files: at.files + 1, user: at.user}
	locals := r.locals
	r.locals = nil
	r.list(in.tree.Stmts, c)
	r.locals = locals
	r.st = before
}

// fatal reports whether a failure here is one of the start.
func (r *run) fatal(st *state, at site) bool {
	return at.fatal && !at.soft && (at.exec && at.exits || at.fails(st))
}

// shell runs "sh -c TEXT NAME ARGS", "sh FILE ARGS" and the like.
func (r *run) shell(d dialect, list []word, more bool, at site) verdict {
	how := reading{ok: true, dialect: d}
	i, text := shellOptions(list, &how)
	if i < len(list) {
		r.passing(list, more, at)
	} else if at.exec || at.in == nil {
		r.step(list, more, at)
	}
	switch {
	case i >= len(list):
		return executed
	case text:
		r.inline(list, i, how, more, at)
		return executed
	case !list[i].static():
		return executed
	}
	name := list[i].text
	full, ok := r.absolute(list[i].value)
	if f, found := r.fs.File(full); ok && found && !f.Dir {
		r.follow(f, how, name, list[i+1:], more, at)
	} else if _, f, found := r.find(name); found {
		r.follow(f, how, name, list[i+1:], more, at)
	} else if at.in == nil {
		r.fault(NotFound, name, "the shell has nothing to read")
	}
	return executed
}

// shellOptions reads the options of a shell and gives the index of the first operand.
func shellOptions(list []word, how *reading) (at int, text bool) {
	i := 1
	for ; i < len(list) && list[i].static() && len(list[i].text) > 1 && (list[i].text[0] == '-' || list[i].text[0] == '+'); i++ {
		word := list[i].text
		if word == "--" {
			return i + 1, text
		}
		if strings.HasPrefix(word, "--") {
			if word == "--rcfile" || word == "--init-file" {
				i++
			}
			continue
		}
		on := word[0] == '-'
		takes := 0
		for _, letter := range word[1:] {
			switch letter {
			case 'c':
				text = true
			case 'e':
				how.errexit = on
			case 'o', 'O':
				takes++
			}
		}
		for ; takes > 0 && i+1 < len(list); takes-- {
			i++
			how.errexit = how.errexit || on && list[i].text == "errexit"
			how.pipefail = how.pipefail || on && list[i].text == "pipefail"
		}
	}
	return i, text
}

// inline runs the text after -c.
func (r *run) inline(list []word, i int, how reading, more bool, at site) {
	if at.files >= maxFiles {
		return
	}
	w, name := list[i], "sh"
	var args []word
	if i+1 < len(list) {
		name = list[i+1].text
		args = list[i+2:]
	}
	in, outer := r.inlineSource(w, how.dialect, name, at)
	switch {
	case in == nil:
		return
	case in.err != nil:
		r.fault(Unreadable, in.path, in.err.Error())
		return
	case outer:
		// The outer shell expands what stands in double quotes: its variables and its parameters.
		args, more = r.st.args, r.st.argsOpen
	}
	r.process(in, how, args, more, at)
}

// inlineSource gives the text of a word as a source whose places are those of its file, where the
// quotes allow that. outer: the text stands in double quotes.
func (r *run) inlineSource(w word, d dialect, name string, at site) (in *source, outer bool) {
	if w.in == nil {
		if !w.whole {
			return nil, false
		}
		r.hosts[w.field] = host{w.text, d}
		return newSource(w.field, w.text, 0, w.text, d, name), false
	}
	raw := w.in.raw(w.at)
	if !w.part && w.in.fixed == nil && len(raw) >= 2 {
		body := raw[1 : len(raw)-1]
		inside := span{w.at.start + 1, w.at.end - 1}
		switch {
		case raw[0] == '\'' && raw[len(raw)-1] == '\'' && !strings.Contains(body, "'"):
			return w.in.inner(inside, d, name), false
		case raw[0] == '"' && raw[len(raw)-1] == '"' && !strings.ContainsAny(body, "\"\\`"):
			return w.in.inner(inside, d, name), strings.Contains(body, "$")
		}
	}
	if !w.static() {
		return nil, false
	}
	return w.in.made(w.at, w.text, d, name), false
}

func sourceBuiltin(r *run, list []word, more bool, at site) verdict {
	if len(list) < 2 || !list[1].static() || at.files >= maxFiles {
		return perhaps
	}
	full, ok := r.absolute(list[1].value)
	f, found := r.fs.File(full)
	if !strings.Contains(list[1].text, "/") {
		if onPath, g, hit := r.findReadable(list[1].text); hit {
			full, f, ok, found = onPath, g, true, true
		}
	}
	if !ok || !found || f.Content == nil {
		return perhaps
	}
	in := r.source(f, at.in.dialect)
	if in.err != nil {
		r.fault(Unreadable, f.Path, in.err.Error())
		return perhaps
	}
	named := *in
	named.name = at.in.name // $0 stays
	c := at.context
	c.in, c.calls = &named, called(at.calls, "source")
	c.files++
	args, open := r.st.args, r.st.argsOpen
	if len(list) > 2 && at.in.dialect == bash {
		r.st.args, r.st.argsOpen = list[2:], more
		defer func() { r.st.args, r.st.argsOpen = args, open }()
	}
	c.returns = at.fails(r.st)
	v := r.list(in.tree.Stmts, c)
	if r.st.end == returned {
		v = r.st.status
	}
	r.settle(returned)
	return v
}

// findReadable looks a sourced file up on PATH, where it need not be executable.
func (r *run) findReadable(name string) (string, File, bool) {
	v := r.st.vars.get("PATH")
	if !v.static() {
		return "", File{}, false
	}
	for _, dir := range strings.Split(v.text, ":") {
		if f, ok := r.fs.File(path.Join("/", dir, name)); ok && !f.Dir {
			return path.Join("/", dir, name), f, true
		}
	}
	return "", File{}, false
}

// passing notes a program that only starts another one.
func (r *run) passing(list []word, more bool, at site) {
	if at.exec || at.in == nil {
		at.pass = true
		r.step(list, more, at)
	}
}

// findCommand reads what find(1) does to what it finds.
func (r *run) findCommand(list []word, at site) verdict {
	i := 1
	var roots []word
	for ; i < len(list) && !strings.HasPrefix(list[i].text, "-") && list[i].text != "(" && list[i].text != "!"; i++ {
		roots = append(roots, list[i])
	}
	for ; i < len(list); i++ {
		switch list[i].text {
		case "-delete":
			r.findDelete(roots, at)
		case "-exec", "-execdir", "-ok", "-okdir":
			end := i + 1
			for end < len(list) && list[end].text != ";" && (list[end].text != "+" || list[end-1].text != "{}") {
				end++
			}
			if end < len(list) && end > i+1 {
				r.findExec(list[i+1:end], roots, list[end].text == ";", at)
			}
			i = end
		}
	}
	return executed
}

func (r *run) findExec(inner, roots []word, each bool, at site) {
	var call []word
	for _, w := range inner {
		if w.text == "{}" && w.static() {
			call = append(call, roots...)
		} else {
			call = append(call, w)
		}
	}
	at.deep, at.exec, at.tail = true, false, at.tail || at.exec
	at.soft = at.soft || each // find's own status is that of the walk
	r.external(call, false, at)
}

func (r *run) findDelete(roots []word, at site) {
	t := r.newTask(Remove, at)
	for _, w := range roots {
		t.Paths = append(t.Paths, r.pathOf(w.value, true))
	}
	r.see(t, at)
}

var xargsGrammar = grammar{short: "IELnPsda", long: []string{"arg-file", "delimiter", "max-lines", "max-args", "max-procs", "max-chars", "replace"}}

// xargs runs a command with words that are not known.
func (r *run) xargs(list []word, more bool, at site) verdict {
	_, operands := xargsGrammar.getopt(texts(list), 1)
	if len(operands) == 0 {
		return executed
	}
	call := slices.Clone(list[operands[0]:])
	call = append(call, word{value: unknown(), in: at.in, at: at.at, here: at.at, part: true})
	at.exec, at.tail = false, at.tail || at.exec
	r.external(call, true, at)
	return executed
}

// runParts runs every executable of a directory.
func (r *run) runParts(list []word, at site) verdict {
	dir, ok := r.absolute(list[len(list)-1].value)
	if !ok || len(list) < 2 {
		return executed
	}
	at.exec, at.tail = false, at.tail || at.exec
	for _, name := range r.entries(dir) {
		if f, ok := r.fs.File(name); ok && f.Executable && !f.Dir {
			r.start([]word{{value: known(name), in: at.in, at: at.at, here: at.at, part: true}}, false, at)
		}
	}
	return executed
}
