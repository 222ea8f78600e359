package launch

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"
)

// Everything here is done to the main thread alone, by raw system calls: the functions of package
// syscall would do it to every thread of the Go runtime, which costs time and is of no use, as
// execve ends the other threads.

// capSet is a set of capabilities as the kernel has it: bit n is capability n.
type capSet uint64

// capsOf gives the set of the named capabilities.
func capsOf(names []string) (capSet, error) {
	var set capSet
	for _, name := range names {
		bare := strings.ToLower(strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
		n, ok := capNumber(bare)
		if !ok {
			return 0, fmt.Errorf("there is no capability %q", name)
		}
		set |= 1 << n
	}
	return set, nil
}

func capNumber(bare string) (int, bool) {
	for _, c := range capability.ListKnown() {
		if c.String() == bare {
			return int(c), true
		}
	}
	return 0, false
}

const capSysAdmin = capSet(1) << unix.CAP_SYS_ADMIN

// become gives the main thread its working directory, identity, capabilities and no_new_privs.
// The order is that of container engines: the working directory is entered as the run's root.
func (s *Spec) become() error {
	if !s.SetIdentity {
		return errors.Join(s.enterDir(), s.noNewPrivs())
	}
	caps, err := capsOf(s.Caps)
	if err != nil {
		return err
	}
	early := s.enterDir()
	if early != nil && !errors.Is(early, unix.EACCES) {
		return early
	}
	if err := dropBounding(caps); err != nil {
		return err
	}
	if err := s.setIDs(); err != nil {
		return err
	}
	held := s.capsHeld(caps)
	if !s.NoNewPrivs && len(s.Filter) > 0 {
		// A filter without no_new_privs needs CAP_SYS_ADMIN (seccomp(2)); confine gives it up.
		held |= capSysAdmin
	}
	if err := setCaps(held); err != nil {
		return err
	}
	if early != nil {
		if err := s.enterDir(); err != nil {
			return err
		}
	}
	return s.noNewPrivs()
}

// capsHeld is what the process has before execve: uid 0 keeps the capabilities; another user has
// none, but the bounding set lets setuid programs have them, as under an engine.
func (s *Spec) capsHeld(caps capSet) capSet {
	if s.UID != 0 {
		return 0
	}
	return caps
}

func (s *Spec) enterDir() error {
	if s.Dir == "" {
		return nil
	}
	if err := unix.Chdir(s.Dir); err != nil {
		return &Error{kindOf(err), fmt.Sprintf("entering the working directory %q: %v", s.Dir, err)}
	}
	return nil
}

func (s *Spec) noNewPrivs() error {
	if !s.NoNewPrivs {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	return nil
}

// dropBounding takes every capability but those of keep from the bounding set, also ones that are
// newer than this program.
func dropBounding(keep capSet) error {
	for n := range uintptr(64) {
		if keep>>n&1 == 1 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // beyond the last one that the kernel knows
		}
		if err != nil {
			return fmt.Errorf("dropping capability %d: %w", n, err)
		}
	}
	return nil
}

// setIDs changes groups, gids and uids. The permitted capabilities are kept over it, because what
// becomes of them is set afterwards.
func (s *Spec) setIDs() error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping capabilities: %w", err)
	}
	// Engines put the primary group among the supplementary ones too, so that a process cannot
	// shed it with a setgid program to pass a mode such as 0604 (CVE-2022-36109).
	groups := append([]uint32{s.GID}, s.Groups...)
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0); e != 0 {
		return fmt.Errorf("setting the groups %v: %w", s.Groups, e)
	}
	gid, uid := uintptr(s.GID), uintptr(s.UID)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return fmt.Errorf("becoming gid %d: %w", s.GID, e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return fmt.Errorf("becoming uid %d: %w", s.UID, e)
	}
	return nil
}

// setCaps makes set the permitted and effective capabilities; inheritable and ambient ones are none.
func setCaps(set capSet) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clearing ambient capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(set), uint32(set>>32)
	data := [2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("setting capabilities: %w", err)
	}
	return nil
}

// confine installs the filter, and gives up what only that needed.
func (s *Spec) confine() error {
	if len(s.Filter) == 0 {
		return nil
	}
	if err := installFilter(s.Filter); err != nil {
		return err
	}
	if !s.SetIdentity || s.NoNewPrivs {
		return nil
	}
	caps, err := capsOf(s.Caps)
	if err != nil {
		return err
	}
	return setCaps(s.capsHeld(caps))
}

// installFilter makes the program the seccomp filter of this thread, without the mitigations of
// speculation that kernels before 5.16 add to it: engines ask for the same.
func installFilter(filter []byte) error {
	const size = int(unsafe.Sizeof(unix.SockFilter{}))
	count := len(filter) / size
	if len(filter)%size != 0 || count == 0 || count > unix.BPF_MAXINSNS {
		return fmt.Errorf("[internal error] a seccomp filter of %d bytes", len(filter))
	}
	program := make([]unix.SockFilter, count)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&program[0])), len(filter)), filter)
	fprog := unix.SockFprog{Len: uint16(count), Filter: &program[0]}
	for _, flags := range []uintptr{unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0} {
		_, _, e := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
		switch {
		case e == 0:
			return nil
		case e != unix.EINVAL || flags == 0:
			return fmt.Errorf("installing the seccomp filter: %w", e)
		}
	}
	return nil
}
