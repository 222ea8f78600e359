package tracer

import (
	"slices"

	"unroot/internal/trace"
)

// maxKnown bounds the paths of which answers are known, and maxQuestions the questions for each.
const (
	maxKnown     = 65536
	maxQuestions = 64
)

// question is who asks for a path, and what.
type question struct {
	who   *identity
	exe   string
	call  *call
	flags uint32
}

// answers is the questions whose answer is known not to be worth a stop: the same program with the
// same credentials has asked before, and the run itself has done nothing since that would change it.
type answers struct {
	paths   map[string][]question
	missing map[string]bool // the paths that are not there
	written map[string]bool // the paths that an open with O_CREAT found or made
}

func newAnswers() answers {
	return answers{map[string][]question{}, map[string]bool{}, map[string]bool{}}
}

// has reports whether the answer is known, and whether it is ENOENT.
func (a *answers) has(path string, q question) (known, missing bool) {
	if !slices.Contains(a.paths[path], q) {
		return false, false
	}
	return true, a.missing[path]
}

func (a *answers) learn(path string, q question, missing bool) {
	if len(a.paths) >= maxKnown || len(a.paths[path]) >= maxQuestions {
		a.clear()
	}
	if a.missing[path] != missing {
		delete(a.paths, path) // what others were told before is not true any more
	}
	if missing {
		a.missing[path] = true
	} else {
		delete(a.missing, path)
	}
	if !slices.Contains(a.paths[path], q) {
		a.paths[path] = append(a.paths[path], q)
	}
}

func (a *answers) clear() {
	clear(a.paths)
	clear(a.missing)
	clear(a.written)
}

// changed drops what a successful call makes uncertain. A file that is removed changes the answers for
// its own path alone, and most of those are temporary ones that nobody looks at by other names; all
// other changes can change the answers for any path, as symlinks lead anywhere. A file that is opened
// with O_CREAT a second time changes nothing.
func (a *answers) changed(e *trace.Event) {
	switch {
	case e.Kind == trace.Remove:
		delete(a.paths, e.Path)
		delete(a.missing, e.Path)
		delete(a.written, e.Path)
	case e.Kind == trace.Open && creates(e.Want):
		if a.written[e.Path] {
			return
		}
		a.clear()
		a.written[e.Path] = true
	case changesFiles(e.Kind), changesRights(e.Kind), e.Kind == trace.Bind && isUnix(e.Addr):
		a.clear()
	}
}
