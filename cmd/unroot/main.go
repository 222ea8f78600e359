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

	"unroot/internal/store"
)

func main() {
	// The tree of a large image is the peak of memory; collecting a little more often costs less
	// time than the memory is worth.
	debug.SetGCPercent(75)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, &world{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, args: os.Args[1:]})
	stop()
	os.Exit(code)
}

// world is everything outside that a command may touch.
type world struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	args     []string
}

// The exit codes; help texts repeat them.
const (
	exitGood        = 0
	exitFindings    = 1 // findings, or refuted
	exitUsage       = 2 // bad usage or input
	exitUnproven    = 3 // unproven, or open items under --strict
	exitUnreachable = 4 // a network or an engine that could not be reached
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
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitGood
	}
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return exit.code
	}
	fmt.Fprintf(w.err, "unroot: %v\n", err)
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w.err, "hint: %s\n", hint)
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

Images are named as skopeo names them: NAME or docker://NAME for a registry, oci:DIR[:TAG],
oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], docker-daemon:NAME for a Docker or
Podman engine, and - for a docker-archive on standard input.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &store.HintError{Err: err, Hint: fmt.Sprintf("see `%s --help`", cmd.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(newCheck(w), newPlan(w), newConvert(w), newDemo(w), newVersion(w), newMan(w), newDemoServer(), newDemoProbe())
	return root
}

// exactly is cobra.ExactArgs with words that say what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return &store.HintError{
			Err:  fmt.Errorf("%s takes %d arguments, not %d", cmd.CommandPath(), len(names), len(args)),
			Hint: "usage: " + cmd.UseLine(),
		}
	}
}

const exitCodes = `

Exit codes:
`
