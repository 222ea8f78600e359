//go:build linux

package agent

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/probe"
	"unroot/internal/verify"
)

// Bounds on what is asked.
const (
	commandOutput = 8 << 10          // bytes kept of a command in the run
	commandTime   = 30 * time.Second // of one command; Docker's default for a health check
	minHealth     = 3 * time.Second  // patience with a health check that fails
)

// steady is the steady state: what there is, what it answers, and what came with the answers. Then
// the run is stopped.
func (c *conductor) steady(ctx context.Context, limits <-chan string) {
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hit := ""
	noticed := make(chan struct{})
	go func() {
		defer close(noticed)
		select {
		case <-c.first.Done():
		case hit = <-limits:
		case <-asking.Done():
		}
		cancel(nil)
	}()
	c.mark()
	c.ask(asking)
	if asking.Err() == nil {
		c.after()
	}
	cancel(nil)
	<-noticed
	c.concluded(ctx, hit)
}

// concluded decides how a run ended that was steady.
func (c *conductor) concluded(ctx context.Context, hit string) {
	select {
	case <-c.first.Done():
		if hit == "" {
			c.exited()
			return
		}
	default:
	}
	switch {
	case hit != "":
		c.limited(hit)
	case ctx.Err() != nil && context.Cause(ctx) != context.DeadlineExceeded:
		c.out.End, c.out.Error = verify.EndFailed, ctx.Err().Error()
	default:
		c.out.End = verify.EndSteady
		c.stop(ctx)
	}
}

// mark notes that the steady state begins now.
func (c *conductor) mark() {
	c.look()
	for _, t := range c.observer.tasks() {
		for _, p := range c.observer.threads(t) {
			c.seen.add(p)
		}
	}
	c.out.Steady = time.Since(c.begun)
	c.out.Trace.Steady = c.seen.last()
}

// after adds what came while the run was asked, such as a worker for a connection.
func (c *conductor) after() {
	before, sockets := c.out.Processes, c.out.Sockets
	c.look()
	known := map[int]bool{}
	for _, p := range before {
		known[p.PID] = true
	}
	for _, p := range c.out.Processes {
		if !known[p.PID] {
			before = append(before, p)
		}
	}
	c.out.Processes = before
	c.out.Sockets = distinct(append(sockets, c.out.Sockets...))
}

// ask puts the probes and the health check to the run.
func (c *conductor) ask(ctx context.Context) {
	c.out.Answers = c.askProbes(ctx)
	command := healthCommand(c.run.Health)
	if command == nil {
		return
	}
	c.say("runs its health check")
	p := verify.Probe{Kind: "exec", Args: command}
	until := time.Now().Add(max(minHealth, 6*c.settle))
	a := c.retry(ctx, until, false, func() verify.Answer { return probe.Ask(ctx, p, c.world()) })
	c.out.Health = &a
}

// askProbes asks each probe until its answer is good, or until a service that listens has had its
// time to answer.
func (c *conductor) askProbes(ctx context.Context) []verify.Answer {
	until := time.Now().Add(3 * c.settle)
	var answers []verify.Answer
	for _, p := range c.run.Probes {
		if p.Kind == "generic" {
			c.say("asks every socket")
			world := c.world()
			world.Spoke = p.Spoke
			answers = append(answers, probe.Generic(ctx, c.out.Sockets, world)...)
			continue
		}
		c.say("asks %s %s", p.Kind, strings.Join(append([]string{p.Address}, p.Args...), " "))
		answers = append(answers, c.retry(ctx, until, true, func() verify.Answer { return probe.Ask(ctx, p, c.world()) }))
	}
	return answers
}

// retry asks again until the answer is good, time is over, or the run has ended. The steady state
// begins with the question that was answered.
func (c *conductor) retry(ctx context.Context, until time.Time, mark bool, ask func() verify.Answer) verify.Answer {
	pause := 20 * time.Millisecond
	for {
		a := ask()
		if a.OK || ctx.Err() != nil || !time.Now().Before(until) {
			return a
		}
		select {
		case <-ctx.Done():
			return a
		case <-time.After(pause):
		}
		pause = min(2*pause, 250*time.Millisecond)
		if mark {
			c.mark()
		}
	}
}

// healthCommand is the command of a HEALTHCHECK; nil for none.
// https://github.com/moby/docker-image-spec, Healthcheck.Test.
func healthCommand(test []string) []string {
	if len(test) < 2 {
		return nil
	}
	switch test[0] {
	case "CMD":
		return test[1:]
	case "CMD-SHELL":
		return []string{"/bin/sh", "-c", test[1]}
	}
	return nil
}

// world is how probes reach the run.
func (c *conductor) world() probe.World {
	return probe.World{Net: c.space.Net, Root: c.space.Root(), Exec: c.exec}
}

// exec runs a command in the run as its user. An error means that it could not be run.
func (c *conductor) exec(ctx context.Context, args []string) (status int, output string, err error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	kept := newCapture(commandOutput)
	files, wait, err := commandStreams(kept)
	if err != nil {
		return 0, "", err
	}
	spec, err := c.spec(args)
	if err == nil {
		status, err = c.command(ctx, spec, files)
	}
	for _, f := range files {
		f.Close()
	}
	wait()
	return status, kept.String(), err
}

// command starts a process beside the first one and waits for its end.
func (c *conductor) command(ctx context.Context, spec launch.Spec, files []*os.File) (int, error) {
	attr, err := c.space.Further(&spec)
	if err != nil {
		return 0, err
	}
	attr.Files = files
	c.observer.starting.Add(1)
	p, err := c.tracer.Start(spec, attr)
	c.observer.starting.Add(-1)
	if err != nil {
		return launch.Status(err), err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		_ = c.tracer.Signal(p.PID(), unix.SIGKILL) // it may have ended meanwhile
		<-p.Done()
		return 0, fmt.Errorf("running %q: %w", spec.Args[0], ctx.Err())
	}
	status, signal := p.State()
	if signal != "" {
		status = 128 + int(unix.SignalNum(signal))
	}
	return status, nil
}

// commandStreams makes the standard streams of a command. wait returns when its output has ended,
// or a moment after the command: a child of it may hold the stream on.
func commandStreams(kept *capture) (files []*os.File, wait func(), err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		null.Close()
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 16<<10)
		for {
			n, err := r.Read(buf)
			_, _ = kept.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	wait = func() {
		select {
		case <-done:
		case <-time.After(200 * time.Millisecond):
		}
		r.Close()
		<-done
	}
	return []*os.File{null, w, w}, wait, nil
}
