package entrypoint

import (
	"strings"
)

type builtin func(r *run, list []word, more bool, at site) verdict

// builtins are the commands that change the shell itself, or that it answers itself.
var builtins map[string]builtin

func init() {
	builtins = map[string]builtin{
		":": succeed, "true": succeed, "false": func(*run, []word, bool, site) verdict { return never },
		"echo": succeed, "printf": printfBuiltin, "umask": succeed, "wait": plainly, "times": succeed, "alias": succeed, "jobs": succeed, "bg": succeed,
		"fg": plainly, "shopt": succeed, "let": plainly, "disown": succeed, "enable": succeed, "help": succeed, "history": succeed,
		"exec": execBuiltin, "command": commandBuiltin, "builtin": again, "eval": evalBuiltin, ".": sourceBuiltin, "source": sourceBuiltin,
		"set": setBuiltin, "shift": shiftBuiltin, "exit": exitBuiltin, "return": returnBuiltin, "break": breakBuiltin, "continue": breakBuiltin,
		"unset": unsetBuiltin, "read": readBuiltin, "mapfile": readBuiltin, "readarray": readBuiltin, "getopts": readBuiltin,
		"cd": cdBuiltin, "pushd": cdBuiltin, "popd": cdBuiltin, "trap": trapBuiltin,
		"test": testBuiltin, "[": testBuiltin, "[[": testBuiltin, "type": typeBuiltin, "hash": typeBuiltin, "which": typeBuiltin,
		"export": exportBuiltin, "readonly": exportBuiltin, "local": exportBuiltin, "declare": exportBuiltin, "typeset": exportBuiltin,
	}
}

func succeed(*run, []word, bool, site) verdict { return surely }

func plainly(*run, []word, bool, site) verdict { return executed }

func again(r *run, list []word, more bool, at site) verdict {
	return r.command(list[1:], more, at)
}

func printfBuiltin(r *run, list []word, _ bool, _ site) verdict {
	if len(list) > 2 && list[1].text == "-v" && isName(list[2].text) {
		r.assign(list[2].text, variable{})
	}
	return surely
}

func execBuiltin(r *run, list []word, more bool, at site) verdict {
	list = list[1:]
	for len(list) > 0 && strings.HasPrefix(list[0].text, "-") && len(list[0].text) > 1 {
		if strings.HasSuffix(list[0].text, "a") && len(list) > 1 {
			list = list[1:]
		}
		list = list[1:]
	}
	if len(list) == 0 && !more {
		return surely
	}
	at.exec, at.tail = true, true
	if len(list) > 0 {
		r.external(list, more, at)
	} else {
		r.step([]word{{value: unknown(), in: at.in, at: at.at, part: true}}, true, at)
	}
	r.st.end, r.st.failed, r.st.status = exited, false, executed
	return executed
}

func commandBuiltin(r *run, list []word, more bool, at site) verdict {
	if len(list) > 1 && (list[1].text == "-v" || list[1].text == "-V") {
		if len(list) == 3 && list[2].static() {
			return r.exists(list[2].text)
		}
		return perhaps
	}
	list = list[1:]
	for len(list) > 0 && list[0].text == "-p" {
		list = list[1:]
	}
	if len(list) == 0 {
		return executed
	}
	if b, ok := builtins[list[0].text]; ok && list[0].static() {
		return b(r, list, more, at)
	}
	return r.external(list, more, at)
}

func typeBuiltin(r *run, list []word, _ bool, _ site) verdict {
	if last := list[len(list)-1]; len(list) >= 2 && last.static() && !strings.HasPrefix(last.text, "-") {
		return r.exists(last.text)
	}
	return perhaps
}

// exists answers "command -v": what a shell knows itself, or what the image has on PATH.
func (r *run) exists(name string) verdict {
	if _, ok := builtins[name]; ok || r.st.vars.get(name+"()").fn != nil {
		return surely
	}
	_, _, ok := r.find(name)
	return answer(ok, true)
}

func evalBuiltin(r *run, list []word, more bool, at site) verdict {
	v := r.joined(list[1:], more)
	if !v.whole || v.nature != plain || at.files >= maxFiles {
		return perhaps
	}
	in := at.in.made(at.at, v.text, at.in.dialect, at.in.name)
	c := at.context
	c.in = in
	c.files++
	if in.err != nil {
		return perhaps
	}
	return r.list(in.tree.Stmts, c)
}

