package tracer

import (
	"unroot/internal/trace"
)

// maxKnown bounds the paths of which answers are known, and the questions for each.
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

// answers is the questions whose answer is known not to be worth a stop, by the path asked for.
type answers map[string][]question

func (a answers) has(path string, q question) bool {
	for _, known := range a[path] {
		if known == q {
			return true
		}
	}
	return false
}

func (a answers) learn(path string, q question) {
	if a.has(path, q) {
		return
	}
	if len(a) >= maxKnown || len(a[path]) >= maxQuestions {
		clear(a)
	}
	a[path] = append(a[path], q)
}

// forget drops what a change makes uncertain. A file that is removed changes the answers for its own
// path alone, and most of those are temporary ones that nobody looks at by other names; all other
// changes can change the answers for any path, as symlinks lead anywhere.
func (a answers) forget(e *trace.Event) {
	if e.Kind == trace.Remove {
		delete(a, e.Path)
		return
	}
	clear(a)
}
