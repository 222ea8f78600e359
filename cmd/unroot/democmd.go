package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"unroot/internal/image"
	"unroot/internal/plan"
	"unroot/internal/record"
	"unroot/internal/report"
	"unroot/internal/rewrite"
	"unroot/internal/sample"
	"unroot/internal/store"
	"unroot/internal/survey"
	"unroot/internal/verify"
)

func newDemo(w *world) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "see all of it on a small sample image",
		Long: `demo writes a small sample image, says why it will not run as a regular user, prints the plan,
converts it, looks at the result again, and runs both to prove that they do the same. It needs no
network, no engine and no root. Where images cannot be run it says what is missing, and goes on.
The image is a server that binds port 80, writes a pid file under /run and a log under /var/log,
keeps its data in a volume, and starts as root to step down to its own user.` + exitCodes + `  0  the sample was converted, and proven where images can be run
  1  the proof failed
  2  bad usage, or a folder that cannot be written`,
		Example: `  unroot demo
  unroot demo --dir demo      # keeps both images: oci:demo:root and oci:demo:nonroot`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir != "" {
				return keepDemo(cmd.Context(), w, dir)
			}
			temp, err := os.MkdirTemp("", "unroot-demo-")
			if err != nil {
				return fmt.Errorf("making a folder for the demo: %w", err)
			}
			return errors.Join(runDemo(cmd.Context(), w, filepath.Join(temp, "demo")), os.RemoveAll(temp))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "keep both images in this folder, an OCI layout")
	return cmd
}

// keepDemo runs the demo for who may want to run its images afterwards, and says where that fails:
// their server is this program.
func keepDemo(ctx context.Context, w *world, dir string) error {
	if err := runDemo(ctx, w, dir); err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		fmt.Fprintf(w.err, "note: the server in both images is this program, which is for %s: they do not run\n", runtime.GOOS)
	}
	return nil
}

func selfProgram() ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return os.ReadFile(self)
}

// demo is the demo's state: the store, and where the two images lie.
type demo struct {
	world       *world
	store       *store.Store
	root, clean store.Ref
}

func runDemo(ctx context.Context, w *world, dir string) error {
	d := &demo{world: w, store: store.New(store.Options{Env: w.env})}
	defer d.store.Close()
	var err error
	if d.root, err = store.Parse("oci:" + dir + ":root"); err != nil {
		return err
	}
	if d.clean, err = store.Parse("oci:" + dir + ":nonroot"); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{d.write, d.look, d.convert, d.lookAgain, d.prove} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

func (d *demo) title(n int, text string) {
	fmt.Fprintf(d.world.out, "── %d. %s\n\n", n, text)
}

func (d *demo) write(ctx context.Context) error {
	program, err := selfProgram()
	if err != nil {
		return err
	}
	d.title(1, "A sample image that runs as root")
	fmt.Fprintf(d.world.out, "%s\n", sample.About)
	libraries, err := librariesOf(program)
	if err != nil {
		return err
	}
	img, err := sample.Image(program, libraries, runtime.GOARCH)
	if err != nil {
		return err
	}
	_, err = d.store.Put(ctx, d.root, image.Source{Image: img})
	return err
}

func (d *demo) open(ctx context.Context, ref store.Ref) (*image.View, error) {
	source, err := d.store.Open(ctx, ref)
	if err != nil {
		return nil, err
	}
	return image.Open(ctx, source.Image, image.Options{})
}

func (d *demo) look(ctx context.Context) error {
	v, err := d.open(ctx, d.root)
	if err != nil {
		return err
	}
	d.title(2, "unroot check: why it will not run as a regular user")
	return report.FindingsText(d.world.out, findingsOf(survey.Make(v), "sample", false))
}

func (d *demo) convert(ctx context.Context) error {
	v, err := d.open(ctx, d.root)
	if err != nil {
		return err
	}
	made, err := plan.Make(survey.Make(v), plan.Options{})
	if err != nil {
		return err
	}
	fmt.Fprintln(d.world.out)
	d.title(3, "unroot plan: what changes, why, and what it costs")
	if err := writePlans(d.world, false, []planned{{view: v, plan: made, ref: "sample"}}); err != nil {
		return err
	}
	result, err := rewrite.Image(ctx, v, made, "")
	if err != nil {
		return err
	}
	if err := holds(result.View, made); err != nil {
		return err
	}
	id, err := d.store.Put(ctx, d.clean, image.Source{Image: result.Image})
	if err != nil {
		return err
	}
	fmt.Fprintln(d.world.out)
	d.title(4, "unroot convert: one layer more")
	fmt.Fprintf(d.world.out, "%s\n%d bytes in the new layer; the other layers are the same\n\n", id, result.Layer)
	return nil
}

func (d *demo) lookAgain(ctx context.Context) error {
	v, err := d.open(ctx, d.clean)
	if err != nil {
		return err
	}
	d.title(5, "unroot check, again")
	return report.FindingsText(d.world.out, findingsOf(survey.Make(v), "sample, converted", false))
}

// prove runs the sample, which is this program, as the original and as what it became.
func (d *demo) prove(ctx context.Context) error {
	original, err := d.open(ctx, d.root)
	if err != nil {
		return err
	}
	candidate, err := d.open(ctx, d.clean)
	if err != nil {
		return err
	}
	fmt.Fprintln(d.world.out)
	d.title(6, "unroot verify: both are run, and compared")
	baseline := verify.FactsOf(original)
	c := verify.Case{
		Candidate: verify.FactsOf(candidate), Baseline: &baseline, CandidateRef: "sample, converted", BaselineRef: "sample",
		Options: verify.Options{Pick: []string{verify.Fixed, verify.ArbitraryUser, verify.ReadOnly}}, Unroot: versionName(),
	}
	if rec, ok, err := record.Read(candidate.Config.Labels()); err == nil && ok {
		c.Expect = verify.ExpectFromRecord(rec)
	}
	line := newProgress(d.world.err)
	defer line.stop()
	how := &verifying{runner: runnerEmbedded}
	runner, err := how.open(ctx, d.world, c.Candidate, line)
	if err != nil {
		return err
	}
	proof, err := verify.Prove(ctx, c, runner, line.run)
	if err := errors.Join(err, runner.Close()); err != nil {
		return err
	}
	line.stop()
	return d.tellProof(proof)
}

// tellProof writes the proof without how long it took: the same demo prints the same.
func (d *demo) tellProof(p verify.Proof) error {
	p.Took = 0
	for _, r := range p.Reasons {
		if r.ID == verify.NoRunner {
			_, why, found := strings.Cut(r.Text, verify.ErrUnavailable.Error()+": ")
			if !found {
				why = r.Text
			}
			_, err := fmt.Fprintf(d.world.out, "unproven here: %s\n", why)
			return err
		}
	}
	if err := report.ProofText(d.world.out, p); err != nil {
		return err
	}
	if p.Verdict != verify.Proven {
		return &exitError{exitFindings, fmt.Errorf("the sample is %s", p.Verdict)}
	}
	return nil
}
