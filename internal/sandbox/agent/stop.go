//go:build linux

package agent

import (
	"context"
	"errors"
	"time"

	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"
)

// How long a run may take to end: after its stop signal, and once it was killed, which takes the
// kernel a while for many processes.
const (
	patience = 3 * time.Second
	killed   = 10 * time.Second
)

// stop asks the first process to end, as an engine does, and notes which signal it took. What is
// left is killed by the caller.
func (c *conductor) stop(ctx context.Context) {
	c.say("stops")
	name := c.run.Stop
	if name == "" {
		name = "SIGTERM"
	}
	number, err := signal.ParseSignal(name) // with SIGRTMIN+3 and bare numbers, as engines
	if err != nil {
		name, number = "SIGTERM", unix.SIGTERM
	}
	if c.deaf(unix.Signal(number)) || c.tracer.Signal(c.first.PID(), unix.Signal(number)) != nil {
		c.out.Stopped = "SIGKILL"
		return
	}
	// Time that is over gives no less patience than this; a run that nobody wants gives none.
	canceled := make(<-chan struct{})
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		canceled = ctx.Done()
	}
	c.out.Stopped = name
	select {
	case <-c.first.Done():
	case <-canceled:
		c.out.Stopped = "SIGKILL"
	case <-time.After(patience):
		c.out.Stopped = "SIGKILL"
	}
}

// deaf reports that a signal would be lost: the first process of a pid namespace gets only signals
// that it handles, pid_namespaces(7).
func (c *conductor) deaf(number unix.Signal) bool {
	st, err := c.observer.status(c.first.PID())
	if err != nil || st.inner != 1 || number == unix.SIGKILL || number < 1 {
		return false
	}
	return st.caught&(1<<(uint(number)-1)) == 0
}
