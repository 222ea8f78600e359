package agent

import "time"

// Defaults of a run that names none.
const (
	defaultSettle  = 500 * time.Millisecond
	defaultTimeout = 60 * time.Second
)

// sight is what an observation says about whether a run is still on its way.
type sight struct {
	at        time.Duration // since the start
	processes string        // which processes there are, as something to compare
	sockets   string        // which sockets are listened on, the same
	served    bool          // somebody listens on any
	writes    uint64        // changes of the file system so far, from the trace
	busy      time.Duration // processor time of all processes so far
	missing   int           // awaited sockets that nobody listens on
}

// steadiness decides whether a run has arrived. It looks at nothing but sights.
type steadiness struct {
	awaits  bool          // sockets are awaited, or nothing is
	settle  time.Duration //
	timeout time.Duration // of the whole run

	last    sight
	began   bool
	moved   time.Duration // when something last happened that counts at that time
	present time.Duration // when all awaited sockets were first there, without a gap
	there   bool
}

// samePrograms is how long the processes must stay the same once what was awaited is there, and
// restless the longest that is waited for it: some services never stop starting processes.
const (
	samePrograms = 50 * time.Millisecond
	restless     = time.Second
)

// see takes the next observation and reports whether the run is steady.
func (s *steadiness) see(v sight) bool {
	defer func() { s.last, s.began = v, true }()
	if !s.began || s.activity(v) {
		s.moved = v.at
	}
	if s.awaits {
		return s.arrived(v)
	}
	return s.began && v.at-s.moved >= s.quiet(v)
}

// stalled is how long nothing must happen for a run that lacks an awaited socket to be one that goes
// on without it.
func (s *steadiness) stalled() time.Duration { return max(4*s.settle, 6*time.Second) }

// arrived: the awaited sockets are there, and no process comes or goes; or nothing is going to bring them.
func (s *steadiness) arrived(v sight) bool {
	if v.missing > 0 {
		s.there = false
		if v.processes != s.last.processes || v.writes != s.last.writes || s.working(v) {
			s.moved = v.at
		}
		return s.began && v.at-s.moved >= s.stalled()
	}
	if !s.there {
		s.there, s.present = true, v.at
	}
	if v.processes != s.last.processes {
		s.moved = v.at
	}
	calm := v.at - max(s.moved, s.present)
	return calm >= samePrograms || v.at-s.present >= restless
}

// activity: something new happened since the last sight. What counts gets less the longer a run
// takes, since some services never come to rest: first files that they write do not count any
// more, then processes that come and go.
func (s *steadiness) activity(v sight) bool {
	if v.sockets != s.last.sockets {
		return true
	}
	if s.awaits {
		return false // arrived looks at processes itself
	}
	if v.at < s.timeout*3/4 && v.processes != s.last.processes {
		return true
	}
	return v.at < s.timeout/2 && (v.writes != s.last.writes || !v.served && s.working(v))
}

// working: the processes took a good part of a processor since the last sight. A program that
// computes before it listens, as those on a virtual machine do, has not arrived; one that serves
// may compute as it likes.
func (s *steadiness) working(v sight) bool {
	return (v.busy-s.last.busy)*4 > v.at-s.last.at
}

// quiet is how long nothing must happen. Where nobody listens on anything there is less to tell a
// service from a program that waits for something before it starts one, and it takes longer.
func (s *steadiness) quiet(v sight) time.Duration {
	if v.served {
		return s.settle
	}
	return max(s.settle, min(3*s.settle, 3*time.Second))
}

// interval is the time until the next look: short in the beginning, since many programs start
// within milliseconds, then longer, since looking takes processor time away from the run.
func interval(since time.Duration) time.Duration {
	return min(max(since/20, 5*time.Millisecond), 100*time.Millisecond)
}
