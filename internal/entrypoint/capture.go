package entrypoint

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// capture runs a command substitution and gives what it prints, where that is known.
func (r *run) capture(s *syntax.CmdSubst, c context) value {
	if r.spent(c) {
		return unknown()
	}
	inner := c.deeper()
	fails := c.assigned && c.fails(r.st)
	inner.tail, inner.ends, inner.exits, inner.returns, inner.assigned = false, fails, fails, fails, false
	if c.in.dialect == bash {
		// bash clears errexit in $( ) unless inherit_errexit is set, and so does busybox; dash keeps it. /bin/sh
		// is taken for dash: that calls a command fatal too often, never too rarely.
		inner.ignored = true
	}
	before := r.st
	r.st = before.fork()
	r.list(s.Stmts, inner)
	r.st = before
	if len(s.Stmts) != 1 {
		return unknown()
	}
	return r.output(s.Stmts[0], inner)
}

// output is what a simple command prints, without running anything.
func (r *run) output(s *syntax.Stmt, c context) value {
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || s.Negated || s.Background || len(call.Args) == 0 || r.spent(c) {
		return unknown()
	}
	before := r.st
	r.st = before.fork()
	defer func() { r.st = before }()
	list, open := r.words(call.Args, c)
	argv := texts(list)
	if len(argv) == 0 {
		return unknown()
	}
	name := path.Base(argv[0])
	if fn := r.st.vars.get(argv[0] + "()").fn; fn != nil {
		return r.functionOutput(fn, list, open, c)
	}
	if open {
		return unknown()
	}
	switch name {
	case "command":
		if len(argv) == 3 && argv[1] == "-v" {
			return r.which(argv[2])
		}
		return unknown()
	case "which", "type":
		return r.which(argv[len(argv)-1])
	case "id":
		return r.idOutput(argv[1:])
	case "whoami", "logname":
		return r.userName()
	case "pwd":
		return r.st.cwd
	case "echo", "printf":
		return echoOutput(list)
	}
	return r.pathOutput(name, list)
}

// functionOutput looks into a function that only prints, such as one that calls "id -u".
func (r *run) functionOutput(fn *function, list []word, open bool, c context) value {
	block, ok := fn.body.Cmd.(*syntax.Block)
	if !ok || len(block.Stmts) != 1 || len(c.calls) > maxFiles {
		return unknown()
	}
	c.in, c.calls = fn.in, called(c.calls, fn.name)
	r.st.args, r.st.argsOpen = list[1:], open
	return r.output(block.Stmts[0], c)
}

// idOutput is what id(1) prints for the process's own user.
func (r *run) idOutput(args []string) value {
	flags := map[rune]bool{}
	for _, a := range args {
		switch {
		case a == "--user":
			flags['u'] = true
		case a == "--name":
			flags['n'] = true
		case a == "--group":
			flags['g'] = true
		case a == "--real":
		case strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--"):
			for _, letter := range a[1:] {
				flags[letter] = true
			}
		default:
			return unknown() // the ids of an account
		}
	}
	switch {
	case flags['u'] && flags['n']:
		return r.userName()
	case flags['u']:
		return r.uid()
	case flags['g'] && r.st.root && !flags['n']:
		return known("0")
	}
	return unknown()
}

// echoOutput is what echo and printf of plain words print.
func echoOutput(list []word) value {
	name, args := list[0].text, list[1:]
	for len(args) > 0 && (args[0].text == "-n" || args[0].text == "-e") && name == "echo" {
		args = args[1:]
	}
	if name == "printf" {
		if len(args) != 2 || strings.TrimSuffix(args[0].text, `\n`) != "%s" {
			return unknown()
		}
		args = args[1:]
	}
	v := known("")
	for i, w := range args {
		if i > 0 {
			v = v.then(known(" "))
		}
		v = v.then(w.value)
	}
	if strings.Contains(v.text, "\\") {
		return unknown()
	}
	return v
}

// pathOutput is what dirname, basename, readlink, realpath and cat print.
func (r *run) pathOutput(name string, list []word) value {
	last := list[len(list)-1].value
	if !last.static() || len(list) < 2 || strings.HasPrefix(last.text, "-") {
		return unknown()
	}
	out := known("")
	out.shaky = last.shaky
	switch {
	case name == "dirname" && len(list) == 2:
		out.text = path.Dir(last.text)
	case name == "basename" && len(list) == 2:
		out.text = path.Base(last.text)
	case name == "basename" && len(list) == 3 && list[1].static():
		out.text = strings.TrimSuffix(path.Base(list[1].text), last.text)
	case name == "readlink" || name == "realpath":
		return r.realPath(last)
	case name == "cat" && len(list) == 2:
		return r.fileText(last)
	default:
		return unknown()
	}
	return out
}

func (r *run) realPath(v value) value {
	full, ok := r.absolute(v)
	if !ok {
		return unknown()
	}
	out := known(full).shake()
	if f, found := r.fs.File(full); found && f.Path != "" {
		out.text = f.Path
	}
	return out
}

// fileText is the content of a file of one line.
func (r *run) fileText(v value) value {
	full, ok := r.absolute(v)
	if !ok {
		return unknown()
	}
	f, found := r.fs.File(full)
	text := strings.TrimRight(string(f.Content[:min(len(f.Content), 512)]), "\n")
	if !found || f.Content == nil || len(f.Content) >= 512 || strings.ContainsAny(text, "\n\x00") {
		return unknown()
	}
	return known(text).shake()
}

// which is what "command -v" prints.
func (r *run) which(name string) value {
	if strings.Contains(name, hole) {
		return unknown()
	}
	if full, _, ok := r.find(name); ok {
		return known(full).shake()
	}
	return unknown()
}

// absolute gives the clean path that a word means in the working directory.
func (r *run) absolute(v value) (string, bool) {
	if !v.static() || v.text == "" || v.nature != plain {
		return "", false
	}
	if strings.HasPrefix(v.text, "/") {
		return path.Clean(v.text), true
	}
	if !r.st.cwd.static() {
		return "", false
	}
	return path.Join(r.st.cwd.text, v.text), true
}

// texts gives the words as strings, with hole for what is not known.
func texts(list []word) []string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = w.text
		if !w.whole || w.nature != plain {
			out[i] += hole
		}
	}
	return out
}
