package tracer

import (
	"fmt"
	"sync"

	"unroot/internal/trace"
)

// What is kept of one run, beside the limit of events.
const (
	maxMissing   = 2000   // events with ENOENT: programs look for what is not there all the time
	maxReadOpens = 3      // successful opens for reading of one path by one program
	maxRepeats   = 16     // successes of one call with the same words by one program
	maxRemember  = 65536  // what is remembered to count repetitions
	defaultKept  = 200000 // events, where Options says nothing
)

// keeper numbers events and keeps them, in order, up to a limit.
type keeper struct {
	mu      sync.Mutex
	log     trace.Log
	limit   int
	missing int
	reads   map[readKey]int   // how often an open for reading was kept
	last    map[string]string // what a program opened last
	same    map[sameKey]int
	onEvent func(trace.Event)
}

type readKey struct{ exe, path string }

type sameKey struct{ exe, call, path, target, want, addr string }

func newKeeper(limit int, onEvent func(trace.Event)) *keeper {
	if limit <= 0 {
		limit = defaultKept
	}
	return &keeper{limit: limit, onEvent: onEvent, reads: map[readKey]int{}, last: map[string]string{}, same: map[sameKey]int{}}
}

// add numbers an event and keeps it. Every event that is numbered is given to onEvent; beyond the
// limit it is counted only, and the log says so.
func (p *keeper) add(e trace.Event) {
	p.mu.Lock()
	p.log.Total++
	e.Seq = p.log.Total
	if len(p.log.Events) < p.limit {
		p.log.Events = append(p.log.Events, e)
	} else {
		p.log.Lost = fmt.Sprintf("limit of %d events", p.limit)
	}
	p.mu.Unlock()
	if p.onEvent != nil {
		p.onEvent(e)
	}
}

// wanted decides about an answer: denials are all kept, other failures and successes where they say
// something that was not said before.
func (p *keeper) wanted(e *trace.Event) bool {
	switch {
	case e.Hidden:
		return true
	case e.Errno == "":
		return p.wantedSuccess(e)
	case e.Errno == "ENOENT":
		if !missingMatters(e.Kind) || p.missing >= maxMissing {
			return false
		}
		p.missing++
		return true
	}
	return denial(e)
}

// missingMatters tells the calls whose ENOENT may be a directory that an image lacks.
func missingMatters(k trace.Kind) bool {
	switch k {
	case trace.Open, trace.Exec, trace.Bind, trace.Make, trace.Rename, trace.Link, trace.Chdir:
		return true
	}
	return false
}

// denial tells the answers that are about rights, and for a few calls all others, too.
func denial(e *trace.Event) bool {
	switch e.Errno {
	case "EACCES", "EPERM", "EROFS":
		return true
	}
	switch e.Kind {
	case trace.Open:
		return e.Errno == "ENXIO" && ofDevices(e.Path)
	case trace.Identity, trace.Owner:
		return e.Errno == "EINVAL" // ids that the user namespace does not map: user_namespaces(7)
	case trace.Exec, trace.Bind, trace.Listen:
		return true
	case trace.Connect:
		return e.Errno != "EINPROGRESS" && e.Errno != "EAGAIN" && e.Errno != "EINTR" && e.Errno != "EALREADY" && e.Errno != "EISCONN"
	}
	return false
}

func (p *keeper) wantedSuccess(e *trace.Event) bool {
	switch e.Kind {
	case trace.Exec, trace.Fork, trace.Exit:
		return true
	case trace.Look, trace.Chdir:
		return false
	case trace.Open:
		if !writes(e.Want) {
			return p.readOpen(e.Exe, e.Path)
		}
		p.opened(e.Exe, e.Path)
	case trace.Connect:
		if !isUnix(e.Addr) {
			return false
		}
	case trace.Socket:
		if !rawSocket(e.Addr) {
			return false
		}
	}
	if len(p.same) >= maxRemember {
		clear(p.same)
	}
	key := sameKey{e.Exe, e.Call, e.Path, e.Target, e.Want, e.Addr}
	p.same[key]++
	return p.same[key] <= maxRepeats
}

// readOpen decides about a successful open for reading: the first of a program and path is kept, and
// a later one if the program opened something else since, so that what it read last before an event is
// right. A server that opens the same files for every request must not fill the log.
func (p *keeper) readOpen(exe, path string) bool {
	last := p.last[exe]
	p.opened(exe, path)
	key := readKey{exe, path}
	n := p.reads[key]
	if n >= maxReadOpens || n > 0 && last == path || n == 0 && len(p.reads) >= maxRemember {
		return false
	}
	p.reads[key] = n + 1
	return true
}

func (p *keeper) opened(exe, path string) {
	if len(p.last) >= maxRemember {
		clear(p.last)
	}
	p.last[exe] = path
}

// give is what was kept so far. The events are never changed after they were added.
func (p *keeper) give() trace.Log {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.log
	l.Events = l.Events[:len(l.Events):len(l.Events)]
	return l
}
