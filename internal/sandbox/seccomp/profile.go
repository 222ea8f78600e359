//go:build linux

package seccomp

import (
	"fmt"
	"slices"

	profile "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// answers is what a profile says of the calls of one ABI.
type answers struct {
	calls   map[uint32]answer
	missing uint16 // errno of calls that it does not name
	last    uint32 // the highest number that it names; calls above it get ENOSYS
}

// answer is what a profile says of one call.
type answer struct {
	allow  anyOf
	refuse uint16 // errno otherwise
}

// allowAll is the answers where another profile is in force already.
func allowAll() answers { return answers{calls: map[uint32]answer{}, last: ^uint32(0)} }

// of gives the answer for a call, named or not.
func (s answers) of(number uint32) answer {
	switch a, named := s.calls[number]; {
	case named:
		return a
	case s.missing == 0:
		return answer{allow: always}
	case number > s.last:
		// runc, libcontainer/seccomp/patchbpf: a libc that finds ENOSYS takes the older call instead
		return answer{refuse: uint16(unix.ENOSYS)}
	}
	return answer{refuse: s.missing}
}

// resolve gives the default profile's answers for one ABI of a machine.
func resolve(a *ABI, goarch string, caps []string, kernel profile.KernelVersion) (answers, error) {
	p := profile.DefaultProfile()
	if p.DefaultAction != specs.ActErrno || p.DefaultErrnoRet == nil {
		return answers{}, fmt.Errorf("reading the engines' seccomp profile: default action %q", p.DefaultAction)
	}
	s := answers{calls: map[uint32]answer{}, missing: uint16(*p.DefaultErrnoRet)}
	for _, rule := range p.Syscalls {
		if !applies(rule, goarch, caps, kernel) {
			continue
		}
		for _, name := range rule.Names {
			number, ok := a.Number(name)
			if !ok {
				continue
			}
			if err := s.add(number, rule); err != nil {
				return answers{}, fmt.Errorf("reading the engines' seccomp profile for %s: %w", name, err)
			}
		}
	}
	return s, nil
}

// add lets one rule answer for one call, beside what other rules answer.
func (s *answers) add(number uint32, rule *profile.Syscall) error {
	a, ok := s.calls[number]
	if !ok {
		a.refuse = s.missing
	}
	switch rule.Action {
	case specs.ActAllow:
		when, err := alternatives(rule.Args)
		if err != nil {
			return err
		}
		a.allow = append(a.allow, when...)
	case specs.ActErrno:
		if len(rule.Args) > 0 || rule.ErrnoRet == nil {
			return fmt.Errorf("an errno with conditions, or none")
		}
		a.refuse = uint16(*rule.ErrnoRet)
	default:
		return fmt.Errorf("action %q", rule.Action)
	}
	s.calls[number] = a
	// the private calls of arm, from 0xf0001 on, are not newer than the others
	if number < 0xf0000 {
		s.last = max(s.last, number)
	}
	return nil
}

// applies decides a rule's conditions on the machine, as setupSeccomp of the profile's module does
// for the running one.
func applies(rule *profile.Syscall, goarch string, caps []string, kernel profile.KernelVersion) bool {
	has := func(c string) bool { return slices.Contains(caps, c) }
	if x := rule.Excludes; x != nil {
		if slices.Contains(x.Arches, goarch) || slices.ContainsFunc(x.Caps, has) || x.MinKernel != nil && !older(kernel, *x.MinKernel) {
			return false
		}
	}
	if i := rule.Includes; i != nil {
		lacks := func(c string) bool { return !has(c) }
		if len(i.Arches) > 0 && !slices.Contains(i.Arches, goarch) || slices.ContainsFunc(i.Caps, lacks) || i.MinKernel != nil && older(kernel, *i.MinKernel) {
			return false
		}
	}
	return true
}

func older(a, b profile.KernelVersion) bool {
	return a.Kernel < b.Kernel || a.Kernel == b.Kernel && a.Major < b.Major
}

// alternatives turns a rule's comparisons into conditions. All must hold, but where two are about the
// same argument each stands for itself: runc, libcontainer/seccomp, matchCall.
func alternatives(args []specs.LinuxSeccompArg) (anyOf, error) {
	var all []condition
	var seen [6]bool
	twice := false
	for _, a := range args {
		if a.Index >= 6 {
			return nil, fmt.Errorf("argument %d", a.Index)
		}
		c, err := compare(a)
		if err != nil {
			return nil, err
		}
		twice = twice || seen[a.Index]
		seen[a.Index] = true
		all = append(all, c)
	}
	if !twice {
		return anyOf{all}, nil
	}
	var each anyOf
	for _, c := range all {
		each = append(each, []condition{c})
	}
	return each, nil
}

func compare(a specs.LinuxSeccompArg) (condition, error) {
	c := condition{arg: int(a.Index), value: a.Value}
	switch a.Op {
	case specs.OpEqualTo:
		c.op = equal
	case specs.OpNotEqual:
		c.op = notEqual
	case specs.OpLessThan:
		c.op = less
	case specs.OpLessEqual:
		c.op = lessEqual
	case specs.OpGreaterThan:
		c.op = greater
	case specs.OpGreaterEqual:
		c.op = greaterEqual
	case specs.OpMaskedEqual:
		c.op, c.mask, c.value = masked, a.Value, a.ValueTwo
	default:
		return c, fmt.Errorf("operator %q", a.Op)
	}
	return c, nil
}

// runningKernel gives the version of the kernel, as rules name it.
func runningKernel() (v profile.KernelVersion, err error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return v, fmt.Errorf("asking for the kernel's version: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &v.Kernel, &v.Major); err != nil {
		return v, fmt.Errorf("reading the kernel's version %q: %w", release, err)
	}
	return v, nil
}
