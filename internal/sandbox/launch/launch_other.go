//go:build !linux

package launch

import (
	"errors"
	"fmt"
	"os"
)

// Executable is the program that is started as a stage.
var Executable = ""

// Held is a process that is about to become its program.
type Held struct{}

// Start needs Linux.
func Start(Spec, *os.ProcAttr) (*Held, error) {
	return nil, fmt.Errorf("starting a confined process: %w: it needs Linux", errors.ErrUnsupported)
}

// PID is 0.
func (*Held) PID() int { return 0 }

// Ready needs Linux.
func (*Held) Ready() error { return errors.ErrUnsupported }

// Release needs Linux.
func (*Held) Release() error { return errors.ErrUnsupported }

// Close does nothing.
func (*Held) Close() {}
