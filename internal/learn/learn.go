// Package learn converts an image by what its runs show: plan, run, mend what ended it, until nothing moves.
package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"unroot/internal/image"
	"unroot/internal/plan"
	"unroot/internal/record"
	"unroot/internal/rewrite"
	"unroot/internal/startup"
	"unroot/internal/survey"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// MaxRounds is how often a candidate is made and run at most. In 30 services that were measured the
// first denial hid at most four others.
const MaxRounds = 8

// maxContents bounds in bytes what is read of configuration files because runs opened them.
const maxContents = 8 << 20

// Source is the image that is converted, and how.
type Source struct {
	View *image.View
	Ref  string       // reference, for annotations and the proof
	Plan plan.Options //
	Case verify.Case  // options of the runs, and what the proof is to name; Candidate, Baseline, Expect, Ran and Rounds are filled in
	Seen *survey.Seen // for Apply: what runs of another platform have shown
}

// Result is what a conversion came to. The candidate is there whatever the verdict.
type Result struct {
	Candidate rewrite.Result
	Plan      plan.Plan
	Proof     verify.Proof
	Rounds    []Round
	Seen      survey.Seen       // what the runs have shown, for the other platforms of an index
	Compat    startup.Compat    // the step of emulation that the runs have shown to be needed, for them too; off: none, or one that was asked for
	CompatWhy []survey.Evidence // what has shown it
}

// Round is one candidate and what its runs came to.
type Round struct {
	Number     int         `json:"round"`
	Operations int         `json:"operations"`         // of the plan
	Added      []string    `json:"added,omitempty"`    // operations that the plan before did not have, each with what it rests on
	Verdict    verify.Word `json:"verdict"`            //
	Cause      string      `json:"cause,omitempty"`    // why it is not proven
	Learnt     []string    `json:"learnt,omitempty"`   // denials that the next round is to mend
	Scenario   string      `json:"scenario,omitempty"` // the first one that does not hold
	Compat     string      `json:"compat,omitempty"`   // the step of emulation, where there was one
	Again      bool        `json:"again,omitempty"`    // it was run twice: the first time some runs held, and the others taught nothing
	Took       int64       `json:"tookMs"`             // milliseconds of its runs
}

// Convert runs the original, then candidates, each planned with what the runs before have shown,
// until one is proven, or no operation is added, or MaxRounds. What the runner cannot do here is no
// error: the result is then the candidate that the image alone gives, unproven.
func Convert(ctx context.Context, src Source, runner verify.Runner, watch func(verify.Progress)) (Result, error) {
	if watch == nil {
		watch = func(verify.Progress) {}
	}
	l := &learner{source: src, runner: runner, watch: watch}
	facts := verify.FactsOf(src.View)
	l.source.Case.Baseline = &facts
	if err := l.runBaseline(ctx, facts); err != nil && !errors.Is(err, verify.ErrUnavailable) {
		return Result{}, err
	}
	if err := l.rounds(ctx, MaxRounds); err != nil {
		return Result{}, err
	}
	if err := l.climb(ctx); err != nil {
		return Result{}, err
	}
	if err := l.advise(ctx); err != nil {
		return Result{}, err
	}
	l.result.Seen = l.seen
	return l.result, l.carryRounds()
}

// rounds makes candidates until one is proven, or nothing is added, or there were so many.
func (l *learner) rounds(ctx context.Context, limit int) error {
	for range limit {
		goOn, err := l.next(ctx)
		if err != nil {
			return err
		}
		if !goOn {
			break
		}
	}
	return nil
}

// next is one round more.
func (l *learner) next(ctx context.Context) (goOn bool, err error) {
	number := len(l.result.Rounds) + 1
	if goOn, err = l.round(ctx, number); err != nil {
		return false, fmt.Errorf("round %d: %w", number, err)
	}
	return goOn, nil
}

// Apply makes the candidate of a platform that is not run here, with what runs of another one have
// shown (Source.Seen): what it names counts where it is there too. There is no proof of it.
func Apply(ctx context.Context, src Source) (Result, error) {
	l := &learner{source: src}
	if src.Seen != nil {
		l.seen = *src.Seen
		l.seen.Contents = nil // files of the same name may differ
	}
	if err := l.readOpened(ctx); err != nil {
		return Result{}, err
	}
	made, err := plan.Make(survey.WithSeen(src.View, l.seen), src.Plan)
	if err != nil {
		return Result{}, err
	}
	candidate, err := rewrite.Image(ctx, src.View, made, src.Ref)
	return Result{Candidate: candidate, Plan: made, Seen: l.seen}, err
}

type learner struct {
	source   Source
	runner   verify.Runner
	watch    func(verify.Progress)
	seen     survey.Seen
	baseline *verify.Outcome
	expect   verify.Expect
	result   Result
	proven   *Result          // the last candidate that was proven
	cases    int              // that were made so far
	last     []verify.Outcome // of the present candidate
}

