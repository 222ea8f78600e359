//go:build !linux || !(amd64 || arm64)

package tracer

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"unroot/internal/sandbox/launch"
	"unroot/internal/trace"
)

// Tracer needs Linux on amd64 or arm64.
type Tracer struct{}

// Process is one that Start started.
type Process struct{}

func unavailable() error {
	return fmt.Errorf("tracing on %s/%s: %w: it needs Linux on amd64 or arm64", runtime.GOOS, runtime.GOARCH, errors.ErrUnsupported)
}

// New gives a tracer that starts nothing.
func New(Options) *Tracer { return &Tracer{} }

// Start needs Linux.
func (*Tracer) Start(launch.Spec, *os.ProcAttr) (*Process, error) { return nil, unavailable() }

// Signal needs Linux.
func (*Tracer) Signal(int, syscall.Signal) error { return unavailable() }

// Log is empty.
func (*Tracer) Log() trace.Log { return trace.Log{} }

// Close does nothing.
func (*Tracer) Close() {}

// PID is 0.
func (*Process) PID() int { return 0 }

// Done is never closed.
func (*Process) Done() <-chan struct{} { return nil }

// State is empty.
func (*Process) State() (status int, signal string) { return 0, "" }

// Harden needs Linux.
func Harden() error { return unavailable() }
