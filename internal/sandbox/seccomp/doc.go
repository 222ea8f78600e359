// Package seccomp writes the one seccomp program of a run: what an engine's default profile answers, and which calls stop for the tracer.
package seccomp

//go:generate go run generate.go
