package compat

import (
	"slices"
	"syscall"
)

// ids is the four of a kind that a process has.
type ids struct{ real, effective, saved, fs uint32 }

func (i ids) has(id uint32) bool { return id == i.real || id == i.effective || id == i.saved }

// beliefs is what a process believes of itself: struct cred (linux/cred.h), with the rules by which
// kernel/sys.c and security/commoncap.c change it. Nothing changes one that is shared: with makes another.
type beliefs struct {
	u, g   ids
	groups []uint32 // supplementary, sorted, never written to

	permitted, effective, inheritable, bounding, ambient uint64

	secure uint32 // securebits
	sealed bool   // it set no_new_privs itself; that everything runs under it is not told
	hidden bool   // prctl(PR_SET_DUMPABLE, 0): the kernel is not told, or it would close the memory to the supervisor
}

// engineCaps is what engines give root: what a program met where it was made for. A program that adapts
// to its capabilities then does as it did there.
const engineCaps = 0xa80425fb

// root is what the first process believes.
func root() *beliefs {
	return &beliefs{permitted: engineCaps, effective: engineCaps, bounding: engineCaps}
}

func (b *beliefs) equal(other *beliefs) bool {
	return b == other || b.u == other.u && b.g == other.g && slices.Equal(b.groups, other.groups) &&
		b.permitted == other.permitted && b.effective == other.effective && b.inheritable == other.inheritable &&
		b.bounding == other.bounding && b.ambient == other.ambient && b.secure == other.secure && b.sealed == other.sealed && b.hidden == other.hidden
}

// can tells whether a capability is effective.
func (b *beliefs) can(capability uint) bool { return b.effective>>capability&1 != 0 }

// committed is what commit_creds (kernel/cred.c) does beside: a process whose ids changed is hidden,
// as fs.suid_dumpable 0 has it.
func (b *beliefs) committed(old *beliefs) {
	gained := b.permitted&^old.permitted != 0
	if b.u.effective != old.u.effective || b.g.effective != old.g.effective || b.u.fs != old.u.fs || b.g.fs != old.g.fs || gained {
		b.hidden = true
	}
}

// keep stands for "unchanged" where a call takes several ids.
const keep = noID

// setuid is __sys_setuid.
func (b *beliefs) setuid(uid uint32) syscall.Errno {
	old := *b
	switch {
	case uid == noID:
		return syscall.EINVAL
	case b.can(capSetuid):
		b.u.real, b.u.saved = uid, uid
	case uid != b.u.real && uid != b.u.saved:
		return syscall.EPERM
	}
	b.u.effective, b.u.fs = uid, uid
	b.fixCaps(&old)
	return 0
}

// setgid is __sys_setgid.
func (b *beliefs) setgid(gid uint32) syscall.Errno {
	switch {
	case gid == noID:
		return syscall.EINVAL
	case b.can(capSetgid):
		b.g.real, b.g.saved = gid, gid
	case gid != b.g.real && gid != b.g.saved:
		return syscall.EPERM
	}
	b.g.effective, b.g.fs = gid, gid
	return 0
}

// setreuid is __sys_setreuid.
func (b *beliefs) setreuid(real, effective uint32) syscall.Errno {
	old := *b
	if !b.u.two(real, effective, b.can(capSetuid)) {
		return syscall.EPERM
	}
	b.fixCaps(&old)
	return 0
}

// setregid is __sys_setregid.
func (b *beliefs) setregid(real, effective uint32) syscall.Errno {
	if !b.g.two(real, effective, b.can(capSetgid)) {
		return syscall.EPERM
	}
	return 0
}

func (i *ids) two(real, effective uint32, may bool) bool {
	old := *i
	if real != keep {
		if !may && real != old.real && real != old.effective {
			return false
		}
		i.real = real
	}
	if effective != keep {
		if !may && !old.has(effective) {
			*i = old
			return false
		}
		i.effective = effective
	}
	if real != keep || effective != keep && effective != old.real {
		i.saved = i.effective
	}
	i.fs = i.effective
	return true
}

// setresuid is __sys_setresuid.
func (b *beliefs) setresuid(real, effective, saved uint32) syscall.Errno {
	old := *b
	changed, ok := b.u.three(real, effective, saved, b.can(capSetuid))
	if !ok {
		return syscall.EPERM
	}
	if changed {
		b.fixCaps(&old)
	}
	return 0
}

// setresgid is __sys_setresgid.
func (b *beliefs) setresgid(real, effective, saved uint32) syscall.Errno {
	if _, ok := b.g.three(real, effective, saved, b.can(capSetgid)); !ok {
		return syscall.EPERM
	}
	return 0
}

func (i *ids) three(real, effective, saved uint32, may bool) (changed, ok bool) {
	if (real == keep || real == i.real) && (effective == keep || effective == i.effective && effective == i.fs) && (saved == keep || saved == i.saved) {
		return false, true
	}
	old := *i
	for _, id := range [...]uint32{real, effective, saved} {
		if id != keep && !may && !old.has(id) {
			return false, false
		}
	}
	if real != keep {
		i.real = real
	}
	if effective != keep {
		i.effective = effective
	}
	if saved != keep {
		i.saved = saved
	}
	i.fs = i.effective
	return true, true
}

// setfsuid is __sys_setfsuid: it gives the old one, and tells nobody whether it did anything.
func (b *beliefs) setfsuid(uid uint32) (old uint32) {
	old = b.u.fs
	if uid == noID || uid == old || !b.can(capSetuid) && !b.u.has(uid) {
		return old
	}
	b.u.fs = uid
	b.fixFileCaps(old)
	return old
}

// setfsgid is __sys_setfsgid.
func (b *beliefs) setfsgid(gid uint32) (old uint32) {
	old = b.g.fs
	if gid != noID && (b.can(capSetgid) || b.g.has(gid)) {
		b.g.fs = gid
	}
	return old
}

// executed is what a process is after execve(2) of a program: bprm_fill_uid and begin_new_exec
// (fs/exec.c) and cap_bprm_creds_from_file. Of a program without set-id bits, nothing need be known.
func (b *beliefs) executed(program given) *beliefs {
	n := *b
	n.fillIDs(program)
	if n.u.effective != b.u.effective || n.g.effective != b.g.effective {
		n.ambient = 0
	}
	n.permitted = n.ambient
	n.effective = n.ambient
	if b.secure&secureNoRoot == 0 && (n.u.effective == 0 || n.u.real == 0) {
		n.permitted = b.bounding | b.inheritable
		n.permitted |= n.ambient
		if n.u.effective == 0 {
			n.effective = n.permitted
		}
	}
	n.u.saved, n.u.fs = n.u.effective, n.u.effective
	n.g.saved, n.g.fs = n.g.effective, n.g.effective
	n.secure &^= secureKeepCaps
	n.hidden = b.u.real != b.u.effective || b.g.real != b.g.effective // from before: the kernel looks too early
	n.committed(b)
	if n.equal(b) {
		return b
	}
	return &n
}

// fillIDs is bprm_fill_uid. Whether the file system is mounted nosuid is not asked.
func (b *beliefs) fillIDs(program given) {
	if b.sealed {
		return
	}
	if program.mode&setUID != 0 {
		b.u.effective = program.uid
	}
	if program.mode&(setGID|groupX) == setGID|groupX {
		b.g.effective = program.gid
	}
}
