package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"unroot/internal/image"
	"unroot/internal/sandbox"
	"unroot/internal/store"
	"unroot/internal/verify"
)

// proofRounds is how often each is measured, in turn.
const proofRounds = 9

// proofBars: end to end at most four times two plain runs, and under 20 seconds on two cores.
const (
	proofRatio   = 4
	proofSeconds = 20
)

// proofTimes is what `convert --verify` of the race's image takes.
type proofTimes struct {
	contests []contest
	plain    []time.Duration // one run of the image to its steady state, unpacked for it
	whole    []time.Duration // convert --verify, from an OCI layout to one
	parts    []string        // where the last one went
}

// proofRace measures `unroot convert --verify` beside two plain runs of the same image in the same
// runner, each from the stored image to the steady state.
func proofRace(ctx context.Context, l *lab) (p proofTimes, err error) {
	dir, err := os.MkdirTemp(l.dir, "proof-")
	if err != nil {
		return p, err
	}
	source := "oci:" + filepath.Join(dir, "source") + ":nginx"
	if err := l.command(ctx, nil, "skopeo", "copy", "--quiet", "--src-tls-verify=false", "docker://"+l.image(nginxImage), source); err != nil {
		return p, err
	}
	var ratios []float64
	for range proofRounds {
		var two time.Duration
		for range 2 {
			took, err := plainRun(ctx, source)
			if err != nil {
				return p, err
			}
			p.plain, two = append(p.plain, took), two+took
		}
		took, parts, err := l.proveOnce(ctx, source, dir)
		if err != nil {
			return p, err
		}
		p.whole, p.parts = append(p.whole, took), parts
		ratios = append(ratios, took.Seconds()/two.Seconds())
	}
	p.contests = []contest{
		{"`convert --verify` against two plain runs to the steady state", intervalOf(ratios), proofRatio, false},
		{"`convert --verify`, against 20 s", intervalOf(fractions(p.whole, proofSeconds)), 1, false},
	}
	return p, nil
}

func fractions(times []time.Duration, of float64) []float64 {
	out := make([]float64, len(times))
	for i, t := range times {
		out[i] = t.Seconds() / of
	}
	return out
}

// plainRun opens the image, unpacks it in a runner of its own and runs it, without the tracer and
// without a question, to its steady state.
func plainRun(ctx context.Context, ref string) (took time.Duration, err error) {
	start := time.Now()
	from, err := store.Parse(ref)
	if err != nil {
		return 0, err
	}
	s := store.New(store.Options{Env: os.Getenv})
	defer func() { err = errors.Join(err, s.Close()) }()
	source, err := s.Open(ctx, from)
	if err != nil {
		return 0, err
	}
	v, err := image.Open(ctx, source.Image, image.Options{})
	if err != nil {
		return 0, err
	}
	r, err := verify.Baseline(verify.FactsOf(v), verify.Options{})
	if err != nil {
		return 0, err
	}
	r.Trace, r.Probes = false, nil
	runner, err := sandbox.New(sandbox.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, runner.Close()) }()
	out, err := runner.Run(ctx, r, func(verify.Progress) {})
	if err != nil {
		return 0, err
	}
	if out.End != verify.EndSteady {
		return 0, fmt.Errorf("a plain run of %s ended as %s: %s", ref, out.End, out.Error)
	}
	return time.Since(start), nil
}

// proveOnce converts with --verify as a user does, and tells where the time went.
func (l *lab) proveOnce(ctx context.Context, source, dir string) (time.Duration, []string, error) {
	to := filepath.Join(dir, "proven")
	if err := os.RemoveAll(to); err != nil {
		return 0, nil, err
	}
	cmd := exec.CommandContext(ctx, l.binary, "convert", "--verify", "--no-cache", "--json", source, "oci:"+to+":nginx")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	start := time.Now()
	text, err := cmd.Output()
	took := time.Since(start)
	if err != nil {
		return 0, nil, fmt.Errorf("unroot convert --verify: %w\n%s", err, complaint.String())
	}
	var done struct {
		Proofs []verify.Proof `json:"proofs"`
	}
	if err := json.Unmarshal(text, &done); err != nil {
		return 0, nil, fmt.Errorf("reading what convert wrote: %w", err)
	}
	if len(done.Proofs) != 1 || done.Proofs[0].Verdict != verify.Proven {
		return 0, nil, fmt.Errorf("unroot convert --verify proves %d images: %s", len(done.Proofs), complaint.String())
	}
	return took, partsOf(done.Proofs[0], took), nil
}

// partsOf is where the time went: each run, and what is left for reading, unpacking, planning and writing.
func partsOf(p verify.Proof, whole time.Duration) []string {
	var parts []string
	rest := whole
	add := func(name string, ms int64) {
		took := time.Duration(ms) * time.Millisecond
		rest -= took
		parts = append(parts, fmt.Sprintf("%s %s", name, seconds(took)))
	}
	if p.Original != nil {
		add("baseline", p.Original.Took)
	}
	for _, r := range p.Results {
		add(r.Run, r.Took)
	}
	return append(parts, "reading, unpacking, planning, checking and writing "+seconds(rest))
}

// proofAlone measures nothing else, and writes no page.
func proofAlone(ctx context.Context) (err error) {
	l, err := openLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r := report{}
	if r.proof, err = proofRace(ctx, l); err != nil {
		return err
	}
	fmt.Print(proofText(r.proof))
	for _, c := range r.proof.contests {
		if !c.holds() {
			err = errors.Join(err, fmt.Errorf("a bar does not hold: %s", c.what))
		}
	}
	return err
}

// proofText is the proof's part of the report, as Markdown.
func proofText(p proofTimes) string {
	if len(p.contests) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n`convert --verify` of the %s image, from an OCI layout to one, without a cache, %d interleaved rounds with an interval of at least 95 %%. A plain run reads, unpacks and runs the image in the same runner to its steady state, without the tracer.\n\n",
		nginxImage, p.contests[0].ratio.n)
	b.WriteString("| bar | measured | limit | |\n|---|---|---|---|\n")
	for _, c := range p.contests {
		fmt.Fprintf(&b, "| %s | %s | %s %g× | %s |\n", c.what, c.ratio, sense(c.least), c.limit, verdictWord(c.holds()))
	}
	fmt.Fprintf(&b, "\nMedians: plain run %s, `convert --verify` %s. Where the last one went:\n\n", seconds(median(p.plain)), seconds(median(p.whole)))
	for _, part := range p.parts {
		fmt.Fprintf(&b, "- %s\n", part)
	}
	return b.String()
}
