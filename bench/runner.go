package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
	"unroot/internal/sandbox"
	"unroot/internal/verify"
	"unroot/test/engine"
	"unroot/test/sample"
)

// runnerRounds is how often each way to run a program is measured, all in turn.
const runnerRounds = 15

// runnerBench runs "true" in the same root file system in several ways.
type runnerBench struct {
	lab    *lab
	ref    string // of the image, in the engine
	dir    string
	runner *sandbox.Embedded // with the image unpacked
	image  *image.Image
	spaces int // pid of a process in a mount namespace that crun works in
}

// runnerRace measures the embedded runner beside crun and Docker: the time until a program that does
// nothing has ended, with its image unpacked before.
func runnerRace(ctx context.Context, l *lab, ref string) (contests []contest, err error) {
	b := &runnerBench{lab: l, ref: ref}
	if b.dir, err = os.MkdirTemp(l.dir, "runner-"); err != nil {
		return nil, err
	}
	if b.runner, err = sandbox.New(sandbox.Options{}); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.runner.Close()) }()
	if err := b.unpack(ctx); err != nil {
		return nil, err
	}
	end, err := b.unify(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	ways := []func(context.Context) error{b.embedded, b.crun, b.docker, b.newLab}
	times := make([][]float64, len(ways))
	for round := range runnerRounds + 1 {
		for i := range ways {
			way := (i + round) % len(ways)
			start := time.Now()
			if err := ways[way](ctx); err != nil {
				return nil, fmt.Errorf("round %d, way %d: %w", round, way, err)
			}
			if round > 0 { // the first one warms up
				times[way] = append(times[way], time.Since(start).Seconds())
			}
		}
	}
	contests = []contest{
		{"runner against `crun run`, start to end of `true`", quotients(times[0], times[1]), 1, false},
		{"`docker run --rm --network none` against the runner", quotients(times[2], times[0]), 10, true},
		{"runner with a new lab, image unpacked in it, against `docker run`", quotients(times[3], times[2]), 0, false},
	}
	for i, name := range []string{"runner", "crun run", "docker run", "runner, new lab"} {
		fmt.Fprintf(os.Stderr, "%-16s median %7.1f ms\n", name, 1000*intervalOf(times[i]).median)
	}
	for _, c := range contests {
		fmt.Fprintf(os.Stderr, "%-70s %s\n", c.what, c.ratio)
	}
	return contests, nil
}

// quotients is the interval of the ratios round by round.
func quotients(a, b []float64) interval {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return intervalOf(ratios)
}

// unpack exports the sample's root file system, as one layer for the runner and unpacked for crun.
func (b *runnerBench) unpack(ctx context.Context) error {
	id, err := b.lab.engine.Docker(ctx, "create", "--network", "none", b.ref, "true")
	if err != nil {
		return err
	}
	id = strings.TrimSpace(id)
	archive := filepath.Join(b.dir, "rootfs.tar")
	_, err = b.lab.engine.Docker(ctx, "export", "--output", archive, id)
	_, gone := b.lab.engine.Docker(ctx, "rm", id)
	if err := errors.Join(err, gone); err != nil {
		return err
	}
	info, err := os.Stat(archive)
	if err != nil {
		return err
	}
	b.image = &image.Image{Layers: []image.Layer{fileLayer{archive, info.Size()}}}
	root := filepath.Join(b.dir, "bundle", "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := b.lab.command(ctx, nil, "tar", "-C", root, "-xf", archive); err != nil {
		return err
	}
	return b.writeSpec(ctx)
}

