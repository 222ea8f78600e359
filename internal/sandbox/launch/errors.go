package launch

import (
	"errors"
	"io/fs"
)

// Kind is what sort of failure kept a program from starting.
type Kind string

// The kinds, with the exit statuses that engines give for them.
const (
	NotFound   Kind = "not found"  // no such program: 127
	Permission Kind = "permission" // found, but not to be executed: 126
	Setup      Kind = "setup"      // the world of the run could not be made: 125
)

// Error is why a stage could not start its program. It answers errors.Is for fs.ErrNotExist and
// fs.ErrPermission where that is its kind.
type Error struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

// Error is the text alone: the kind is for exit statuses.
func (e *Error) Error() string { return e.Text }

// Is reports whether target is the general error for the kind.
func (e *Error) Is(target error) bool {
	return e.Kind == NotFound && target == fs.ErrNotExist || e.Kind == Permission && target == fs.ErrPermission
}

// Status is the exit status that container engines give where a program could not be started.
func Status(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, fs.ErrNotExist):
		return 127
	case errors.Is(err, fs.ErrPermission):
		return 126
	}
	return 125
}
