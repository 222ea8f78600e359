//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/seccomp"
	"unroot/internal/sandbox/tracer"
	"unroot/internal/verify"
)

// defaultFile is the size in bytes that one file may have, where the run does not say.
const defaultFile = 2 << 30

// conductor is one run under way.
type conductor struct {
	space    Space
	run      verify.Run
	report   func(verify.Progress)
	settle   time.Duration
	timeout  time.Duration
	begun    time.Time
	limit    chan string // which limit was hit; the first one counts
	seen     *seen
	tracer   *tracer.Tracer
	first    *tracer.Process
	streams  *streams
	observer *observer
	said     string // the last progress
	out      verify.Outcome
}

// Conduct carries out one run in a space and gives what came of it. The end of ctx ends the run.
// The caller's process must not wait for children: the tracer does. report may be nil.
//
// A space may have more than Space asks for: Limit() <-chan string, a message of which ends the run
// at that limit; Profiled() bool, true where an engine's seccomp profile is on the processes
// already; Shared() bool, true where others have sockets in the run's network.
func Conduct(ctx context.Context, s Space, r verify.Run, to IO, report func(verify.Progress)) verify.Outcome {
	c := newConductor(s, r, report)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	if err := c.start(to); err != nil {
		c.failed(err)
	} else {
		c.watch(ctx)
	}
	c.finish()
	return c.out
}

func newConductor(s Space, r verify.Run, report func(verify.Progress)) *conductor {
	c := &conductor{
		space: s, run: r, report: report, settle: r.Settle, timeout: r.Timeout,
		begun: time.Now(), limit: make(chan string, 1), seen: newSeen(r.Trace, executableIn(s.Proc())),
		out: verify.Outcome{Run: r, Platform: "linux/" + runtime.GOARCH},
	}
	if c.settle <= 0 {
		c.settle = defaultSettle
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	return c
}

// say tells whoever looks on what the run is at.
func (c *conductor) say(format string, args ...any) {
	if c.report != nil {
		c.report(verify.Progress{Run: c.run.Name, What: fmt.Sprintf(format, args...)})
	}
}

// hit notes that a limit was reached. It never waits: the tracer's thread calls it.
func (c *conductor) hit(what string) {
	select {
	case c.limit <- what:
	default: // one is enough
	}
}

// start starts the first process under the tracer.
func (c *conductor) start(to IO) (err error) {
	c.say("starts")
	c.streams, err = newStreams(to, c.run.Limits.Output, func() { c.hit("output") })
	if err != nil {
		return err
	}
	defer c.streams.started()
	c.tracer = tracer.New(tracer.Options{
		Trace:     c.run.Trace,
		Processes: c.run.Limits.Processes,
		Events:    c.run.Limits.Events,
		Root:      c.space.Root,
		Proc:      c.space.Proc(),
		OnEvent:   c.seen.event,
		OnLimit:   c.hit,
	})
	spec, err := c.spec(c.run.Args)
	if err != nil {
		return err
	}
	attr, err := c.space.First(&spec)
	if err != nil {
		return err
	}
	attr.Files = c.streams.child
	c.first, err = c.tracer.Start(spec, attr)
	if err != nil {
		return err
	}
	c.space.Entered(c.first.PID())
	c.observer = newObserver(c.space, c.first.PID(), c.seen)
	return nil
}

// spec is how a process of the run is started, up to what only the space knows.
func (c *conductor) spec(args []string) (launch.Spec, error) {
	profiled := false
	if p, ok := c.space.(interface{ Profiled() bool }); ok {
		profiled = p.Profiled()
	}
	spec := launch.Spec{
		SetIdentity: true,
		UID:         c.run.Identity.UID,
		GID:         c.run.Identity.GID,
		Groups:      c.run.Identity.Groups,
		Caps:        c.run.Caps,
		NoNewPrivs:  c.run.NoNewPrivs,
		Limits:      resourceLimits(c.run.Limits),
		Args:        args,
		Env:         c.run.Env,
		Dir:         c.run.Dir,
	}
	var err error
	if c.run.Trace || !profiled {
		spec.Filter, err = seccomp.Program(seccomp.Options{Caps: c.run.Caps, Profile: !profiled, Trace: c.run.Trace})
	}
	return spec, err
}

// resourceLimits gives a process the limits that belong to one process; the others are the space's
// and the tracer's.
func resourceLimits(l verify.Limits) []launch.Limit {
	file := uint64(defaultFile)
	if l.File > 0 {
		file = uint64(l.File)
	}
	var now unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &now) == nil {
		file = min(file, now.Max) // nobody may raise it
	}
	limits := []launch.Limit{{Resource: unix.RLIMIT_FSIZE, Soft: file, Hard: file}}
	// No core files; the hard limit stays, since a program that raises the soft one must not be denied
	// what an engine grants.
	if unix.Getrlimit(unix.RLIMIT_CORE, &now) == nil {
		limits = append(limits, launch.Limit{Resource: unix.RLIMIT_CORE, Soft: 0, Hard: now.Max})
	}
	return limits
}

