//go:build linux && !unroot_release

package process

// inheritedIgnored gives the signals that were ignored before Go's runtime took them. It leaves
// SIGHUP and SIGINT ignored by itself; the rest only the release build can know.
func inheritedIgnored(func(sig int)) {}
