//go:build linux

package seccomp

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	profile "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
)

// machine executes a seccomp program as the kernel would.
type machine struct{ vm *bpf.VM }

func load(t testing.TB, code []unix.SockFilter) machine {
	t.Helper()
	var raw []bpf.RawInstruction
	for _, i := range code {
		raw = append(raw, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	program, ok := bpf.Disassemble(raw)
	if !ok {
		t.Fatal("program has instructions that are none")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return machine{vm}
}

// answer runs the program. The machine reads words in network order; every word that the program
// reads is a word of struct seccomp_data.
func (m machine) answer(t testing.TB, audit, number uint32, args [6]uint64) uint32 {
	t.Helper()
	data := binary.BigEndian.AppendUint32(nil, number)
	data = binary.BigEndian.AppendUint32(data, audit)
	data = append(data, make([]byte, 8)...) // instruction pointer
	for _, a := range args {
		data = binary.BigEndian.AppendUint32(data, uint32(a))
		data = binary.BigEndian.AppendUint32(data, uint32(a>>32))
	}
	got, err := m.vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(got)
}

// judge answers from the rules as they stand, one after the other.
type judge struct {
	abi   *ABI
	rules []specs.LinuxSyscall
	last  uint32
}

func newJudge(a *ABI, rules []specs.LinuxSyscall) judge {
	j := judge{abi: a, rules: rules}
	for _, r := range rules {
		for _, name := range r.Names {
			if n, ok := a.Number(name); ok && n < 0xf0000 {
				j.last = max(j.last, n)
			}
		}
	}
	return j
}

func (j judge) errno(number uint32, args [6]uint64) uint32 {
	name, _ := j.abi.Call(number)
	refuse := uint32(unix.EPERM)
	named := false
	for _, r := range j.rules {
		if !slices.Contains(r.Names, name) {
			continue
		}
		named = true
		if r.Action == specs.ActErrno {
			refuse = uint32(*r.ErrnoRet)
		} else if matches(r.Args, args) {
			return 0
		}
	}
	if !named && number > j.last {
		return uint32(unix.ENOSYS)
	}
	return refuse
}

func matches(rules []specs.LinuxSeccompArg, args [6]uint64) bool {
	for _, r := range rules {
		a := args[r.Index]
		ok := map[specs.LinuxSeccompOperator]bool{
			specs.OpEqualTo: a == r.Value, specs.OpNotEqual: a != r.Value, specs.OpLessThan: a < r.Value, specs.OpLessEqual: a <= r.Value,
			specs.OpGreaterThan: a > r.Value, specs.OpGreaterEqual: a >= r.Value, specs.OpMaskedEqual: a&r.Value == r.ValueTwo,
		}[r.Op]
		if !ok {
			return false
		}
	}
	return true
}

// numbersToTry is every call, the gaps between them, and what lies around the ends.
func numbersToTry(a *ABI) []uint32 {
	all := map[uint32]bool{}
	for n := range uint32(620) {
		all[n] = true
	}
	for n := range a.Calls() {
		all[n-1], all[n], all[n+1] = true, true, true
	}
	for _, n := range []uint32{x32Bit - 1, x32Bit, x32Bit + 39, x32Bit + 520, ^uint32(0), 1 << 31} {
		all[n] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// argumentsToTry is values around every one that a condition of the call compares with, in each place.
func argumentsToTry(when ...anyOf) (tries [][6]uint64) {
	tries = append(tries, [6]uint64{}, [6]uint64{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)})
	for _, w := range when {
		for _, alternative := range w {
			for _, c := range alternative {
				values := []uint64{c.value - 1, c.value, c.value + 1, c.value | 1<<32, c.value | 1<<63, ^c.value, c.value + c.mask, c.mask}
				for bit := range 64 {
					values = append(values, 1<<bit, c.value^1<<bit)
				}
				for _, v := range values {
					var args [6]uint64
					args[c.arg] = v
					tries = append(tries, args)
				}
			}
		}
	}
	return tries
}

var capSets = map[string][]string{
	"none":   nil,
	"engine": {"CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_SETUID", "CAP_NET_RAW"},
	"admin":  {"CAP_SYS_ADMIN", "CAP_SYS_TIME", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_SYS_NICE"},
}

func TestProgramAgreesWithTheProfile(t *testing.T) {
	t.Parallel()
	kernel, err := runningKernel()
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		for set, caps := range capSets {
			for _, trace := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/trace=%v", arch, set, trace), func(t *testing.T) {
					t.Parallel()
					var rules []specs.LinuxSyscall
					for _, r := range profile.DefaultProfile().Syscalls {
						if applies(r, arch, caps, kernel) {
							rules = append(rules, r.LinuxSyscall)
						}
					}
					compareWith(t, Options{Arch: arch, Caps: caps, Profile: true, Trace: trace}, rules)
				})
			}
		}
	}
}

// TestRulesOfTheRunningMachine takes the rules from the module's own resolver.
func TestRulesOfTheRunningMachine(t *testing.T) {
	t.Parallel()
	if ABIs(runtime.GOARCH) == nil {
		t.Skip("no table of system calls for this machine")
	}
	for set, caps := range capSets {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			rs := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
			resolved, err := profile.GetDefaultProfile(rs)
			if err != nil {
				t.Fatal(err)
			}
			compareWith(t, Options{Caps: caps, Profile: true, Trace: true}, resolved.Syscalls)
			compareWith(t, Options{Caps: caps, Profile: true}, resolved.Syscalls)
		})
	}
}

