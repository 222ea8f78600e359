package trace

// story writes logs by hand, as a tracer gives them.
type story struct {
	log Log
	exe map[int]string
}

func tell1(exe string, args ...string) *story {
	s := &story{exe: map[int]string{}}
	return s.exec(1, exe, args...)
}

func (s *story) add(e Event) *story {
	s.log.Total++
	e.Seq, e.At = s.log.Total, int64(s.log.Total)*100
	if e.Exe == "" {
		e.Exe = s.exe[e.PID]
	}
	s.log.Events = append(s.log.Events, e)
	return s
}

func (s *story) exec(pid int, exe string, args ...string) *story {
	s.add(Event{PID: pid, Kind: Exec, Call: "execve", Path: exe, Args: append([]string{exe}, args...)})
	s.exe[pid] = exe
	return s
}

func (s *story) fork(parent, child int) *story {
	s.exe[child] = s.exe[parent]
	return s.add(Event{PID: parent, Kind: Fork, Child: child})
}

func (s *story) exit(pid, status int) *story {
	return s.add(Event{PID: pid, Kind: Exit, Status: status})
}

func (s *story) killed(pid int, signal string) *story {
	return s.add(Event{PID: pid, Kind: Exit, Signal: signal})
}

func (s *story) open(pid int, want, path string, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Open, Call: "openat", Want: want, Path: path, Errno: one(errno)})
}

func (s *story) mkdir(pid int, path string, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Make, Call: "mkdir", Path: path, Errno: one(errno)})
}

func (s *story) remove(pid int, path string, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Remove, Call: "unlink", Path: path, Errno: one(errno)})
}

func (s *story) rename(pid int, from, to string, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Rename, Call: "rename", Path: from, Target: to, Errno: one(errno)})
}

func (s *story) chown(pid int, path string, uid, gid int64, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Owner, Call: "fchownat", Path: path, IDs: []int64{uid, gid}, Errno: one(errno)})
}

func (s *story) chmod(pid int, path string, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Mode, Call: "fchmodat", Path: path, Errno: one(errno)})
}

func (s *story) bind(pid int, addr string, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Bind, Call: "bind", Addr: addr, Errno: one(errno)})
}

func (s *story) id(pid int, call string, ids []int64, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Identity, Call: call, IDs: ids, Errno: one(errno)})
}

func (s *story) look(pid int, path string, errno ...Errno) *story {
	return s.add(Event{PID: pid, Kind: Look, Call: "newfstatat", Path: path, Errno: one(errno)})
}

func (s *story) steady() *story {
	s.log.Steady = s.log.Total
	return s
}

func one(errno []Errno) Errno {
	if len(errno) == 0 {
		return ""
	}
	return errno[0]
}