func setBuiltin(r *run, list []word, more bool, at site) verdict {
	for i := 1; i < len(list); i++ {
		text := list[i].text
		switch {
		case text == "--", text == "-":
			r.setArgs(list[i+1:], more)
			return surely
		case (text == "-o" || text == "+o") && i+1 < len(list):
			i++
			r.option(list[i].text, text[0] == '-')
		case len(text) > 1 && (text[0] == '-' || text[0] == '+') && list[i].static():
			for _, letter := range text[1:] {
				if letter == 'e' {
					r.st.errexit = text[0] == '-'
				}
				if letter == 'o' && i+1 < len(list) {
					i++
					r.option(list[i].text, text[0] == '-')
				}
			}
		default:
			r.setArgs(list[i:], more)
			return surely
		}
	}
	return surely
}

func (r *run) option(name string, on bool) {
	switch name {
	case "errexit":
		r.st.errexit = on
	case "pipefail":
		r.st.pipefail = on
	}
}

func (r *run) setArgs(list []word, more bool) {
	r.st.args, r.st.argsOpen = r.globbed(list), more
	if len(r.st.args) > maxWords {
		r.st.args, r.st.argsOpen = r.st.args[:maxWords], true
	}
}

func shiftBuiltin(r *run, list []word, _ bool, _ site) verdict {
	n := number{n: 1, whole: true}
	if len(list) > 1 {
		n = numberOf(list[1].value)
	}
	switch {
	case !n.whole || n.n < 0:
		r.st.args, r.st.argsOpen = nil, true
	case n.n <= int64(len(r.st.args)):
		r.st.args = r.st.args[n.n:]
	default:
		r.st.args = nil
	}
	return surely
}

func exitBuiltin(r *run, list []word, _ bool, at site) verdict {
	r.st.end, r.st.status = exited, exitStatus(list)
	r.st.failed = r.st.status.is != right
	if r.st.status.definite(no) {
		r.stops(at.context, at.at)
	}
	return r.st.status
}

func returnBuiltin(r *run, list []word, _ bool, _ site) verdict {
	r.st.end, r.st.status = returned, exitStatus(list)
	return r.st.status
}

func exitStatus(list []word) verdict {
	if len(list) < 2 || !list[1].static() {
		return perhaps
	}
	return answer(list[1].text == "0", false)
}

func breakBuiltin(r *run, _ []word, _ bool, _ site) verdict {
	r.st.end = broken
	return surely
}

func unsetBuiltin(r *run, list []word, _ bool, _ site) verdict {
	for _, w := range list[1:] {
		if w.static() && isName(w.text) {
			r.st.vars.set(w.text, variable{value: known("")})
		}
	}
	return surely
}

func readBuiltin(r *run, list []word, _ bool, _ site) verdict {
	for _, w := range list[1:] {
		if w.static() && isName(w.text) {
			r.st.vars.set(w.text, variable{})
		}
	}
	return perhaps
}

func cdBuiltin(r *run, list []word, _ bool, _ site) verdict {
	to := unknown()
	if list[0].text == "cd" && len(list) == 2 {
		if full, ok := r.absolute(list[1].value); ok && list[1].text != "-" {
			to = known(full)
			to.shaky = list[1].shaky
		}
	}
	r.st.cwd = to
	return executed
}

// trapBuiltin looks at what runs at the end, where it is one known text.
func trapBuiltin(r *run, list []word, _ bool, at site) verdict {
	if len(list) > 2 && list[1].static() && list[1].text != "-" && at.files < maxFiles {
		c := at.context.inCondition()
		c.maybe = true
		c.files++
		if in := at.in.made(at.at, list[1].text, at.in.dialect, at.in.name); in.err == nil {
			r.apart(func() verdict { c.in = in; return r.list(in.tree.Stmts, c) }, executed)
		}
	}
	return surely
}

func testBuiltin(r *run, list []word, more bool, _ site) verdict {
	end := len(list)
	if name := list[0].text; name != "test" {
		if end < 2 || list[end-1].text != map[string]string{"[": "]", "[[": "]]"}[name] {
			return perhaps
		}
		end--
	}
	return r.testCommand(list[1:end], more)
}

func exportBuiltin(r *run, list []word, _ bool, at site) verdict {
	name := list[0].text
	for _, w := range list[1:] {
		key, text, given := strings.Cut(w.text, "=")
		if !isName(key) || !given && !w.static() {
			continue
		}
		if name == "local" {
			r.makeLocal(key)
		}
		if given {
			v := w.value
			v.text, v.glob = text, false
			r.assign(key, variable{value: v})
		} else if name == "local" {
			r.st.vars.set(key, variable{value: known("")})
		}
		if name == "export" {
			v := r.st.vars.get(key)
			v.sent = true
			r.st.vars.set(key, v)
		}
	}
	return surely
}