// writeSpec writes the bundle's config.json: crun's own, with the program. Its rlimit and its rules for
// devices are left out: both need CAP_SYS_RESOURCE, which not every machine grants.
func (b *runnerBench) writeSpec(ctx context.Context) error {
	file := filepath.Join(b.dir, "bundle", "config.json")
	cmd := exec.CommandContext(ctx, "crun", "spec")
	cmd.Dir = filepath.Dir(file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("crun spec: %w: %s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		return err
	}
	process, ok1 := spec["process"].(map[string]any)
	linux, ok2 := spec["linux"].(map[string]any)
	if !ok1 || !ok2 {
		return errors.New("crun spec: there is no process, or nothing for Linux")
	}
	process["terminal"], process["args"] = false, []string{"true"}
	delete(process, "rlimits")
	delete(linux, "resources")
	if text, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// unify makes a mount namespace whose cgroups are of version 2 alone: crun refuses the mixed layout
// that some machines have. It lasts until end is called.
func (b *runnerBench) unify(ctx context.Context) (end func(), err error) {
	const script = "mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && echo ready && exec cat"
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-c", script)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() { in.Close(); _ = cmd.Wait() }
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		end()
		return nil, fmt.Errorf("making a mount namespace for crun: %w", err)
	}
	b.spaces = cmd.Process.Pid
	return end, nil
}

func (b *runnerBench) run() verify.Run {
	return verify.Run{
		Name: "true", Image: b.image, Args: []string{"true"}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Dir: "/",
		Hostname: "bench", NoNewPrivs: true, PortStart: 1024, Exits: true, Timeout: time.Minute,
	}
}

func (b *runnerBench) embedded(ctx context.Context) error {
	out, err := b.runner.Run(ctx, b.run(), nil)
	return errors.Join(err, ranWell(out))
}

func (b *runnerBench) newLab(ctx context.Context) error {
	e, err := sandbox.New(sandbox.Options{})
	if err != nil {
		return err
	}
	out, err := e.Run(ctx, b.run(), nil)
	return errors.Join(err, e.Close(), ranWell(out))
}

func ranWell(out verify.Outcome) error {
	if out.End != verify.EndExited || out.Status != 0 {
		return fmt.Errorf("true ended as %s with %d: %s", out.End, out.Status, out.Error)
	}
	return nil
}

func (b *runnerBench) crun(ctx context.Context) error {
	spaces := fmt.Sprintf("--mount=/proc/%d/ns/mnt", b.spaces)
	out, err := exec.CommandContext(ctx, "nsenter", spaces, "crun", "run", "--bundle", filepath.Join(b.dir, "bundle"), "unroot-bench").CombinedOutput()
	if err != nil {
		return fmt.Errorf("crun run: %w: %s", err, out)
	}
	return nil
}

func (b *runnerBench) docker(ctx context.Context) error {
	_, err := b.lab.engine.Docker(ctx, "run", "--rm", "--network", "none", b.ref, "true")
	return err
}

// fileLayer is a plain layer in a file.
type fileLayer struct {
	path string
	size int64
}

func (l fileLayer) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString(l.path), Size: l.size}
}

func (l fileLayer) Open(context.Context) (io.ReadCloser, error) { return os.Open(l.path) }

// runnerAlone measures the runner without registries.
func runnerAlone(ctx context.Context) (err error) {
	l := &lab{}
	defer func() { err = errors.Join(err, l.close()) }()
	if l.dir, err = os.MkdirTemp("", "unroot-bench-"); err != nil {
		return err
	}
	l.closers = append(l.closers, func() error { return os.RemoveAll(l.dir) })
	if l.engine, err = engine.Start(ctx); err != nil {
		return err
	}
	l.closers = append(l.closers, l.engine.Close)
	tag, err := sample.NewBuilder(l.engine, sampleRoot).Build(ctx, nginxImage)
	if err != nil {
		return err
	}
	contests, err := runnerRace(ctx, l, tag)
	if err != nil {
		return err
	}
	fmt.Print(runnerText(contests))
	for _, c := range contests {
		if !c.holds() {
			err = errors.Join(err, fmt.Errorf("bar that does not hold: %s", c.what))
		}
	}
	return err
}

// runnerText is the runner's part of the report, as Markdown.
func runnerText(contests []contest) string {
	if len(contests) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe runner, from the start of `true` to its end with the image unpacked before, medians of %d interleaved rounds with an interval of at least 95 %%.\n\n", contests[0].ratio.n)
	fmt.Fprintf(&b, "| ratio | measured | limit | |\n|---|---|---|---|\n")
	for _, c := range contests {
		if c.limit == 0 {
			fmt.Fprintf(&b, "| %s | %s | | |\n", c.what, c.ratio)
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s %g× | %s |\n", c.what, c.ratio, sense(c.least), c.limit, verdictWord(c.holds()))
	}
	return b.String()
}
