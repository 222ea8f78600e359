// Package tracer starts the processes of a run, waits for all of them, and writes down what they ask the kernel for and are denied.
package tracer
