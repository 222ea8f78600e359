package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"unroot/internal/account"
	"unroot/internal/sandbox/probe"
	"unroot/internal/store"
	"unroot/internal/verify"
)

// verifying is how images are run to be compared: the flags that verify and convert --verify share.
type verifying struct {
	probes    []string
	scenarios []string
	env       []string
	target    string
	runner    string
	timeout   time.Duration
	settle    time.Duration
	memory    byteSize
	attach    bool
}

func (v *verifying) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&v.probes, "probe", nil, "ask this in the steady state, such as http://:8080/path, tcp://:5432 or exec:COMMAND (default: what listens is asked something general)")
	f.StringArrayVar(&v.scenarios, "scenario", nil, "run only this scenario: "+strings.Join(verify.ScenarioNames, ", "))
	f.StringArrayVar(&v.env, "run-env", nil, "set a variable in every run, the original's too, such as POSTGRES_PASSWORD=secret")
	f.StringVar(&v.target, "target", "", "run the scenarios that this platform brings about: "+strings.Join(verify.Targets, ", ")+" (default: all)")
	f.StringVar(&v.runner, "runner", runnerEmbedded, "run in namespaces of unroot's own (embedded), or on a Docker or Podman engine (docker)")
	f.DurationVar(&v.timeout, "timeout", 0, "end each run after this time (default 1m0s)")
	f.DurationVar(&v.settle, "settle", verify.DefaultSettle, "a state is steady when nothing new has come for this long")
	f.BoolVar(&v.attach, "attach", false, "store the proof beside the image, as an in-toto statement that refers to it")
	f.Var(&v.memory, "memory", "let all processes of a run together have this much memory, such as 512M")
}

// options reads the flags. Every error says which flag is wrong and what it takes.
func (v *verifying) options() (verify.Options, error) {
	opts := verify.Options{Target: v.target, Pick: v.scenarios, Env: v.env, Settle: v.settle, Timeout: v.timeout, Limits: verify.Limits{Memory: int64(v.memory)}}
	for _, e := range v.env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return opts, badFlag("--run-env %q: not a variable", "write --run-env NAME=value", e)
		}
	}
	for _, name := range v.scenarios {
		if !slices.Contains(verify.ScenarioNames, name) {
			return opts, badFlag("--scenario %q: not known", "--scenario takes "+oneOf(verify.ScenarioNames), name)
		}
	}
	switch {
	case v.target != "" && !slices.Contains(verify.Targets, v.target):
		return opts, badFlag("--target %q: not known", "--target takes "+oneOf(verify.Targets), v.target)
	case v.runner != runnerEmbedded && v.runner != runnerDocker:
		return opts, badFlag("--runner %q: not known", "--runner takes embedded or docker", v.runner)
	case v.timeout < 0:
		return opts, badFlag("--timeout %s: not a time to wait", "write --timeout 60s", v.timeout)
	case v.settle <= 0:
		return opts, badFlag("--settle %s: not a time to wait", "write --settle 1500ms", v.settle)
	case v.timeout > 0 && v.settle >= v.timeout:
		return opts, badFlag("--settle %s: not shorter than --timeout", "a run would end before its state counts as steady", v.settle)
	}
	for _, text := range v.probes {
		p, err := probe.Parse(text)
		if err != nil {
			return opts, badFlag("--probe: %w", probe.Forms, err)
		}
		opts.Probes = append(opts.Probes, p)
	}
	return opts, nil
}

// oneOf lists names as a sentence does: "a, b or c".
func oneOf(names []string) string {
	last := len(names) - 1
	return fmt.Sprintf("%s or %s", strings.Join(names[:last], ", "), names[last])
}

// unavailable is a runner that cannot work here: every run says why.
type unavailable struct {
	name string
	err  error
}

// Run says why nothing can be run.
func (u unavailable) Run(context.Context, verify.Run, func(verify.Progress)) (verify.Outcome, error) {
	return verify.Outcome{}, u.err
}

// Name is the name of the runner that cannot work.
func (u unavailable) Name() string { return u.name }

// Close does nothing.
func (unavailable) Close() error { return nil }

// open opens the runner for an image. Where it cannot work the runner that is given back says so for
// each run: the verdict is then unproven, and not an error.
func (v *verifying) open(ctx context.Context, w *world, of verify.Facts, line *progress, uids ...uint32) (verify.Runner, error) {
	if platform := of.Config.Platform(); !runsHere(platform) {
		return unavailable{v.runner, fmt.Errorf("%w: it is for %s, and this machine is %s", verify.ErrUnavailable, platform, thisPlatform())}, nil
	}
	who, err := of.Identity()
	if err != nil {
		who = account.Identity{} // whoever runs it says why it cannot be
	}
	runner, err := w.newRunner(ctx, runnerAsk{
		name: v.runner, who: who, ids: append(uids, account.ArbitraryUID, verify.AgainUID),
		note: func(text string) { line.note(w.err, text) },
	})
	if errors.Is(err, verify.ErrUnavailable) && !errors.Is(err, store.ErrUnreachable) {
		return unavailable{v.runner, err}, nil
	}
	return runner, err
}

func thisPlatform() string { return "linux/" + runtime.GOARCH }

// runsHere reports whether this machine runs images of a platform by itself. Emulation is not
// attempted: it has neither ptrace nor seccomp, so that nothing would be seen.
func runsHere(platform string) bool {
	own := thisPlatform()
	return platform == own || strings.HasPrefix(platform, own+"/") || runtime.GOARCH == "amd64" && platform == "linux/386"
}

// canAttach refuses --attach for places that keep images only, before anything is run.
func (v *verifying) canAttach(to store.Ref) error {
	if !v.attach || to.Transport == store.Registry || to.Transport == store.OCILayout {
		return nil
	}
	return badFlag("--attach: %q keeps images only", "a registry and an oci: folder keep what refers to an image", to)
}

// attachProof stores a proof beside its image, and says under which digest. member is the digest of
// the image where the reference names an index, else empty.
func (r *reading) attachProof(ctx context.Context, to store.Ref, member digest.Digest, p verify.Proof) error {
	statement, err := verify.Statement(p)
	if err != nil {
		return err
	}
	d, err := r.store.AttachMember(ctx, to, member, statement, verify.MediaType)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.world.err, "attached %s\n", d)
	return nil
}
