// Command unroot makes container images that run as root run as a regular user, and shows what stands in the way.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"unroot/internal/layer"
	"unroot/internal/sandbox"
	"unroot/internal/store"
)

func main() {
	sandbox.Stage() // a runner starts this program again, under names of its own
	// The tree of a large image is the peak of memory; collecting a little more often costs less
	// time than the memory is worth.
	debug.SetGCPercent(75)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, &world{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, args: os.Args[1:]}))
}

// world is everything outside that a command may touch.
type world struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	args     []string
	runner   runnerMaker // nil: the real ones
}

// The exit codes; help texts repeat them.
const (
	exitGood        = 0
	exitFindings    = 1   // findings, or refuted
	exitUsage       = 2   // bad usage or input
	exitUnproven    = 3   // unproven, or open items under --strict
	exitUnreachable = 4   // a network or an engine that could not be reached
	exitInterrupted = 130 // as shells report a program that SIGINT ended
)

// exitError ends a command with a code of its own.
type exitError struct {
	code int
	err  error // nil: everything was said
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// run carries one command line out and gives its exit code.
func run(ctx context.Context, w *world) int {
	cmd := newRoot(w)
	cmd.SetArgs(w.args)
	cmd.SetIn(w.in)
	cmd.SetOut(w.out)
	cmd.SetErr(w.err)
	ran, err := cmd.ExecuteContextC(ctx)
	return end(ctx, w.err, ownFailure(ran, err))
}

// ownFailure gives what goes wrong before the program of `run` has started a code of its own: the
// others are the program's.
func ownFailure(ran *cobra.Command, err error) error {
	if has := (*exitError)(nil); err == nil || ran.Name() != "run" || errors.As(err, &has) {
		return err
	}
	return &exitError{exitOwnFailure, err}
}

// end says what a command ended with, and gives the exit code for it.
func end(ctx context.Context, stderr io.Writer, err error) int {
	if err == nil {
		return exitGood
	}
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return exit.code
	}
	if ctx.Err() != nil {
		fmt.Fprintln(stderr, "unroot: interrupted")
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "unroot: %v\n", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	switch {
	case exit != nil:
		return exit.code
	case errors.Is(err, store.ErrUnreachable):
		return exitUnreachable
	}
	return exitUsage
}

// hintOf is what an error says that its reader can do.
func hintOf(err error) string {
	var hinted *store.HintError
	if errors.As(err, &hinted) {
		return hinted.Hint
	}
	if limit := (*layer.LimitError)(nil); errors.As(err, &limit) && limit.Flag != "" {
		return "if you trust the image, raise the limit with " + limit.Flag
	}
	if errors.Is(err, store.ErrCorrupt) || errors.Is(err, layer.ErrCorrupt) {
		return "it is damaged or was cut off: write or fetch it again"
	}
	return ""
}

func newRoot(w *world) *cobra.Command {
	root := &cobra.Command{
		Use:   "unroot",
		Short: "make container images run as a regular user",
		Long: `unroot takes a container image that runs as root and makes it run as a regular user:
no daemon, no Dockerfile, one small layer.

  unroot demo                      see all of it on a sample image: no network, no engine
  unroot check nginx:1.29          why this image will not run as a regular user
  unroot plan nginx:1.29           what would change, why, and how many bytes each step adds
  unroot convert nginx:1.29 registry.example/nginx:1.29-nonroot
  unroot verify registry.example/nginx:1.29-nonroot

Images are named as skopeo names them: NAME or docker://NAME for a registry, oci:DIR[:TAG],
oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], docker-daemon:NAME for a Docker or
Podman engine, and - for a docker-archive on standard input.

The result is on standard output, everything else on standard error.` + exitCodes + `  0    good
  1    check found something; refuted
  2    bad usage or input
  3    unproven; something is open, under --strict
  4    a registry or an engine could not be reached
  130  interrupted`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(newHelp())
	root.AddCommand(newCheck(w), newPlan(w), newConvert(w), newVerify(w), newRun(w), newDemo(w), newInit(w), newExplain(w), newVersion(w), newMan(w), newCompletion(w), newDemoServer(), newDemoProbe())
	for _, cmd := range root.Commands() {
		completeFlags(cmd)
	}
	return root
}
