package agent

import (
	"encoding/json"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"

	"unroot/internal/trace"
	"unroot/internal/verify"
)

// maxSeen bounds the distinct processes that are remembered, for those that a judge must know and
// for the others each: a run must not hide the one by very many of the other.
const maxSeen = 4096

// seen remembers what the processes of a run were and did. The tracer tells it events while the
// agent looks at the run.
type seen struct {
	mu       sync.Mutex
	list     []verify.Process
	known    map[string]bool
	plain    int // of list, without root and capabilities
	programs map[int]string
	binders  map[string]string // address as in trace.Event to the program that bound or listened
	bound    map[string]bool   // addresses that were bound with success
	traced   bool
	writes   uint64
	events   uint64 // Seq of the last event

	// executable is what a process executes, as the observer names it: a program is started by many names,
	// such as /bin/sh or /proc/self/exe. "" where that cannot be seen.
	executable func(pid int) string
}

func newSeen(traced bool, executable func(pid int) string) *seen {
	return &seen{
		executable: executable,
		known:      map[string]bool{}, programs: map[int]string{}, binders: map[string]string{}, bound: map[string]bool{}, traced: traced,
	}
}

// key names a program together with its credentials.
func key(program string, c trace.Creds) string {
	text, _ := json.Marshal(c) // numbers and booleans only
	return program + "\x00" + string(text)
}

// add remembers a process, once for each program and credentials.
func (s *seen) add(p verify.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addLocked(p)
}

func (s *seen) addLocked(p verify.Process) {
	k := key(p.Program, p.Creds)
	if s.known[k] {
		return
	}
	plain := !p.Creds.Root() && p.Creds.Caps == 0
	if plain && s.plain >= maxSeen || len(s.list)-s.plain >= maxSeen {
		return
	}
	if plain {
		s.plain++
	}
	s.known[k] = true
	s.list = append(s.list, p)
}

// event takes what the tracer saw. It is called on the tracer's thread while the process waits.
func (s *seen) event(e trace.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = max(s.events, e.Seq)
	exe := e.Exe
	if e.Kind == trace.Exec && e.Errno == "" {
		exe = e.Path // Exe is what it was before
		if real := s.executable(e.PID); real != "" {
			exe = real
		}
	}
	if e.Creds != nil {
		s.addLocked(verify.Process{PID: e.PID, Program: exe, Args: e.Args, Creds: *e.Creds})
	}
	switch e.Kind {
	case trace.Exec:
		if e.Errno == "" {
			s.programs[e.PID] = exe
		}
	case trace.Fork:
		if exe, ok := s.programs[e.PID]; ok && len(s.programs) < 4*maxSeen {
			s.programs[e.Child] = exe
		}
	case trace.Exit:
		delete(s.programs, e.PID)
	case trace.Bind, trace.Listen:
		if e.Errno == "" && len(s.binders) < maxSockets {
			s.binders[e.Addr] = e.Exe
			s.bound[e.Addr] = true
		}
	}
	if writes(e) {
		s.writes++
	}
}

// writes reports an event that changed something, which a program does while it starts.
func writes(e trace.Event) bool {
	if e.Errno != "" {
		return false
	}
	switch e.Kind {
	case trace.Open:
		return strings.ContainsAny(e.Want, "wct")
	case trace.Make, trace.Remove, trace.Rename, trace.Link, trace.Mode, trace.Owner, trace.Attr, trace.Exec, trace.Identity:
		return true
	}
	return false
}

// written is how many changes there were so far.
func (s *seen) written() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// last is the number of the last event so far.
func (s *seen) last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events
}

// program is what the process executed last, as the tracer saw it; "" where it did not.
func (s *seen) program(pid int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.programs[pid]
}

// all gives what was seen, by program.
func (s *seen) all() []verify.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.list)
	slices.SortStableFunc(list, func(a, b verify.Process) int { return strings.Compare(a.Program, b.Program) })
	return list
}

// eventAddress is a socket as trace.Event names it.
func eventAddress(s verify.Socket) string {
	if s.Proto == "unix" {
		return "unix " + s.Address
	}
	addr, err := netip.ParseAddr(s.Address)
	if err != nil {
		return s.Proto + " " + s.Address
	}
	return s.Proto + " " + netip.AddrPortFrom(addr, s.Port).String()
}

// binder is the program that bound a socket, where its holder cannot be looked at.
func (s *seen) binder(socket verify.Socket) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if exe, ok := s.binders[eventAddress(socket)]; ok {
		return exe
	}
	if socket.Proto != "unix" {
		return ""
	}
	for addr, exe := range s.binders { // a relative path in the table, an absolute one in the trace
		if strings.HasPrefix(addr, "unix /") && path.Base(addr) == path.Base(socket.Address) {
			return exe
		}
	}
	return ""
}

// ephemeral is where the kernel takes ports that a program does not choose: Linux's default of
// net.ipv4.ip_local_port_range.
const ephemeral = 32768

// passing reports a UDP socket that only asks others: the kernel gave it its port. Nothing in the
// tables tells it from one that a service bound, but a bound one left an event.
func (s *seen) passing(socket verify.Socket) bool {
	if socket.Proto != "udp" || socket.Port < ephemeral || !s.traced {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.bound[eventAddress(socket)]
}