// failed is the outcome of a run that did not start.
func (c *conductor) failed(err error) {
	c.out.End, c.out.Error, c.out.Status = verify.EndFailed, err.Error(), launch.Status(err)
}

// watch looks at the run until it is steady, asks it and stops it; or until it ends otherwise.
func (c *conductor) watch(ctx context.Context) {
	limits := c.limits()
	st := steadiness{awaits: len(c.run.Await) > 0, settle: c.settle, timeout: c.timeout}
	for {
		since := time.Since(c.begun)
		select {
		case <-c.first.Done():
			c.exited()
			return
		case what := <-limits:
			c.limited(what)
			return
		case <-ctx.Done():
			c.overdue(ctx)
			return
		case <-time.After(interval(since)):
		}
		v := c.look()
		c.awaited(v.missing)
		if !c.run.Exits && st.see(v) {
			c.steady(ctx, limits)
			return
		}
	}
}

// limits merges the conductor's own with the space's.
func (c *conductor) limits() <-chan string {
	if l, ok := c.space.(interface{ Limit() <-chan string }); ok {
		hits := l.Limit()
		go func() {
			select {
			case what := <-hits:
				c.hit(what)
			case <-c.first.Done():
			}
		}()
	}
	return c.limit
}

// look takes a sight, and keeps what it saw in the outcome.
func (c *conductor) look() sight {
	tasks := c.observer.tasks()
	sockets := c.observer.sockets(tasks)
	for _, t := range tasks {
		c.seen.add(t.Process)
	}
	if len(tasks) > 0 { // while everything ends there is nothing to see
		c.out.Processes, c.out.Sockets = processes(tasks), sockets
	}
	return sight{
		at:        time.Since(c.begun),
		processes: signature(tasks),
		sockets:   marks(sockets),
		served:    len(sockets) > 0,
		writes:    c.seen.written(),
		busy:      c.observer.busy(tasks),
		missing:   len(missing(c.run.Await, sockets)),
	}
}

// awaited says what the run is waited for, when that changes.
func (c *conductor) awaited(count int) {
	switch {
	case c.run.Exits:
	case count > 0:
		if next := missing(c.run.Await, c.out.Sockets); len(next) > 0 {
			c.sayOnce("waits for " + spoken(next[0]))
		}
	default:
		c.sayOnce("settles")
	}
}

// exited is the outcome of a run that ended by itself, unless a limit ended it.
func (c *conductor) exited() {
	select {
	case what := <-c.limit:
		c.limited(what)
		return
	default:
	}
	c.out.End = verify.EndExited
	c.out.Status = c.status()
}

// status is the exit status of the first process as a shell has it.
func (c *conductor) status() int {
	status, signal := c.first.State()
	if signal != "" {
		return 128 + int(unix.SignalNum(signal))
	}
	return status
}

func (c *conductor) limited(what string) {
	c.out.End, c.out.Limit = verify.EndLimit, what
}

// overdue is the outcome of a run whose time was over, or that nobody wants any more.
func (c *conductor) overdue(ctx context.Context) {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		c.look()
		c.out.End = verify.EndTimeout
		c.stop(ctx)
		return
	}
	c.out.End, c.out.Error = verify.EndFailed, ctx.Err().Error()
}

// finish ends everything and collects what is left to tell.
func (c *conductor) finish() {
	c.space.Kill()
	if c.first != nil {
		select {
		case <-c.first.Done():
		case <-time.After(killed):
			c.out.Error = fmt.Sprintf("[internal error] the first process lives %v after it was killed", killed)
		}
	}
	if c.tracer != nil {
		steady := c.out.Trace.Steady
		c.tracer.Close()
		c.out.Trace = c.tracer.Log()
		c.out.Trace.Steady = steady
	}
	if c.streams != nil {
		c.streams.close()
		c.out.Stdout, c.out.Stderr = c.streams.texts()
	}
	c.out.Seen = c.seen.all()
	c.out.Took = time.Since(c.begun)
}

// sayOnce says what was not said last.
func (c *conductor) sayOnce(what string) {
	if what != c.said {
		c.said = what
		c.say("%s", what)
	}
}

// spoken is a socket for a person.
func spoken(s verify.Socket) string {
	if s.Proto == "unix" {
		return "unix " + s.Address
	}
	return fmt.Sprintf("%s %d", s.Proto, s.Port)
}
