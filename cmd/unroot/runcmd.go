package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/store"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// The exit codes of run that are not the program's. 125, 126 and 127 are those of docker run and
// podman run, 124 is that of timeout(1), 137 is what SIGKILL gives in a shell.
const (
	exitTimeout    = 124
	exitOwnFailure = 125
	exitNotRunable = 126
	exitNotFound   = 127
	exitKilled     = 137
)

// running is one run of an image that a user looks at.
type running struct {
	world     *world
	reading   *reading
	as        string
	readOnly  bool
	tmpfs     []string
	env       []string
	dir       string
	start     string
	memory    byteSize
	timeout   time.Duration
	traceTo   string
	portStart int
}

func newRun(w *world) *cobra.Command {
	r := &running{world: w, reading: &reading{world: w}}
	cmd := &cobra.Command{
		Use:   "run IMAGE [-- ARG…]",
		Short: "run an image, confined, without an engine",
		Long: `run starts an image on this machine without an engine: in namespaces of its own, with the
limits, the seccomp filter and the masked paths that engines use, no network but its own
loopback, and no file of this machine. Arguments behind -- replace the image's Cmd.

Without --as it runs as the image says. Root is then root of a user namespace only, with the
capabilities that engines leave it; any other user has none. Needs Linux, and root or the
programs newuidmap and newgidmap. What it changes in the image is gone when it ends.` + exitCodes + `  N    the program's own: its status, or 128 and the number of the signal that ended it
  124  the time of --timeout is over
  125  the image could not be run, or bad usage
  126  the program cannot be executed
  127  the program is not there
  130  interrupted`,
		Example: `  unroot run oci:out:app
  unroot run oci:out:app --as 1000700000:0 --read-only --tmpfs /run -- id
  unroot run oci:out:app --timeout 5s --trace events.jsonl`,
		Args:              imageAndProgram,
		ValidArgsFunction: upTo(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args[0], args[1:]) },
	}
	r.reading.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&r.as, "as", "", "run as this user, UID[:GID] or a name of the image, such as 1000700000:0 (default: the image's user)")
	f.BoolVar(&r.readOnly, "read-only", false, "make the root file system read-only")
	f.StringArrayVar(&r.tmpfs, "tmpfs", nil, "mount a tmpfs on this directory")
	f.StringArrayVar(&r.env, "env", nil, "set a variable, NAME=value")
	f.StringVar(&r.dir, "workdir", "", "start in this directory (default: the image's)")
	f.StringVar(&r.start, "entrypoint", "", "start this program instead of the image's Entrypoint and Cmd")
	f.Var(&r.memory, "memory", "let all processes together have this much memory, such as 512M")
	f.DurationVar(&r.timeout, "timeout", 0, "end it after this time, such as 30s (default: never)")
	f.StringVar(&r.traceTo, "trace", "", "write what the processes did into this file, one JSON event a line (- is standard output)")
	f.IntVar(&r.portStart, "port-start", 1024, "the first port that a regular user may bind (net.ipv4.ip_unprivileged_port_start)")
	return cmd
}

// imageAndProgram wants one image, and a program's arguments only behind "--": a flag of the program
// would else be taken for one of unroot.
func imageAndProgram(cmd *cobra.Command, args []string) error {
	images := len(args)
	if dash := cmd.ArgsLenAtDash(); dash >= 0 {
		images = dash
	}
	switch {
	case images == 1:
		return nil
	case images == 0:
		return usageError(cmd, "run takes an IMAGE")
	}
	return &store.HintError{
		Err:  fmt.Errorf("run takes one IMAGE, and %q is another argument", args[1]),
		Hint: "put -- before what the program gets: unroot run IMAGE -- ARG…",
	}
}

func (r *running) run(ctx context.Context, arg string, args []string) error {
	if err := r.check(); err != nil {
		return err
	}
	defer r.reading.start()()
	v, ref, err := r.reading.view(ctx, arg)
	if err != nil {
		return err
	}
	one, err := r.runOf(v, args)
	if err != nil {
		return fmt.Errorf("running %q: %w", ref, err)
	}
	events, closeEvents, err := r.openTrace()
	if err != nil {
		return err
	}
	outcome, err := r.carryOut(ctx, one)
	if err == nil && events != nil {
		err = writeEvents(r.world, events, outcome.Trace)
	}
	if err := errors.Join(err, closeEvents()); err != nil {
		return fmt.Errorf("running %q: %w", ref, err)
	}
	return r.ending(ref, outcome)
}

// check refuses values of flags before anything is opened.
func (r *running) check() error {
	for _, e := range r.env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return badFlag("--env %q: not an assignment", "write --env NAME=value", e)
		}
	}
	for _, dir := range r.tmpfs {
		if !strings.HasPrefix(dir, "/") {
			return badFlag("--tmpfs %q: not an absolute path", "name a directory of the image, such as --tmpfs /run", dir)
		}
	}
	switch {
	case r.dir != "" && !strings.HasPrefix(r.dir, "/"):
		return badFlag("--workdir %q: not an absolute path", "name a directory of the image, such as --workdir /srv", r.dir)
	case r.portStart < 0 || r.portStart > 65536:
		return badFlag("--port-start %d: not a port", "0 lets regular users bind every port, 1024 is what Linux does by itself", r.portStart)
	case r.timeout < 0:
		return badFlag("--timeout %s: not a time to wait", "write --timeout 30s", r.timeout)
	}
	return nil
}

