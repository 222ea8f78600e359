//go:build linux && (amd64 || arm64)

// Command owned starts a program whose calls are answered at the step that its first word names, and waits for its end.
package main

import (
	"fmt"
	"os"
	"syscall"

	"unroot/internal/startup"
	"unroot/internal/startup/compat"
)

func main() {
	pid, s, err := compat.Start(startup.Compat(os.Args[1]), os.Args[2], os.Args[2:], os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, "owned:", err)
		os.Exit(125)
	}
	go func() { _ = s.Serve() }()
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if ended == pid {
			if status.Signaled() {
				os.Exit(128 + int(status.Signal()))
			}
			os.Exit(status.ExitStatus())
		}
		if err != nil {
			os.Exit(125)
		}
		s.Reaped(ended)
	}
}
