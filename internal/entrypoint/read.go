package entrypoint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// reader is what the runs of one Read share: the files as parsed.
type reader struct {
	fs      FS
	sources map[string]*source
	hosts   map[string]host
}

// source parses a script once.
func (r *reader) source(f File, d dialect) *source {
	key := fmt.Sprint(f.Path, "\x00", d)
	if s, ok := r.sources[key]; ok {
		return s
	}
	s := newSource(f.Path, string(f.Content), 0, string(f.Content), d, f.Path)
	r.sources[key] = s
	if s.err == nil {
		r.hosts[f.Path] = host{s.host, d}
	}
	return s
}

// Read follows what the container starts, through wrappers, shells, scripts and functions. It reads
// every script twice: as a start as root would run it, and as one as another user would, so that what
// only one of them reaches is known without a list of the ways to test for root. Conditions that rest
// on Cmd, Env or files are decided as the image has them, and the other way is looked at too. It never
// fails: what cannot be read is a Problem.
func Read(fs FS, start Start) Story {
	var story Story
	if len(start.Entrypoint)+len(start.Cmd) == 0 {
		story.Problems = []Problem{{Reason: NoCommand, Detail: "Entrypoint and Cmd are empty"}}
		return story
	}
	shared := &reader{fs: fs, sources: map[string]*source{}, hosts: map[string]host{}}
	asRoot := shared.run(start, true)
	asOther := shared.run(start, false)
	story.Tasks = mergeTasks(asRoot.tasks, asOther.tasks)
	shared.checkEdits(story.Tasks)
	for _, s := range mergeSteps(asRoot.chain, asOther.chain) {
		story.Steps = append(story.Steps, s.Step)
		if s.works() {
			story.Programs = append(story.Programs, s.Step)
		}
	}
	for _, r := range []*run{asRoot, asOther} {
		for _, p := range r.faults {
			if p.Reason == NeedsRoot && asRoot.fails() {
				continue // nobody gets past it
			}
			if !slices.Contains(story.Problems, p) {
				story.Problems = append(story.Problems, p)
			}
		}
	}
	if asRoot.cut || asOther.cut {
		story.Problems = append(story.Problems, Problem{Reason: Limit, Detail: fmt.Sprintf("%d statements, nested %d times", maxSteps, maxDepth)})
	}
	return story
}

// fails reports whether the start ends as failed, whatever it is given.
func (r *run) fails() bool {
	return slices.ContainsFunc(r.faults, func(p Problem) bool { return p.Reason == NeedsRoot })
}

// works reports whether the step is a program that does the container's work.
func (s seenStep) works() bool {
	if s.What == Shell || s.wrapper {
		return false
	}
	return s.Exec || s.What == ELF || s.What == Script || s.Script == ""
}

// run reads one start.
func (r *reader) run(start Start, asRoot bool) *run {
	out := &run{reader: r, asRoot: asRoot, assigned: map[syntax.Node][]string{}, written: map[string]bool{}, tasks: map[taskKey]*sight{}}
	vars := map[string]variable{}
	for _, name := range strings.Fields("HOME HOSTNAME TERM IFS RANDOM SECONDS LINENO PPID SHELL OLDPWD OPTARG OPTIND BASH_VERSION BASH_LINENO BASHPID") {
		vars[name] = variable{sent: name == "HOME" || name == "HOSTNAME" || name == "TERM"}
	}
	vars["PATH"] = variable{value: known(defaultPath).shake(), sent: true}
	for _, e := range start.Env {
		name, text, ok := strings.Cut(e, "=")
		if ok && len(text) <= maxText {
			vars[name] = variable{value: known(text).shake(), sent: true}
		}
	}
	cwd := start.WorkingDir
	if !strings.HasPrefix(cwd, "/") {
		cwd = "/" + cwd
	}
	out.st = &state{vars: &scope{vars: vars}, cwd: known(cwd), root: asRoot}
	list := configWords(start)
	at := site{context: context{tail: true, exits: true, fatal: true}, exec: true}
	out.external(list, false, at)
	return out
}

func configWords(start Start) []word {
	var list []word
	for i, text := range start.Entrypoint {
		list = append(list, word{value: known(text), field: fmt.Sprintf("Entrypoint[%d]", i)})
	}
	for i, text := range start.Cmd {
		list = append(list, word{value: known(text).shake(), field: fmt.Sprintf("Cmd[%d]", i)})
	}
	if len(list) > maxWords {
		list = list[:maxWords]
	}
	return list
}

// mergeTasks says of each task which starts reach it.
func mergeTasks(asRoot, asOther map[taskKey]*sight) []Task {
	var out []Task
	for key, root := range asRoot {
		other, both := asOther[key]
		t := root.task
		if !both {
			t.Guard = RootOnly
			out = append(out, t)
			continue
		}
		t.Guard = Always
		if root.maybe || other.maybe || root.task.Unlikely || other.task.Unlikely {
			t.Guard = Maybe
		}
		t.Edits, t.EditNote = nil, ""
		t.merge(other.task)
		t.Fatal, t.Unlikely = other.task.Fatal, other.task.Unlikely
		out = append(out, t)
	}
	for key, other := range asOther {
		if _, both := asRoot[key]; !both {
			t := other.task
			t.Guard = NonRootOnly
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b Task) int {
		return cmp.Or(cmp.Compare(a.Script, b.Script), cmp.Compare(a.Start, b.Start), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Text, b.Text))
	})
	return out
}

// mergeSteps puts the steps of a start as another user first-come into those of a start as root.
func mergeSteps(asRoot, asOther []seenStep) []seenStep {
	root, other := distinct(asRoot), distinct(asOther)
	inRoot, inOther := places(root), places(other)
	out := make([]seenStep, 0, len(root)+len(other))
	done := 0
	upTo := func(end int) {
		for ; done < end; done++ {
			if _, both := inRoot[other[done].key()]; !both {
				out = append(out, nonRoot(other[done]))
			}
		}
	}
	for _, s := range root {
		i, both := inOther[s.key()]
		if !both {
			s.Guard = RootOnly
			out = append(out, s)
			continue
		}
		upTo(i)
		if s.Guard == Always {
			s.Guard = other[i].Guard
		}
		s.User, s.Unlikely = other[i].User, other[i].Unlikely
		out = append(out, s)
		done = max(done, i+1)
	}
	upTo(len(other))
	return out
}

// places gives the index of every step by its key.
func places(list []seenStep) map[string]int {
	at := map[string]int{}
	for i, s := range list {
		at[s.key()] = i
	}
	return at
}

func nonRoot(s seenStep) seenStep {
	s.Guard = NonRootOnly
	return s
}

// distinct keeps the first of equal steps, as the surest of them.
func distinct(list []seenStep) []seenStep {
	at := map[string]int{}
	var out []seenStep
	for _, s := range list {
		if i, ok := at[s.key()]; ok {
			out[i].Guard = min(out[i].Guard, s.Guard)
			out[i].Unlikely = out[i].Unlikely && s.Unlikely
			continue
		}
		at[s.key()] = len(out)
		out = append(out, s)
	}
	return out
}

// key says which steps are the same one.
func (s seenStep) key() string {
	var b strings.Builder
	fmt.Fprint(&b, s.Script, "\x00", s.offset, "\x00", s.Path, "\x00", s.Open)
	for _, w := range s.Argv {
		fmt.Fprint(&b, "\x00", w.Value, w.Known)
	}
	return b.String()
}