// runOf is the run that the image's config and the flags describe.
func (r *running) runOf(v *image.View, args []string) (verify.Run, error) {
	id, err := r.identity(v)
	if err != nil {
		return verify.Run{}, err
	}
	opts := verify.Options{Limits: verify.Limits{Memory: int64(r.memory)}}
	if len(args) > 0 {
		opts.Args = args
	}
	if r.start != "" {
		opts.Args = append([]string{r.start}, args...)
	}
	one, err := verify.Candidate(verify.FactsOf(v), "run", id, opts)
	if err != nil {
		return verify.Run{}, &store.HintError{Err: err, Hint: "name one: unroot run IMAGE -- PROGRAM ARG…"}
	}
	if r.start != "" {
		one.Args = opts.Args // in place of the image's entrypoint
	}
	if id.UID == 0 {
		one.Caps, one.NoNewPrivs = slices.Clone(verify.EngineCaps), false
	}
	if r.dir != "" {
		one.Dir = r.dir
	}
	one.Probes, one.Health = nil, nil // nobody asks: it runs for its user
	one.ReadOnly, one.PortStart, one.Tmpfs = r.readOnly, r.portStart, r.tmpfs
	one.Trace, one.Exits, one.Timeout = r.traceTo != "", true, r.timeout
	one.Env = overlay(one.Env, r.env)
	one.Volumes = volumesOf(v.Config, r.tmpfs)
	one.Streams = &verify.Streams{Out: r.world.out, Err: r.world.err}
	if !isNull(r.world.in) { // some programs end with their standard input where that is a pipe, and not where it is /dev/null
		one.Streams.In = r.world.in
	}
	return one, nil
}

func (r *running) identity(v *image.View) (account.Identity, error) {
	facts := verify.FactsOf(v)
	if r.as == "" {
		return facts.Identity()
	}
	user, err := account.ParseUser(r.as)
	if err != nil {
		return account.Identity{}, err
	}
	return account.Resolve(user, facts.Passwd, facts.Group)
}

// overlay sets variables in an environment, each where it stands already, else at the end.
func overlay(env, set []string) []string {
	env = slices.Clone(env)
	for _, e := range set {
		name, _, _ := strings.Cut(e, "=")
		at := slices.IndexFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		if at < 0 {
			env = append(env, e)
			continue
		}
		env[at] = e
	}
	return env
}

// volumesOf is a fresh volume for each that the image declares, as engines give one: it can be
// written where the root file system cannot.
func volumesOf(c image.Config, besides []string) []verify.Volume {
	var volumes []verify.Volume
	for i, p := range c.Volumes() {
		if !slices.Contains(besides, p) {
			volumes = append(volumes, verify.Volume{Name: fmt.Sprintf("volume-%d", i+1), Path: p, Seed: verify.SeedImage})
		}
	}
	return volumes
}

func (r *running) carryOut(ctx context.Context, one verify.Run) (verify.Outcome, error) {
	note := func(text string) { fmt.Fprintf(r.world.err, "note: %s\n", text) }
	runner, err := r.world.newRunner(ctx, runnerAsk{name: runnerEmbedded, who: one.Identity, note: note})
	if err != nil {
		return verify.Outcome{}, err
	}
	outcome, err := runner.Run(ctx, one, func(verify.Progress) {})
	return outcome, errors.Join(err, runner.Close())
}

// openTrace opens where events go, before anything runs. Nil where nobody wants them.
func (r *running) openTrace() (io.Writer, func() error, error) {
	switch r.traceTo {
	case "":
		return nil, func() error { return nil }, nil
	case "-":
		return r.world.out, func() error { return nil }, nil
	}
	file, err := os.Create(r.traceTo)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the trace: %w", err)
	}
	return file, file.Close, nil
}

// writeEvents writes one event a line, and says what is missing.
func writeEvents(w *world, to io.Writer, log trace.Log) error {
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	for _, e := range log.Events {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("writing the trace: %w", err)
		}
	}
	if log.Lost != "" {
		fmt.Fprintf(w.err, "note: the trace has %d of %d events: %s\n", len(log.Events), log.Total, log.Lost)
	}
	if log.Blind != "" {
		fmt.Fprintf(w.err, "note: the trace is not complete: %s\n", log.Blind)
	}
	return nil
}

// ending turns what came of the run into the exit code of this program.
func (r *running) ending(ref string, o verify.Outcome) error {
	switch o.End {
	case verify.EndExited, verify.EndSteady:
		if o.Status == 0 {
			return nil
		}
		return &exitError{code: o.Status}
	case verify.EndTimeout:
		return &exitError{exitTimeout, fmt.Errorf("running %q: ended after %s", ref, r.timeout)}
	case verify.EndLimit:
		err := fmt.Errorf("running %q: ended at the limit of %s", ref, o.Limit)
		if o.Limit == "memory" {
			err = &store.HintError{Err: err, Hint: "--memory raises it"}
		}
		return &exitError{exitKilled, err}
	}
	code := exitOwnFailure
	if o.Status == exitNotRunable || o.Status == exitNotFound {
		code = o.Status
	}
	return &exitError{code, fmt.Errorf("running %q: %s", ref, o.Error)}
}

// isNull reports whether a stream is the null device: nothing will ever be read from it.
func isNull(r any) bool {
	file, ok := r.(*os.File)
	if !ok {
		return false
	}
	own, err := file.Stat()
	null, nullErr := os.Stat(os.DevNull)
	return err == nil && nullErr == nil && os.SameFile(own, null)
}
