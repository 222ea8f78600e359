//go:build linux && !unroot_release

package process

import "syscall"

// inheritedIgnored gives the signals that were ignored before Go's runtime took them. The runtime
// leaves SIGHUP and SIGINT ignored by itself; the rest only the release build can know.
func inheritedIgnored(func(sig syscall.Signal)) {}

// catchFirstRealTime takes SIGRTMIN; only the release build can.
func catchFirstRealTime(syscall.Signal) {}
