//go:build linux

// Command answering starts a program with its calls answered, and ends as it ends: what tests of the supervisor run.
package main

import (
	"os"
	"syscall"

	"unroot/internal/startup"
	"unroot/internal/startup/compat"
)

func main() { os.Exit(run(startup.Compat(os.Args[1]), os.Args[2:])) }

func run(step startup.Compat, argv []string) int {
	err := compat.Available()
	if err == nil {
		var pid int
		var s *compat.Supervisor
		if pid, s, err = compat.Start(step, argv[0], argv, os.Environ()); err == nil {
			return wait(pid, s)
		}
	}
	os.Stderr.WriteString("answering: " + err.Error() + "\n")
	return 125
}

func wait(pid int, s *compat.Supervisor) int {
	go s.Serve()
	for {
		var status syscall.WaitStatus
		ended, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			os.Stderr.WriteString("answering: waiting: " + err.Error() + "\n")
			return 125
		}
		s.Reaped(ended)
		if ended != pid {
			continue
		}
		if status.Signaled() {
			return 128 + int(status.Signal())
		}
		return status.ExitStatus()
	}
}
