package compat

import "syscall"

// The capabilities that rules ask for: linux/capability.h.
const (
	capChown     = 0
	capFowner    = 3
	capFsetid    = 4
	capSetgid    = 6
	capSetuid    = 7
	capSetpcap   = 8
	capSysChroot = 18
	capLast      = 40

	capsFile = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<9 | 1<<27 | 1<<32 // CAP_FS_SET
	capsAll  = 1<<(capLast+1) - 1
)

// Secure bits: linux/securebits.h. A lock stands one bit above what it locks.
const (
	secureNoRoot     = 1 << 0
	secureNoFixup    = 1 << 2
	secureKeepCaps   = 1 << 4
	secureNoAmbient  = 1 << 6
	secureBits       = 0x55
	secureLocks      = secureBits << 1
	secureKeepLocked = secureKeepCaps << 1
)

// fixCaps is cap_emulate_setxuid, after a change of the uids.
func (b *beliefs) fixCaps(old *beliefs) {
	if b.secure&secureNoFixup != 0 {
		return
	}
	if old.u.has(0) && !b.u.has(0) {
		if b.secure&secureKeepCaps == 0 {
			b.permitted, b.effective = 0, 0
		}
		b.ambient = 0
	}
	if old.u.effective == 0 && b.u.effective != 0 {
		b.effective = 0
	}
	if old.u.effective != 0 && b.u.effective == 0 {
		b.effective = b.permitted
	}
}

// fixFileCaps is cap_task_fix_setuid with LSM_SETID_FS: capabilities on files go and come with fsuid 0.
func (b *beliefs) fixFileCaps(old uint32) {
	switch {
	case b.secure&secureNoFixup != 0:
	case old == 0 && b.u.fs != 0:
		b.effective &^= capsFile
	case old != 0 && b.u.fs == 0:
		b.effective |= b.permitted & capsFile
	}
}

// capset is cap_capset.
func (b *beliefs) capset(effective, permitted, inheritable uint64) syscall.Errno {
	effective, permitted, inheritable = effective&capsAll, permitted&capsAll, inheritable&capsAll
	capped := !b.can(capSetpcap) && inheritable&^(b.inheritable|b.permitted) != 0
	if capped || inheritable&^(b.inheritable|b.bounding) != 0 || permitted&^b.permitted != 0 || effective&^permitted != 0 {
		return syscall.EPERM
	}
	b.effective, b.permitted, b.inheritable = effective, permitted, inheritable
	b.ambient &= permitted & inheritable
	return 0
}

// Options of prctl(2) that concern beliefs: linux/prctl.h.
const (
	prGetDumpable = 3
	prSetDumpable = 4
	prGetKeepcaps = 7
	prSetKeepcaps = 8
	prCapbsetRead = 23
	prCapbsetDrop = 24
	prGetSecure   = 27
	prSetSecure   = 28
	prSetSealed   = 38 // PR_SET_NO_NEW_PRIVS
	prGetSealed   = 39
	prCapAmbient  = 47

	ambientIsSet = 1
	ambientRaise = 2
	ambientLower = 3
	ambientClear = 4
)

// prctl is cap_task_prctl, and of kernel/sys.c what is about a process being dumpable. args are those
// behind the option.
func (b *beliefs) prctl(option uint32, args [4]uint64) (int64, syscall.Errno) {
	switch option {
	case prGetDumpable:
		return truth(!b.hidden), 0
	case prSetDumpable:
		if args[0] > 1 {
			return 0, syscall.EINVAL
		}
		b.hidden = args[0] == 0
	case prGetKeepcaps:
		return truth(b.secure&secureKeepCaps != 0), 0
	case prSetKeepcaps:
		return 0, b.keepCaps(args[0])
	case prCapbsetRead:
		if args[0] > capLast {
			return 0, syscall.EINVAL
		}
		return int64(b.bounding >> args[0] & 1), 0
	case prCapbsetDrop:
		if !b.can(capSetpcap) {
			return 0, syscall.EPERM
		}
		if args[0] > capLast {
			return 0, syscall.EINVAL
		}
		b.bounding &^= 1 << args[0]
	case prGetSecure:
		return int64(b.secure), 0
	case prSetSecure:
		return 0, b.setSecure(args[0])
	case prSetSealed:
		if args != [4]uint64{1} {
			return 0, syscall.EINVAL
		}
		b.sealed = true
	case prGetSealed:
		if args != [4]uint64{} {
			return 0, syscall.EINVAL
		}
		return truth(b.sealed), 0
	case prCapAmbient:
		return b.raiseAmbient(args)
	}
	return 0, 0
}

func (b *beliefs) keepCaps(on uint64) syscall.Errno {
	switch {
	case on > 1:
		return syscall.EINVAL
	case b.secure&secureKeepLocked != 0:
		return syscall.EPERM
	case on == 1:
		b.secure |= secureKeepCaps
	default:
		b.secure &^= secureKeepCaps
	}
	return 0
}

func (b *beliefs) setSecure(bits uint64) syscall.Errno {
	old := uint64(b.secure)
	if (old&secureLocks)>>1&(old^bits) != 0 || old&secureLocks&^bits != 0 || bits&^(secureBits|secureLocks) != 0 || !b.can(capSetpcap) {
		return syscall.EPERM
	}
	b.secure = uint32(bits)
	return 0
}

func (b *beliefs) raiseAmbient(args [4]uint64) (int64, syscall.Errno) {
	what, capability := args[0], args[1]
	if what == ambientClear {
		if capability|args[2]|args[3] != 0 {
			return 0, syscall.EINVAL
		}
		b.ambient = 0
		return 0, 0
	}
	if capability > capLast || args[2]|args[3] != 0 {
		return 0, syscall.EINVAL
	}
	bit := uint64(1) << capability
	switch what {
	case ambientIsSet:
		return truth(b.ambient&bit != 0), 0
	case ambientRaise:
		if b.permitted&b.inheritable&bit == 0 || b.secure&secureNoAmbient != 0 {
			return 0, syscall.EPERM
		}
		b.ambient |= bit
	case ambientLower:
		b.ambient &^= bit
	default:
		return 0, syscall.EINVAL
	}
	return 0, 0
}

func truth(is bool) int64 {
	if is {
		return 1
	}
	return 0
}