func compareWith(t *testing.T, o Options, rules []specs.LinuxSyscall) {
	t.Helper()
	code, err := compile(o)
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, code)
	if o.Arch == "" {
		o.Arch = runtime.GOARCH
	}
	tried := 0
	for _, a := range ABIs(o.Arch) {
		j := newJudge(a, rules)
		kernel, _ := runningKernel()
		says, err := resolve(a, o.Arch, o.Caps, kernel)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range numbersToTry(a) {
			for _, args := range argumentsToTry(says.of(n).allow, interests(a)[n]) {
				tried++
				got, want := m.answer(t, a.Audit, n, args), expected(a, o, j, n, args)
				if got != want {
					name, _ := a.Call(n)
					t.Fatalf("%s %s (%d) %x: %#x, want %#x", a.Name, name, n, args, got, want)
				}
			}
		}
	}
	if tried < 2000 {
		t.Errorf("only %d calls tried", tried)
	}
}

// expected is what the program has to answer, by the judge's errno and the table of interest.
func expected(a *ABI, o Options, j judge, n uint32, args [6]uint64) uint32 {
	if a == AMD64 && n >= x32Bit {
		return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	}
	errno := j.errno(n, args)
	narrow := uint32(0)
	if !a.Wide {
		narrow = Data32
	}
	switch {
	case errno == uint32(unix.ENOSYS), errno != 0 && !o.Trace:
		return unix.SECCOMP_RET_ERRNO | errno
	case errno != 0:
		return unix.SECCOMP_RET_TRACE | narrow | errno
	case o.Trace && interests(a)[n].holds(args):
		return unix.SECCOMP_RET_TRACE | narrow
	}
	return unix.SECCOMP_RET_ALLOW
}

func TestWithoutProfile(t *testing.T) {
	t.Parallel()
	code, err := compile(Options{Arch: "amd64", Trace: true})
	if err != nil {
		t.Fatal(err)
	}
	m := load(t, code)
	for _, c := range []struct {
		abi  *ABI
		call string
		args [6]uint64
		want uint32
	}{
		{AMD64, "openat", [6]uint64{}, unix.SECCOMP_RET_TRACE},
		{I386, "open", [6]uint64{}, unix.SECCOMP_RET_TRACE | Data32},
		{AMD64, "read", [6]uint64{}, unix.SECCOMP_RET_ALLOW},
		{AMD64, "mbind", [6]uint64{}, unix.SECCOMP_RET_ALLOW},
		{AMD64, "newfstatat", [6]uint64{}, unix.SECCOMP_RET_TRACE},
		{AMD64, "newfstatat", [6]uint64{3: 0x1000}, unix.SECCOMP_RET_ALLOW},
		{AMD64, "clone", [6]uint64{0: 0x1200011}, unix.SECCOMP_RET_ALLOW},
		{AMD64, "clone", [6]uint64{0: unix.CLONE_NEWUSER | 17}, unix.SECCOMP_RET_TRACE},
		{AMD64, "socket", [6]uint64{2, 1}, unix.SECCOMP_RET_ALLOW},
		{AMD64, "socket", [6]uint64{2, 3 | unix.SOCK_CLOEXEC}, unix.SECCOMP_RET_TRACE},
		{AMD64, "socket", [6]uint64{10, 3}, unix.SECCOMP_RET_TRACE},
		{AMD64, "socket", [6]uint64{16, 3}, unix.SECCOMP_RET_ALLOW},
		{AMD64, "socket", [6]uint64{17, 2}, unix.SECCOMP_RET_TRACE},
		{AMD64, "prctl", [6]uint64{unix.PR_SET_NAME}, unix.SECCOMP_RET_ALLOW},
		{AMD64, "prctl", [6]uint64{unix.PR_CAPBSET_DROP | 1<<40}, unix.SECCOMP_RET_TRACE}, // the kernel takes an int
		{AMD64, "prlimit64", [6]uint64{2: 1 << 40}, unix.SECCOMP_RET_TRACE},
		{AMD64, "prlimit64", [6]uint64{3: 1 << 40}, unix.SECCOMP_RET_ALLOW},
		{I386, "socketcall", [6]uint64{5}, unix.SECCOMP_RET_ALLOW},
		{I386, "socketcall", [6]uint64{2}, unix.SECCOMP_RET_TRACE | Data32},
	} {
		n, _ := c.abi.Number(c.call)
		if got := m.answer(t, c.abi.Audit, n, c.args); got != c.want {
			t.Errorf("%s %s %x: %#x, want %#x", c.abi.Name, c.call, c.args, got, c.want)
		}
	}
	if got := m.answer(t, AMD64.Audit, x32Bit+39, [6]uint64{}); got != errnoReturn(uint16(unix.ENOSYS)) {
		t.Errorf("x32: %#x", got)
	}
	if got := m.answer(t, ARM64.Audit, 0, [6]uint64{}); got != unix.SECCOMP_RET_KILL_PROCESS {
		t.Errorf("another machine's call: %#x", got)
	}
	if _, err := compile(Options{Arch: "s390x"}); err == nil {
		t.Error("a machine without tables: no error")
	}
}

