//go:build linux && unroot_release

package process

import _ "unsafe" // go:linkname

const sigIgn = 1 // SIG_IGN

// fwdSig is what Go's runtime found as each signal's handler when it took the signal for itself. The
// linker lets nobody see it unless it is told -checklinkname=0, which the release build does; a
// toolchain that has it no more fails to link.
//
//go:linkname fwdSig runtime.fwdSig
var fwdSig [65]uintptr

// inheritedIgnored gives the signals that were ignored before Go's runtime took them.
func inheritedIgnored(use func(sig int)) {
	for sig, handler := range fwdSig {
		if handler == sigIgn {
			use(sig)
		}
	}
}