// runBaseline runs the original as it is, and keeps what it needs.
func (l *learner) runBaseline(ctx context.Context, facts verify.Facts) error {
	r, err := verify.Baseline(facts, l.source.Case.Options)
	if err != nil {
		return nil // Prove says it in its own words
	}
	outcome, err := l.runner.Run(ctx, r, l.watch)
	if err != nil {
		return fmt.Errorf("running the original: %w", err)
	}
	l.baseline = &outcome
	l.seen.Needs = trace.Needs(outcome.Trace)
	l.seen.Opened = openedByLasting(outcome.Trace)
	return l.readOpened(ctx)
}

// openedByLasting is the files that were read by the programs that the steady state is made of.
func openedByLasting(log trace.Log) []trace.Need {
	return slices.DeleteFunc(trace.Reads(log), func(n trace.Need) bool { return n.Kind != trace.Open || !n.Lives })
}

// readOpened reads what could be configuration and was not kept.
func (l *learner) readOpened(ctx context.Context) error {
	paths := survey.Unread(l.source.View, l.seen.Opened)
	if len(paths) == 0 {
		return nil
	}
	contents, err := l.source.View.ReadFiles(ctx, paths, maxContents)
	if err != nil {
		return fmt.Errorf("reading files that the original opened: %w", err)
	}
	l.seen.Contents = contents
	return nil
}

// round makes one candidate and judges it. It reports whether there is something to learn from it.
func (l *learner) round(ctx context.Context, number int) (goOn bool, err error) {
	l.watch(verify.Progress{Run: fmt.Sprintf("round %d", number), What: "plans"})
	if l.source.Plan.Compat == startup.CompatConsistent {
		l.wantHidden()
	}
	made, err := plan.Make(survey.WithSeen(l.source.View, l.seen), l.source.Plan)
	if err != nil {
		return false, err
	}
	added := addedOperations(l.result.Plan, made)
	if number > 1 && len(added) == 0 && !writesMore(l.result.Plan, made) {
		return false, nil
	}
	candidate, err := rewrite.Image(ctx, l.source.View, made, l.source.Ref)
	if err != nil {
		return false, err
	}
	l.result.Candidate, l.result.Plan = candidate, made
	outcomes, err := l.prove(ctx, number)
	if err != nil {
		return false, err
	}
	l.last = outcomes
	r := Round{Number: number, Operations: len(made.Operations), Added: added, Verdict: l.result.Proof.Verdict, Compat: string(l.source.Plan.Compat)}
	r.Scenario, r.Cause = cause(l.result.Proof)
	for _, o := range outcomes {
		r.Took += o.Took.Milliseconds()
	}
	switch {
	case l.baseline == nil:
	case r.Verdict == verify.Proven:
		r.Learnt = l.lost(number, outcomes)
	default:
		r.Learnt = l.learn(number, outcomes)
		if len(r.Learnt) == 0 && someHold(l.result.Proof) {
			if err := l.proveAgain(ctx, number, &r); err != nil {
				return false, err
			}
		}
	}
	l.keep(r)
	return len(r.Learnt) > 0, nil
}

// someHold reports whether some runs of a candidate are proven and others are not.
func someHold(p verify.Proof) bool {
	return slices.ContainsFunc(p.Results, func(r verify.Result) bool { return r.Word == verify.Proven })
}

// proveAgain runs a candidate once more of which some runs hold and others teach nothing: on a busy machine one
// run in many comes late. Both times are told; the second one counts.
func (l *learner) proveAgain(ctx context.Context, number int, r *Round) error {
	r.Again = true
	outcomes, err := l.prove(ctx, number)
	if err != nil {
		return err
	}
	l.last = outcomes
	for _, o := range outcomes {
		r.Took += o.Took.Milliseconds()
	}
	r.Verdict = l.result.Proof.Verdict
	if r.Verdict == verify.Proven {
		r.Scenario, r.Cause = "", ""
		r.Learnt = l.lost(number, outcomes)
	}
	return nil
}

// keep adds a round. A candidate that was proven is not given up for one that is not.
func (l *learner) keep(r Round) {
	rounds := append(l.result.Rounds, r)
	switch {
	case r.Verdict == verify.Proven:
		proven := l.result
		l.proven = &proven
	case l.proven != nil:
		l.result = *l.proven
	}
	l.result.Rounds = rounds
}

// addedOperations is the operations of a plan that the one before did not have, with their evidence.
func addedOperations(before, after plan.Plan) []string {
	had := map[string]bool{}
	for _, op := range before.Operations {
		had[op.Effect.String()] = true
	}
	var added []string
	for _, op := range after.Operations {
		if text := op.Effect.String(); !had[text] {
			if why := evidence(op); why != "" {
				text += " (" + why + ")"
			}
			added = append(added, text)
		}
	}
	return added
}