// TestComparisons tries every operator with values on both sides of 32 bits.
func TestComparisons(t *testing.T) {
	t.Parallel()
	values := []uint64{0, 1, 2, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32, 1<<32 + 1, 5 << 32, 5<<32 + 7, 1 << 63, ^uint64(0)}
	for op := equal; op <= masked; op++ {
		for _, v := range values {
			for _, mask := range values {
				if op != masked && mask != 0 {
					continue
				}
				c := condition{arg: 2, op: op, value: v, mask: mask}
				b := &assembler{gave: map[uint32]place{}}
				no, yes := b.give(1), b.give(2)
				b.follow(b.when(anyOf{{c}}, yes, no))
				m := load(t, b.program())
				for _, a := range append(values, v-1, v+1) {
					args := [6]uint64{2: a}
					if got := m.answer(t, 0, 0, args) == 2; got != c.holds(args) {
						t.Fatalf("%+v with %#x: %v", c, a, got)
					}
				}
			}
		}
	}
}

// TestMostCallsAreShort counts the longest way to an answer that depends on no argument.
func TestMostCallsAreShort(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64"} {
		code, err := compile(Options{Arch: arch, Profile: true, Trace: true, Caps: capSets["engine"]})
		if err != nil {
			t.Fatal(err)
		}
		a := ABIs(arch)[0]
		for _, name := range []string{"read", "write", "close", "futex", "getpid", "fstat"} {
			n, _ := a.Number(name)
			if steps := stepsOf(code, a.Audit, n); steps > 16 {
				t.Errorf("%s %s takes %d of %d instructions", arch, name, steps, len(code))
			}
		}
	}
}

// stepsOf executes without arguments, as seccomp_is_const_allow of the kernel does, and counts.
func stepsOf(code []unix.SockFilter, audit, number uint32) int {
	var acc uint32
	for at, steps := 0, 1; ; steps++ {
		i := code[at]
		at++
		taken := false
		switch i.Code {
		case loadWord:
			acc = map[uint32]uint32{offNumber: number, offArch: audit}[i.K]
			continue
		case jump:
			at += int(i.K)
			continue
		case give:
			return steps
		case ifEqual:
			taken = acc == i.K
		case ifAtLeast:
			taken = acc >= i.K
		case ifMore:
			taken = acc > i.K
		default:
			return 1 << 20
		}
		if taken {
			at += int(i.Jt)
		} else {
			at += int(i.Jf)
		}
	}
}

func TestEveryInterestIsACall(t *testing.T) {
	t.Parallel()
	for _, name := range Interesting() {
		found := false
		for _, a := range []*ABI{AMD64, I386, ARM64, ARM} {
			_, ok := a.Number(name)
			found = found || ok
		}
		if !found {
			t.Errorf("%s is no call of any ABI", name)
		}
	}
	if _, ok := AMD64.Call(1 << 20); ok {
		t.Error("a number that is no call has a name")
	}
	if n, _ := ARM.Number("set_tls"); n != 0xf0005 {
		t.Errorf("set_tls of arm is %#x", n)
	}
}

// TestNumbersAgreeWithTheHeaders compares the tables with those that C programs are compiled with.
func TestNumbersAgreeWithTheHeaders(t *testing.T) {
	t.Parallel()
	for header, a := range map[string]*ABI{"unistd_64.h": AMD64, "unistd_32.h": I386} {
		text, err := os.ReadFile("/usr/include/x86_64-linux-gnu/asm/" + header)
		if err != nil {
			oracle.Missing(t, "the kernel's headers: %v", err)
		}
		found := 0
		for line := range strings.Lines(string(text)) {
			var name string
			var want uint32
			if n, _ := fmt.Sscanf(line, "#define __NR_%s %d", &name, &want); n != 2 {
				continue
			}
			found++
			if got, ok := a.Number(name); !ok || got != want {
				t.Errorf("%s %s: %d %v, want %d", a.Name, name, got, ok, want)
			}
		}
		if found < 350 {
			t.Errorf("%s: %d calls", header, found)
		}
	}
}
