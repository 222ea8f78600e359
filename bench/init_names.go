package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How look-ups are measured.
const (
	namesRounds = 15
	namesTimes  = "3000" // look-ups of one round
	unknownUID  = "1000700000"
)

// unprivileged are the words before a program that let it run as an unknown uid under the hardest rules.
var unprivileged = []string{"setpriv", "--reuid=" + unknownUID, "--regid=0", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"}

// privateRun makes a mount namespace whose /run is empty, open to all, and gone with it. What comes
// after is executed in it.
const privateRun = "mount -t tmpfs -o mode=1777,size=4m run /run && exec \"$@\""

// measureNames times getpwuid(3) in a running program: by the responder of unroot-init for a uid that
// no file knows, and by the image's file without any responder.
func measureNames(ctx context.Context, b *initBench) (c chapter, err error) {
	r, err := b.respond(ctx)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	c.about = fmt.Sprintf("Names: one getpwuid of a running program, by unroot-init's responder and by files, medians of %d interleaved rounds of %s look-ups.", namesRounds, namesTimes)
	for _, lib := range []struct {
		name string
		musl bool
	}{{"glibc, dynamic", false}, {"musl, static", true}} {
		program, err := b.compile(ctx, "lookups", lib.musl)
		if err != nil {
			return c, err
		}
		asked, files, err := r.compare(ctx, program)
		if err != nil {
			return c, fmt.Errorf("%s: %w", lib.name, err)
		}
		c.gauges = append(c.gauges,
			gauge{what: lib.name + ", unknown uid, by the responder", value: intervalOf(asked), unit: "µs"},
			gauge{what: lib.name + ", root, by files without a responder", value: intervalOf(files), unit: "µs"})
		c.contests = append(c.contests, contest{lib.name + ", responder against files", quotients(asked, files), 0, false})
	}
	rss, anonymous := residentOf(r.pid)
	for _, m := range []struct {
		what string
		kib  int64
	}{{"resident memory of unroot-init after that", rss}, {"of it anonymous, not shared with anyone", anonymous}} {
		if m.kib == 0 {
			return c, fmt.Errorf("unroot-init ended: %s", r.errs.String())
		}
		x := float64(m.kib) / 1024
		c.gauges = append(c.gauges, gauge{what: m.what, value: interval{x, x, x, 1}, unit: "MiB"})
	}
	return c, nil
}

// responder is unroot-init that answers in a mount namespace of its own.
type responder struct {
	cmd  *exec.Cmd
	in   io.Closer
	errs *strings.Builder
	pid  int // of unroot-init
}

// respond starts one, in front of a program that says that it is there and reads until the end.
func (b *initBench) respond(ctx context.Context) (*responder, error) {
	args := append([]string{"--mount", "--propagation", "private", "sh", "-c", privateRun, "sh"}, unprivileged...)
	cmd := exec.CommandContext(ctx, "unshare", append(args, b.init, "--names=nscd", "--", "sh", "-c", "echo ready; exec cat")...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"}
	r := &responder{cmd: cmd, errs: &strings.Builder{}}
	cmd.Stderr = r.errs
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return nil, err
	}
	r.in, r.pid = in, cmd.Process.Pid // each of them executes the next: the number stays
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		return nil, fmt.Errorf("starting the responder: %w: %s", errors.Join(err, r.end()), r.errs)
	}
	return r, nil
}

// end lets the program read its end, with which unroot-init ends.
func (r *responder) end() error {
	r.in.Close()
	late := time.AfterFunc(10*time.Second, func() { _ = r.cmd.Process.Signal(syscall.SIGKILL) })
	defer late.Stop()
	return r.cmd.Wait()
}

// compare gives the microseconds of a look-up, by the responder and by files.
func (r *responder) compare(ctx context.Context, program string) (asked, files []float64, err error) {
	inside := append([]string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", r.pid)}, unprivileged...)
	outside := append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", privateRun, "sh"}, unprivileged...)
	for round := range namesRounds + 1 {
		x, err := lookUps(ctx, inside, program, unknownUID)
		if err != nil {
			return nil, nil, err
		}
		y, err := lookUps(ctx, outside, program, "0")
		if err != nil {
			return nil, nil, err
		}
		if round > 0 { // the first one warms up
			asked, files = append(asked, x), append(files, y)
		}
	}
	return asked, files, nil
}

func lookUps(ctx context.Context, before []string, program, uid string) (microseconds float64, err error) {
	words := append(append([]string{}, before...), program, namesTimes, uid)
	out, err := said(exec.CommandContext(ctx, words[0], words[1:]...))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(out)
	if len(fields) != 2 {
		return 0, fmt.Errorf("%s said %q", program, out)
	}
	ns, err := strconv.ParseFloat(fields[0], 64)
	return ns / 1000, err
}

// residentOf gives the memory of a process in KiB, and how much of it is anonymous; 0 where it ended.
func residentOf(pid int) (rss, anonymous int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			continue
		}
		n, _ := strconv.ParseInt(fields[0], 10, 64)
		switch name {
		case "VmRSS":
			rss = n
		case "RssAnon":
			anonymous = n
		}
	}
	return rss, anonymous
}
