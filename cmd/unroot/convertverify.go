package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"unroot/internal/image"
	"unroot/internal/learn"
	"unroot/internal/report"
	"unroot/internal/startup"
	"unroot/internal/store"
	"unroot/internal/verify"
)

// proving is what convert does with --verify: it converts by what runs show, and keeps the proofs.
type proving struct {
	verifying
	wanted  bool
	options verify.Options
	to      store.Ref

	learnt map[*image.Image]learn.Result // of every platform of the source
	proofs []verify.Proof                // of the platforms that were run
}

func (p *proving) flags(cmd *cobra.Command) {
	before := map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { before[f.Name] = true })
	p.verifying.flags(cmd)
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !before[f.Name] {
			f.Usage = "with --verify: " + f.Usage
			f.Annotations = map[string][]string{needsVerify: nil}
		}
	})
	cmd.Flags().BoolVar(&p.wanted, "verify", false, "run the original and the result, convert by what the runs show, and write only what is proven")
}

// needsVerify marks the flags that say how images are run.
const needsVerify = "unroot_needs_verify"

// read checks the flags: those that say how images are run, where none is run, are a mistake.
func (p *proving) read(flags *pflag.FlagSet) error {
	var err error
	if p.options, err = p.verifying.options(); err != nil || p.wanted {
		return err
	}
	flags.Visit(func(f *pflag.Flag) {
		if _, ok := f.Annotations[needsVerify]; ok && err == nil {
			err = badFlag("--%s says how images are run, and convert runs none", "add --verify", f.Name)
		}
	})
	return err
}

// learnAll converts every platform of the source: first those that run here, then, by what these have
// shown, the others.
func (c *conversion) learnAll(ctx context.Context, source image.Source, images []*image.Image, names []string) error {
	c.proving.learnt = map[*image.Image]learn.Result{}
	run := -1
	for i, name := range names {
		if !runsHere(name) {
			continue
		}
		if run < 0 {
			run = i
		}
		if err := c.learnOne(ctx, source, i, images, names); err != nil {
			return err
		}
	}
	if run < 0 {
		run = 0 // none runs here: the first one's proof says so
		if err := c.learnOne(ctx, source, run, images, names); err != nil {
			return err
		}
	}
	shown := c.proving.learnt[images[run]]
	for i, img := range images {
		if _, done := c.proving.learnt[img]; done {
			continue
		}
		if err := c.applyTo(ctx, img, shown); err != nil {
			return fmt.Errorf("platform %s: %w", names[i], err)
		}
		fmt.Fprintf(c.world.err, "note: %s was not run, %s: what %s showed is applied to it\n", names[i], notRun(names[i]), names[run])
	}
	return nil
}

// learnOne converts the platform at i by runs.
func (c *conversion) learnOne(ctx context.Context, source image.Source, i int, images []*image.Image, names []string) error {
	v, err := image.Open(ctx, images[i], c.reading.options())
	if err != nil {
		return err
	}
	on := verify.Case{Options: c.proving.options, CandidateRef: c.proving.to.String(), BaselineRef: c.from.String(), Unroot: versionName()}
	if source.Index != nil {
		on.BaselineIndex = source.Index.Digest.String()
	}
	for j, name := range names {
		if j != i {
			on.Others = append(on.Others, verify.Tested{Platform: name, Verdict: verify.Unproven, Why: notRun(name)})
		}
	}
	line := newProgress(c.world.err)
	defer line.stop()
	runner, err := c.proving.open(ctx, c.world, verify.FactsOf(v), line, c.uids()...)
	if err != nil {
		return err
	}
	result, err := learn.Convert(ctx, learn.Source{View: v, Ref: c.from.String(), Plan: c.opts, Case: on}, runner, line.run)
	if err := errors.Join(err, runner.Close()); err != nil {
		return err
	}
	c.proving.learnt[images[i]] = result
	c.proving.proofs = append(c.proving.proofs, result.Proof)
	return nil
}

// uids is the uid that the user wants, where that is one.
func (c *conversion) uids() []uint32 {
	if c.opts.UID == nil {
		return nil
	}
	return []uint32{*c.opts.UID}
}