// evidence is what a run has shown for an operation, else the first thing that it rests on.
func evidence(op plan.Operation) string {
	for _, why := range op.Why {
		if why.Source == "run" {
			return why.String()
		}
	}
	if len(op.Why) > 0 {
		return op.Why[0].String()
	}
	return ""
}

// writesMore reports whether the record of the candidate changes: what runs must be given to write.
func writesMore(before, after plan.Plan) bool {
	return !slices.Equal(before.Ephemeral, after.Ephemeral) || !slices.Equal(before.Persistent, after.Persistent)
}

// prove runs the candidate in the scenarios that decide.
func (l *learner) prove(ctx context.Context, number int) ([]verify.Outcome, error) {
	c, err := l.caseOf(number)
	if err != nil {
		return nil, err
	}
	if c.Scenarios, err = verify.Scenarios(c.Candidate, c.Expect, c.Options); err != nil {
		return nil, err
	}
	c.Scenarios = slices.DeleteFunc(c.Scenarios, func(s verify.Scenario) bool { return s.Advisory })
	c.Hasty = len(l.source.Plan.CompatWhy) > 0 // a step that does not help is left soon
	keep := &keeper{Runner: l.runner}
	l.result.Proof, err = verify.Prove(ctx, c, keep, l.inRound(number))
	return keep.outcomes, err
}

// advise runs the candidate that was proven in the scenarios that only tell.
func (l *learner) advise(ctx context.Context) error {
	if l.result.Proof.Verdict != verify.Proven {
		return nil
	}
	last := l.result.Rounds[len(l.result.Rounds)-1].Number
	c, err := l.caseOf(last)
	if err != nil {
		return err
	}
	all, err := verify.Scenarios(c.Candidate, c.Expect, c.Options)
	if err != nil {
		return err
	}
	c.Scenarios = slices.DeleteFunc(all, func(s verify.Scenario) bool { return !s.Advisory })
	if len(c.Scenarios) == 0 {
		return nil
	}
	more, err := verify.Prove(ctx, c, l.runner, l.inRound(last))
	l.result.Proof = l.result.Proof.With(more)
	return err
}

// caseOf is what is to be proven of the present candidate. Its volumes are those of its round: what
// another candidate has left in them would be a scenario of its own.
func (l *learner) caseOf(number int) (verify.Case, error) {
	c := l.source.Case
	c.Candidate, c.Ran = verify.FactsOf(l.result.Candidate.View), l.baseline
	recorded, ok, err := record.Read(c.Candidate.Config.Labels())
	if err != nil {
		return c, err
	}
	if ok {
		c.Expect = verify.ExpectFromRecord(recorded)
	}
	l.expect = c.Expect
	l.cases++
	c.Options.Prefix += fmt.Sprintf("round-%d-%d-", number, l.cases) // no two runs of a candidate share volumes
	if l.source.Plan.KeepPort && c.Options.PortStart == 0 {
		c.Options.PortStart = -1 // who keeps low ports has said that the platform opens them
	}
	if c.Options.Timeout == 0 {
		c.Options.Timeout = patience(l.baseline)
	}
	return c, nil
}

// patience is how long a candidate is waited for: long beside the original, so that a slow machine
// is not taken for a candidate that hangs.
func patience(baseline *verify.Outcome) time.Duration {
	if baseline == nil || baseline.End == verify.EndTimeout {
		return verify.DefaultTimeout
	}
	return min(verify.DefaultTimeout, 10*time.Second+5*max(baseline.Steady, baseline.Took))
}

func (l *learner) inRound(number int) func(verify.Progress) {
	return func(p verify.Progress) {
		p.Run = fmt.Sprintf("round %d, %s", number, p.Run)
		l.watch(p)
	}
}

// keeper keeps the outcomes of a runner.
type keeper struct {
	verify.Runner
	outcomes []verify.Outcome
}

// Run runs and keeps.
func (k *keeper) Run(ctx context.Context, r verify.Run, watch func(verify.Progress)) (verify.Outcome, error) {
	o, err := k.Runner.Run(ctx, r, watch)
	if err == nil {
		k.outcomes = append(k.outcomes, verify.Apart(o))
	}
	return o, err
}

// cause is the first thing that speaks against the candidate.
func cause(p verify.Proof) (scenario, text string) {
	for _, r := range p.Reasons {
		return "", r.Text
	}
	for _, result := range p.Results {
		if result.Word == verify.Proven || len(result.Reasons) == 0 {
			continue
		}
		reason := result.Reasons[0]
		if reason.Cause != "" {
			return result.Run, reason.Cause
		}
		return result.Run, reason.Text
	}
	return "", ""
}

// carryRounds puts the rounds into the proof.
func (l *learner) carryRounds() error {
	for _, r := range l.result.Rounds {
		data, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("[internal error] a round: %w", err)
		}
		l.result.Proof.Rounds = append(l.result.Proof.Rounds, data)
	}
	return nil
}
