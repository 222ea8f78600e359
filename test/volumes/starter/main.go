//go:build linux

// Command starter is the part of unroot-init that prepares a start, and nothing else.
package main

import (
	"os"
	"strings"
	"syscall"

	"unroot/internal/startup"
	"unroot/internal/startup/prepare"
)

func main() {
	order, program, err := startup.Parse(os.Args[1:])
	if err != nil {
		end(startup.ExitUsage, err)
	}
	env, err := prepare.Prepare(order, os.Environ())
	if err != nil {
		end(startup.ExitVolume, err)
	}
	path := program[0]
	if !strings.Contains(path, "/") {
		path = "/bin/" + path
	}
	end(startup.ExitNotFound, syscall.Exec(path, program, prepare.Named(order, env, prepare.Who{Name: "user"})))
}

func end(code int, err error) {
	os.Stderr.WriteString("unroot-init: " + err.Error() + "\n")
	os.Exit(code)
}
