//go:build linux

package main

import (
	"unroot/internal/startup"
	"unroot/internal/startup/process"
)

// start does what the order says, and then becomes the program or stays with it.
func start(order startup.Order, program, env []string) int {
	if !order.Stay {
		return failed(process.Exec(program, env))
	}
	signals := process.Hold()
	code, failure := process.Stay(process.Program{Argv: program, Env: env}, signals)
	if failure != nil {
		return failed(failure)
	}
	return code
}
