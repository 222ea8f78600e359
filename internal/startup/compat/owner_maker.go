package compat

// maker is who may have made files: an identity that some process had, and since when.
type maker struct {
	uid, gid uint32
	since    int64 // nanoseconds since 1970, as the clock of file systems has them
}

// maxMakers bounds the identities that are told apart. Whoever comes later is not known to have made
// anything, except to itself.
const maxMakers = 64

// makers is the identities that processes had, each since it was first seen. The kernel has every new
// file as the one real user's; who made it, in the eyes of the programs, follows from who was there at
// the time.
type makers struct {
	start int64 // when the first process started; older files are another run's
	seen  []maker
}

// note keeps that a process has an identity for files from now on. It is cheap when it is known.
func (m *makers) note(uid, gid uint32, now func() int64) {
	for i := range m.seen {
		if m.seen[i].uid == uid {
			return
		}
	}
	if len(m.seen) < maxMakers {
		m.seen = append(m.seen, maker{uid, gid, now()})
	}
}

// of gives the owner of a file that the running user really owns and that was not given away. Where
// only one identity existed when it was made, that one made it. Else whoever asks is believed to have
// made it, if it may be: a program looks at its own files mostly. born is 0 where it is not known. A
// file from before the start belongs to whoever asks, too: an earlier run's programs made it.
//
// The time of a birth and of an identity come from one coarse clock (current_time() in the kernel,
// CLOCK_REALTIME_COARSE), so that a file made after a change of identity never looks older than it.
// The reverse is not so: within one tick both may have made it.
//
// exact says that what others than the first make is kept otherwise (files.make): all else is the first's.
func (m *makers) of(born int64, uid, gid uint32, exact bool) (owner, group uint32) {
	if born == 0 || born < m.start {
		return uid, gid
	}
	if exact && len(m.seen) > 0 {
		return m.seen[0].uid, m.seen[0].gid
	}
	first := -1
	for i := range m.seen {
		if m.seen[i].since > born {
			continue
		}
		if m.seen[i].uid == uid {
			return uid, gid
		}
		if first < 0 {
			first = i
		}
	}
	if first < 0 {
		return uid, gid
	}
	return m.seen[first].uid, m.seen[first].gid
}
