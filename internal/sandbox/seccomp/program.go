//go:build linux

package seccomp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// Options is what a program is for.
type Options struct {
	Caps    []string // the bounding set of the run, such as "CAP_CHOWN": the profile depends on it
	Profile bool     // answer as the engines' default profile; false: in an engine's container, whose own profile is there already
	Trace   bool     // stop at the calls of interest; without a tracer they fail with ENOSYS (seccomp(2))
	Arch    string   // GOARCH; "" is the running one
}

// The values of SECCOMP_RET_TRACE that the tracer gets: an errno where the profile refuses the call,
// which the tracer then has to refuse, and whether the call came by the machine's 32-bit ABI.
const (
	DataErrno  = 0x0fff
	Data32     = 0x8000
	x32Bit     = 0x40000000 // asm/unistd.h, __X32_SYSCALL_BIT
	maxProgram = 4096       // linux/bpf_common.h, BPF_MAXINSNS
)

// Program gives the seccomp program for a run: struct sock_filter in the machine's byte order, for
// SECCOMP_SET_MODE_FILTER. For a call that stops it is SECCOMP_RET_TRACE even where the profile
// refuses it: of two filters, ERRNO would outrank TRACE and the tracer would never hear of the call.
// All refusals but those with ENOSYS, by which a libc looks for newer calls, stop so.
// An error means that the machine is unknown or that the profile says what we cannot.
func Program(o Options) ([]byte, error) {
	code, err := compile(o)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, code); err != nil {
		return nil, fmt.Errorf("[internal error] encoding a seccomp program: %w", err)
	}
	return b.Bytes(), nil
}

func compile(o Options) ([]unix.SockFilter, error) {
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	abis := ABIs(o.Arch)
	if abis == nil {
		return nil, fmt.Errorf("making a seccomp program: no table of system calls for %q", o.Arch)
	}
	b := &assembler{gave: map[uint32]place{}}
	// a call by an ABI that the machine does not have: nothing can come here
	next := b.give(unix.SECCOMP_RET_KILL_PROCESS)
	for _, a := range slices.Backward(abis) {
		v, err := verdictsOf(a, o)
		if err != nil {
			return nil, err
		}
		start := b.search(v)
		if a == AMD64 {
			start = b.branch(ifAtLeast, x32Bit, b.give(errnoReturn(uint16(unix.ENOSYS))), start)
		}
		b.follow(start)
		next = b.branch(ifEqual, a.Audit, b.put(loadWord, 0, 0, offNumber), next)
	}
	b.put(loadWord, 0, 0, offArch)
	if len(b.code) > maxProgram {
		return nil, fmt.Errorf("[internal error] seccomp program of %d instructions", len(b.code))
	}
	return b.program(), nil
}

// verdict is what the program answers to a call.
type verdict struct {
	stop  anyOf // when it is of interest
	allow anyOf // when the profile allows it

	stopped, allowed, refused uint32 // the values returned: of interest and allowed, allowed, not allowed
}

// span is the calls from first on, up to the next span.
type span struct {
	first   uint32
	verdict verdict
}

// verdictsOf gives the verdicts of an ABI's whole range of numbers.
func verdictsOf(a *ABI, o Options) ([]span, error) {
	says := allowAll()
	if o.Profile {
		kernel, err := runningKernel()
		if err != nil {
			return nil, err
		}
		if says, err = resolve(a, o.Arch, o.Caps, kernel); err != nil {
			return nil, err
		}
	}
	var stops map[uint32]anyOf
	if o.Trace {
		stops = interests(a)
	}
	edges := map[uint32]bool{0: true}
	edge := func(n uint32) { edges[n], edges[n+1] = true, true }
	for n := range says.calls {
		edge(n)
	}
	for n := range stops {
		edge(n)
	}
	if says.last+1 != 0 {
		edges[says.last+1] = true
	}
	var spans []span
	for _, n := range slices.Sorted(maps.Keys(edges)) {
		v := verdictOf(a, says.of(n), stops[n], o.Trace)
		if len(spans) == 0 || !same(spans[len(spans)-1].verdict, v) {
			spans = append(spans, span{n, v})
		}
	}
	return spans, nil
}

func verdictOf(a *ABI, says answer, stop anyOf, trace bool) verdict {
	v := verdict{stop: stop, allow: says.allow, allowed: unix.SECCOMP_RET_ALLOW, stopped: unix.SECCOMP_RET_TRACE}
	v.refused = errnoReturn(says.refuse)
	if trace && says.refuse != uint16(unix.ENOSYS) {
		v.refused = unix.SECCOMP_RET_TRACE | uint32(says.refuse)
	}
	if a == I386 || a == ARM {
		v.stopped |= Data32
		if v.refused&unix.SECCOMP_RET_ACTION_FULL == unix.SECCOMP_RET_TRACE {
			v.refused |= Data32
		}
	}
	return v
}

func errnoReturn(errno uint16) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(errno) }

// same reports whether two verdicts need one piece of program only.
func same(a, b verdict) bool {
	av, aConstant := a.constant()
	bv, bConstant := b.constant()
	return aConstant && bConstant && av == bv
}

// constant gives the answer of a verdict that looks at no argument.
func (v verdict) constant() (uint32, bool) {
	switch {
	case len(v.allow) == 0:
		return v.refused, true
	case !v.allow.isAlways():
		return 0, false
	case len(v.stop) == 0:
		return v.allowed, true
	case v.stop.isAlways():
		return v.stopped, true
	}
	return 0, false
}

// search is a binary search over the spans: ten instructions for any call, of which the kernel saves
// most by its bitmap of calls that are always allowed (kernel/seccomp.c, seccomp_cache_prepare).
func (b *assembler) search(spans []span) place {
	if len(spans) == 1 {
		return b.verdict(spans[0].verdict)
	}
	middle := len(spans) / 2
	above := b.search(spans[middle:])
	below := b.search(spans[:middle])
	return b.branch(ifAtLeast, spans[middle].first, above, below)
}

func (b *assembler) verdict(v verdict) place {
	if value, ok := v.constant(); ok {
		return b.give(value)
	}
	refused := b.give(v.refused)
	yes := b.when(v.stop, b.give(v.stopped), b.give(v.allowed))
	return b.when(v.allow, yes, refused)
}
