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

// Settings is a step, and what it does not do unless it is told.
type Settings struct {
	Step    startup.Compat
	Chroots bool
}

// Start fails.
func (Settings) Start(string, []string, []string) (int, *Supervisor, error) {
	return 0, nil, errAbsent()
}

// Supervisor answers the calls of a program, on other machines than this.
type Supervisor struct{}

// Available tells that it is not there.
func Available(...startup.Compat) error { return errAbsent() }

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
