//go:build !linux || !(amd64 || arm64)

package compat

import (
	"errors"
	"runtime"

	"unroot/internal/startup"
)

func errAbsent() error {
	return errors.New("answering calls: unroot-init does it on amd64 and arm64, not on " + runtime.GOARCH)
}

// Supervisor answers the calls of a program, on other machines than this.
type Supervisor struct{}

// Available tells that it is not there.
func Available() error { return errAbsent() }

// Simple fails.
func Simple() error { return errAbsent() }

// Start fails.
func Start(startup.Compat, string, []string, []string) (int, *Supervisor, error) {
	return 0, nil, errAbsent()
}

// Serve fails.
func (*Supervisor) Serve() error { return errAbsent() }

// Reaped does nothing.
func (*Supervisor) Reaped(int) {}

// Close does nothing.
func (*Supervisor) Close() {}
