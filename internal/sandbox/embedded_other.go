//go:build !linux

package sandbox

import (
	"context"
	"fmt"

	"unroot/internal/verify"
)

type lab struct{}

func errNotLinux() error {
	return fmt.Errorf("%w: the embedded runner needs Linux; use an engine, such as Docker Desktop or a Podman machine", verify.ErrUnavailable)
}

// Run needs Linux.
func (*Embedded) Run(context.Context, verify.Run, func(verify.Progress)) (verify.Outcome, error) {
	return verify.Outcome{}, errNotLinux()
}

// Available says that it needs Linux.
func (*Embedded) Available(context.Context) error { return errNotLinux() }

// Close does nothing.
func (*Embedded) Close() error { return nil }
