package compat

import "slices"

// asker is the process that asks, as it believes to be.
type asker struct {
	uid, gid uint32   // for file systems: fsuid and fsgid
	groups   []uint32 // supplementary
	chown    bool     // CAP_CHOWN is effective
	fowner   bool     // CAP_FOWNER is effective
	fsetid   bool     // CAP_FSETID is effective
}

// Permission bits beyond those of access: inode(7).
const (
	setUID  = 0o4000
	setGID  = 0o2000
	groupX  = 0o0010
	modeAll = 0o7777

	typeMask   = 0o170000
	typeFile   = 0o100000
	typeDir    = 0o040000
	typeLink   = 0o120000
	typeSocket = 0o140000
)

// noID is the id that means "unchanged" in chown(2).
const noID = ^uint32(0)

func (a *asker) in(group uint32) bool { return a.gid == group || slices.Contains(a.groups, group) }

// mayChown is the rule of chown_ok and chgrp_ok (fs/attr.c): CAP_CHOWN gives anything; the owner may
// leave the uid as it is, and give the file to a group that it is in. An id that is noID asks nothing.
func (a *asker) mayChown(file given, uid, gid uint32) bool {
	if a.chown {
		return true
	}
	owns := a.uid == file.uid
	return (uid == noID || owns && uid == file.uid) &&
		(gid == noID || owns && (gid == file.gid || a.in(gid)))
}

// mayChmod is the rule of inode_owner_or_capable (fs/inode.c).
func (a *asker) mayChmod(file given) bool { return a.fowner || a.uid == file.uid }

// chowned is the file after chown(2), noID leaving an id. The mode loses what the kernel takes from a
// file that is no directory (chown_common, fs/open.c): the set-user-ID bit, and the set-group-ID bit
// of a file that its group may execute.
func chowned(file given, uid, gid uint32, dir bool) given {
	if uid != noID {
		file.uid = uid
	}
	if gid != noID {
		file.gid = gid
	}
	if !dir {
		file.mode &^= setUID
		if file.mode&groupX != 0 {
			file.mode &^= setGID
		}
	}
	return file
}

// chmodded is the file after chmod(2): setattr_copy (fs/attr.c) drops the set-group-ID bit where the
// asker is in another group and may not set it for others.
func chmodded(file given, mode uint16, a *asker) given {
	file.mode, file.hasMode = mode&modeAll, true
	if !a.fsetid && !a.in(file.gid) {
		file.mode &^= setGID
	}
	return file
}
