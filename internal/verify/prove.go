package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Case is what is to be proven: an image, and what it is to behave like.
type Case struct {
	Candidate Facts
	Baseline  *Facts // nil: there is none, and nothing can be proven
	Expect    Expect
	Options   Options

	Scenarios []Scenario // nil: what Scenarios gives
	Hasty     bool       // nothing is run any more behind a run that does not hold
	Ran       *Outcome   // the baseline's run, where it was made already with the same options and runner; nil: it is made

	CandidateRef, BaselineRef string   // references, for the proof
	CandidateIndex            string   // digest of the index that the candidate is a member of
	BaselineIndex             string   //
	Others                    []Tested // platforms that are not run, with the reason
	Rounds                    Rounds   //
	Unroot                    string   // the program's version
}

// Prove runs the baseline, then every scenario, and judges each against it. What the runner cannot do
// here is no error: the verdict is unproven then, with the runner's words. An error is a runner that
// failed, an image that cannot be run for what its config lacks, or the context's end.
func Prove(ctx context.Context, c Case, runner Runner, watch func(Progress)) (Proof, error) {
	if o, ok := c.Candidate.Init(); ok {
		c.Expect.Compat = string(o.Compat)
	}
	p := newProof(c, runner)
	if v, refuted := RefuteConfig(c.Candidate); refuted {
		p.Reasons, p.Verdict = v.Reasons, v.Word
		p.settle()
		return p, nil
	}
	scenarios := c.Scenarios
	if scenarios == nil {
		var err error
		if scenarios, err = Scenarios(c.Candidate, c.Expect, c.Options); err != nil {
			return p, err
		}
	}
	w := &prover{Case: c, runner: runner, watch: watch, proof: &p}
	err := w.prove(ctx, scenarios)
	if errors.Is(err, ErrUnavailable) {
		p.Reasons = append(p.Reasons, Reason{ID: NoRunner, Word: Unproven, Text: err.Error()})
		err = nil
	}
	p.settle()
	return p, err
}

func newProof(c Case, runner Runner) Proof {
	p := Proof{
		Version: ProofVersion, Verdict: Proven, Expect: c.Expect, Results: []Result{}, Rounds: c.Rounds, Unroot: c.Unroot,
		Emulation: c.Expect.Emulation(),
		Candidate: c.Candidate.subject(c.CandidateRef, c.CandidateIndex),
		Platforms: append([]Tested{{Platform: c.Candidate.Config.Platform()}}, c.Others...),
	}
	if runner != nil {
		p.Runner = runner.Name()
	}
	if c.Baseline != nil {
		s := c.Baseline.subject(c.BaselineRef, c.BaselineIndex)
		p.Baseline = &s
	}
	return p
}

func (f Facts) subject(ref, index string) Subject {
	s := Subject{Ref: ref, Index: index, Platform: f.Config.Platform(), User: f.Config.User()}
	if f.Image != nil {
		s.Digest = f.Image.Digest.String()
	}
	return s
}

// settle gives the whole its verdict: the worst of what was run. An advisory scenario that does not
// hold is named, and counts only where it shows what no platform brings about: root.
func (p *Proof) settle() {
	word := Proven
	for _, r := range p.Reasons {
		word = worse(word, r.Word)
	}
	if len(p.Results) == 0 && word == Proven {
		p.Reasons = append(p.Reasons, Reason{ID: NothingRun, Word: Unproven, Text: "no scenario was run"})
		word = Unproven
	}
	p.Except = nil
	for _, r := range p.Results {
		switch {
		case r.Word == Proven:
		case r.Advisory && !r.Verdict.grave():
			p.Except = append(p.Except, r.Run)
		default:
			word = worse(word, r.Word)
		}
	}
	p.Verdict = word
	if len(p.Platforms) > 0 {
		p.Platforms[0].Verdict = word
	}
}

// grave reports whether a verdict speaks of root or of a trace with a gap: that counts in every
// scenario.
func (v Verdict) grave() bool {
	return slices.ContainsFunc([]ReasonID{RootProcess, Capability, NewPrivileges, TraceGap}, v.has)
}

// prover is the work of Prove.
type prover struct {
	Case
	runner   Runner
	watch    func(Progress)
	proof    *Proof
	baseline *Outcome
}

func (w *prover) prove(ctx context.Context, scenarios []Scenario) error {
	if err := w.runBaseline(ctx, scenarios); err != nil {
		return err
	}
	for _, s := range scenarios {
		if err := w.fill(ctx, s); err != nil {
			return err
		}
		for _, r := range s.Runs {
			if err := w.try(ctx, s, r); err != nil {
				return err
			}
			if last := w.proof.Results[len(w.proof.Results)-1]; w.Hasty && last.Word != Proven {
				return nil
			}
		}
	}
	return nil
}

