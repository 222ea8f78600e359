package entrypoint

import (
	"path"
	"slices"
	"strings"
)

// seenStep is a step as one run saw it.
type seenStep struct {
	Step
	offset  int  // in Script
	wrapper bool // it only starts the next step
}

// step notes a program that starts, and says how it is read if it is a shell script.
func (r *run) step(list []word, more bool, at site) (File, reading) {
	s := seenStep{Step: Step{Open: more, Exec: at.exec, User: at.user, Unlikely: r.unlikely(at.context)}, wrapper: at.pass}
	for _, w := range list {
		s.Argv = append(s.Argv, Word{Value: w.text, Known: w.static() && w.nature == plain})
	}
	if at.in != nil {
		s.Script, s.Line, s.offset = at.in.path, at.in.line(at.at.start), at.at.start
	}
	s.Guard = r.guard(at.context)
	if !list[0].static() {
		r.addStep(s, at)
		return File{}, reading{}
	}
	full, f, ok := r.find(list[0].text)
	if !ok {
		s.What = Missing
		r.missing(list[0].text, at)
		r.addStep(s, at)
		return File{}, reading{}
	}
	s.Path = f.Path
	if s.Path == "" {
		s.Path = full
	}
	how := r.classify(&s.Step, f, at)
	r.addStep(s, at)
	return f, how
}

// own reports whether a step is worth a place in the story: not a utility on the way, not a guess.
func own(s seenStep, at site) bool {
	if at.exec || at.in == nil || s.What == Shell {
		return true
	}
	return (s.What == ELF || s.What == Script) && !utilities[path.Base(s.Path)] && !utilities[path.Base(s.Argv[0].Value)]
}

func (r *run) addStep(s seenStep, at site) {
	if own(s, at) && len(r.chain) < maxSteps/8 {
		r.chain = append(r.chain, s)
	}
}

func (r *run) missing(name string, at site) {
	if (at.exec || at.in == nil) && !at.quiet && !r.unlikely(at.context) {
		r.fault(NotFound, name, "searched as execvp does")
	}
}

func (r *run) fault(reason Reason, where, detail string) {
	p := Problem{Reason: reason, Path: where, Detail: detail}
	if len(r.faults) < maxItems && !slices.Contains(r.faults, p) {
		r.faults = append(r.faults, p)
	}
}

// classify says what a file is, and what is wrong with starting it.
func (r *run) classify(s *Step, f File, at site) reading {
	starts := at.exec || at.in == nil
	switch {
	case f.Dir:
		s.What = Other
		if starts {
			r.fault(IsDirectory, s.Path, "")
		}
		return reading{}
	case !f.Executable && starts:
		r.fault(NotExecutable, s.Path, "")
	}
	if f.ELF {
		s.What = ELF
		return reading{}
	}
	s.Interp = interpOf(f)
	if s.Interp == "" {
		return r.noShebang(s, f, at)
	}
	how, program := r.interpreter(s.Interp)
	if program != "" {
		if _, _, ok := r.find(program); !ok && starts {
			r.fault(NoInterpreter, s.Path, program)
		}
	}
	s.What = Script
	if how.ok {
		s.What = Shell
	}
	return how
}

// noShebang is a file of no known kind. execve(2) refuses text without "#!"; a shell reads it itself.
func (r *run) noShebang(s *Step, f File, at site) reading {
	s.What = Other
	if f.Content == nil || strings.ContainsRune(string(f.Content[:min(len(f.Content), 256)]), 0) {
		return reading{}
	}
	s.What = Shell
	if at.in == nil && len(r.chain) == 0 {
		r.fault(NoShebang, s.Path, "the start fails with: exec format error")
	}
	return reading{ok: true}
}

func interpOf(f File) string {
	if f.Interp != "" {
		return strings.TrimSpace(f.Interp)
	}
	line, ok := strings.CutPrefix(string(f.Content[:min(len(f.Content), 256)]), "#!")
	if !ok {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	return strings.TrimSpace(line)
}

// interpreter reads the rest of a "#!" line, through env, dumb-init, with-contenv and the like.
func (r *run) interpreter(line string) (how reading, program string) {
	words := strings.Fields(strings.TrimSuffix(line, "\r"))
	if len(words) == 0 {
		return reading{}, ""
	}
	program = words[0]
	for len(words) > 1 {
		w, ok := wrappers[path.Base(words[0])]
		if !ok {
			break
		}
		rest := words[1:]
		for len(rest) > 0 && (rest[0] == "-S" || rest[0] == "--") {
			rest = rest[1:]
		}
		next := w.command(append([]string{words[0]}, rest...), 0)
		if next > len(rest) {
			break
		}
		words = rest[next-1:]
	}
	d, ok := shellNamed(r.fs, words[0])
	how = reading{ok: ok, dialect: d}
	if ok {
		var list []word
		for _, w := range words {
			list = append(list, word{value: known(w)})
		}
		shellOptions(list, &how)
	}
	return how, program
}