// applyTo converts a platform that is not run, by what another one has shown.
func (c *conversion) applyTo(ctx context.Context, img *image.Image, shown learn.Result) error {
	v, err := image.Open(ctx, img, c.reading.options())
	if err != nil {
		return err
	}
	opts := c.opts
	if shown.Compat != startup.CompatOff {
		opts.Compat, opts.CompatWhy = shown.Compat, shown.CompatWhy
	}
	result, err := learn.Apply(ctx, learn.Source{View: v, Ref: c.from.String(), Plan: opts, Seen: &shown.Seen})
	if err != nil {
		return err
	}
	c.proving.learnt[img] = result
	return nil
}

// verdict is the worst of the proofs.
func (p *proving) verdict() verify.Word {
	worst := verify.Proven
	for _, proof := range p.proofs {
		if proof.Verdict == verify.Refuted || worst == verify.Proven {
			worst = proof.Verdict
		}
	}
	return worst
}

// tellRounds says on standard error what each round came to and what it added.
func (c *conversion) tellRounds() error {
	for _, proof := range c.proving.proofs {
		for _, raw := range proof.Rounds {
			var r learn.Round
			if err := json.Unmarshal(raw, &r); err != nil {
				return fmt.Errorf("[internal error] a round: %w", err)
			}
			c.tellRound(r)
		}
	}
	return nil
}

func (c *conversion) tellRound(r learn.Round) {
	line := fmt.Sprintf("round %d: %s, %s", r.Number, count(r.Operations, "operation"), r.Verdict)
	if r.Compat != "" {
		line = fmt.Sprintf("round %d, with emulation (%s): %s, %s", r.Number, r.Compat, count(r.Operations, "operation"), r.Verdict)
	}
	if r.Cause != "" {
		line += ": " + printable(r.Cause)
	}
	fmt.Fprintln(c.world.err, line)
	if r.Number == 1 {
		return // everything is new
	}
	for _, added := range r.Added {
		fmt.Fprintf(c.world.err, "  + %s\n", printable(added))
	}
}

// refuse ends a conversion that is not proven: the proof is told, and nothing is written.
func (c *conversion) refuse() error {
	if err := c.tellRounds(); err != nil {
		return err
	}
	if c.asJSON {
		if err := c.tell("", c.proving.to); err != nil {
			return err
		}
	} else {
		for _, proof := range c.proving.proofs {
			if err := report.ProofText(c.world.err, proof); err != nil {
				return err
			}
		}
	}
	word := c.proving.verdict()
	code := exitUnproven
	if word == verify.Refuted {
		code = exitFindings
	}
	return &exitError{code, &store.HintError{Err: fmt.Errorf("%s; nothing was written", word), Hint: "without --verify convert writes what the image alone decides"}}
}

// tellProof says on standard error what was proven.
func (c *conversion) tellProof() error {
	if err := c.tellRounds(); err != nil {
		return err
	}
	for _, proof := range c.proving.proofs {
		line := report.ProofLine(proof)
		if len(proof.Platforms) > 1 {
			line = proof.Candidate.Platform + ": " + line
		}
		fmt.Fprintln(c.world.err, line)
	}
	return nil
}

// placed gives the proofs the digests under which their images lie at the destination, which are
// others where manifests are written in another form there, and stores them beside the images where
// that was asked for.
func (c *conversion) placed(ctx context.Context, to store.Ref) error {
	if len(c.proving.proofs) == 0 || to.Transport != store.Registry && to.Transport != store.OCILayout {
		return nil
	}
	source, err := c.reading.store.Open(ctx, to)
	if err != nil {
		return err
	}
	images, names := platforms(indexOf(source))
	for i := range c.proving.proofs {
		at := slices.Index(names, c.proving.proofs[i].Candidate.Platform)
		if at < 0 {
			return fmt.Errorf("[internal error] %s is not at %q", c.proving.proofs[i].Candidate.Platform, to)
		}
		if err := c.place(ctx, &c.proving.proofs[i], to, images[at].Digest, source.Index); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversion) place(ctx context.Context, p *verify.Proof, to store.Ref, d digest.Digest, index *image.Index) error {
	p.Candidate.Digest, p.Made = d.String(), time.Now().UTC().Format(time.RFC3339)
	var member digest.Digest
	if index != nil {
		member, p.Candidate.Index = d, index.Digest.String()
	}
	if !c.proving.attach {
		return nil
	}
	return c.reading.attachProof(ctx, to, member, *p)
}

// provenConversion is the document of `unroot convert --verify --json`. The id is empty where nothing
// was written.
type provenConversion struct {
	report.Conversion
	Proofs []verify.Proof `json:"proofs,omitempty"`
}