func (w *prover) run(ctx context.Context, r Run) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	watch := w.watch
	if watch == nil {
		watch = func(Progress) {}
	}
	o, err := w.runner.Run(ctx, r, watch)
	if err != nil {
		return o, fmt.Errorf("running %q: %w", r.Name, err)
	}
	w.proof.Took += o.Took.Milliseconds()
	return o, nil
}

// runBaseline runs the original once. Volumes that it is to fill it gets in the same run, where it
// declares them all itself: engines would mount one there too.
func (w *prover) runBaseline(ctx context.Context, scenarios []Scenario) error {
	w.baseline = w.Ran
	if w.Baseline != nil && w.Ran == nil {
		r, err := Baseline(*w.Baseline, w.baselineOptions())
		if err != nil {
			w.proof.Reasons = append(w.proof.Reasons, Reason{ID: BaselineFails, Word: Unproven, Text: "the baseline cannot be run: " + err.Error()})
			return nil
		}
		declared := cleanPaths(w.Baseline.Config.Volumes())
		for _, s := range scenarios {
			if !slices.ContainsFunc(s.Fill, func(v Volume) bool { return !slices.Contains(declared, v.Path) }) {
				r.Volumes = append(r.Volumes, s.Fill...)
			}
		}
		o, err := w.run(ctx, r)
		if err != nil {
			return err
		}
		w.baseline = &o
	}
	if w.baseline != nil {
		seen := observe(*w.baseline)
		w.proof.Original = &seen
	}
	return nil
}

// baselineOptions is the options with probes that ask at the ports of the baseline.
func (w *prover) baselineOptions() Options {
	o := w.Options
	o.Probes = slices.Clone(o.Probes)
	for i, p := range o.Probes {
		o.Probes[i] = movePorts(p, w.Expect.from)
	}
	return o
}

// fill lets the baseline leave its data in the volumes of a scenario, unless it has.
func (w *prover) fill(ctx context.Context, s Scenario) error {
	if len(s.Fill) == 0 || w.Baseline == nil || w.baseline == nil || holds(w.baseline.Run.Volumes, s.Fill) {
		return nil
	}
	r, err := Baseline(*w.Baseline, w.baselineOptions())
	if err != nil {
		return err
	}
	r = Following(r, w.baseline, Expect{}) // what it comes to is known
	r.Name, r.Volumes = "baseline, to fill volumes", s.Fill
	_, err = w.run(ctx, r)
	return err
}

func holds(have, want []Volume) bool {
	return !slices.ContainsFunc(want, func(v Volume) bool { return !slices.Contains(have, v) })
}

// try makes one run of a scenario and judges it.
func (w *prover) try(ctx context.Context, s Scenario, r Run) error {
	r = Following(r, w.baseline, w.Expect)
	o, err := w.run(ctx, r)
	if err != nil {
		return err
	}
	result := Result{Scenario: s.Name, Covers: s.Covers, Run: r.Name, Advisory: s.Advisory, ReadOnly: r.ReadOnly, PortStart: r.PortStart,
		Tmpfs: r.Tmpfs, Volumes: r.Volumes, Observed: observe(o), Verdict: Judge(w.baseline, o, w.Expect)}
	if result.Word != Proven {
		result.Stderr = lastLine(o.Stderr)
	}
	w.proof.Results = append(w.proof.Results, result)
	return nil
}

// Following is a candidate's run that waits for what the baseline came to: its sockets, at the ports
// that they moved to, or its end.
func Following(r Run, baseline *Outcome, e Expect) Run {
	if baseline == nil {
		return r
	}
	r.Exits = baseline.End == EndExited
	r.Probes = slices.Clone(r.Probes)
	for i := range r.Probes {
		if r.Probes[i].Kind == "generic" {
			r.Probes[i].Spoke = spoken(*baseline, e)
		}
	}
	for _, s := range Apart(*baseline).Sockets {
		if random(*baseline, s) || s.Proto == "unix" && withoutNumbers(s.Address) != s.Address {
			continue
		}
		s.Port, s.Program = e.to(s.Proto, s.Port), ""
		if !slices.Contains(r.Await, s) {
			r.Await = append(r.Await, s)
		}
	}
	return r
}

// spoken is what the baseline's sockets said, by the names that they have in the candidate.
func spoken(baseline Outcome, e Expect) map[string]string {
	said := map[string]string{}
	for _, a := range baseline.Answers {
		if s, known := socketOf(baseline, a); known {
			s.Port = e.to(s.Proto, s.Port)
			said[SocketText(s)] = a.Shape
		}
	}
	return said
}
