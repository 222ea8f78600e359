package learn

import (
	"context"
	"slices"
	"strings"

	"unroot/internal/plan"
	"unroot/internal/startup"
	"unroot/internal/survey"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// stepRounds is how many rounds one step of emulation may take.
const stepRounds = 4

// climb tries to answer calls that only root may make, where nothing else has helped and the runs say that this may:
// the lowest step first that they speak for. A step that is proven stays; where none is, the candidate
// without emulation is the result, and the rounds tell what was tried.
func (l *learner) climb(ctx context.Context) error {
	if !l.mayClimb() {
		return nil
	}
	without, seen, before := l.result, l.seen, l.source.Plan
	for _, step := range startup.Compats {
		why, speaks := l.speaksFor(step)
		if !speaks {
			continue
		}
		l.source.Plan.Compat = step
		l.source.Plan.CompatWhy = append(slices.Clone(before.CompatWhy), why)
		if err := l.stand(ctx); err != nil {
			return err
		}
		if l.result.Proof.Verdict == verify.Proven {
			l.result.Compat, l.result.CompatWhy = step, l.source.Plan.CompatWhy
			return nil
		}
	}
	rounds := l.result.Rounds
	l.result, l.seen, l.source.Plan = without, seen, before
	l.result.Rounds = rounds
	return nil
}

// stand makes candidates at one step until one is proven, or nothing is added, or a run ends where and why it ended before
// the step: then the step does not help, and the next one may.
func (l *learner) stand(ctx context.Context) error {
	where, why := cause(l.result.Proof)
	for range stepRounds {
		goOn, err := l.next(ctx)
		if err != nil {
			return err
		}
		again, reason := cause(l.result.Proof)
		if !goOn || l.result.Proof.Verdict != verify.Proven && again == where && reason == why {
			return nil
		}
		where, why = "", ""
	}
	return nil
}

// wantHidden takes what the lasting programs of the original wrote where such things belong as wanted at once: the
// step that answers for owners makes files in the programs' place, so that no trace shows what is refused there.
func (l *learner) wantHidden() {
	for _, n := range l.seen.Needs {
		known := slices.ContainsFunc(l.seen.Wanted, func(w trace.Need) bool { return w.Seq == n.Seq })
		if !known && isWrite(n) && !n.Temporary && survey.Variable(n.Path) {
			l.seen.Wanted = append(l.seen.Wanted, n)
		}
	}
}

// mayClimb reports whether emulation may be tried at all: nobody forbade it or chose a step, there is one for the
// platform, and the original works as root.
func (l *learner) mayClimb() bool {
	o := l.source.Plan
	os, rest, _ := strings.Cut(l.source.View.Config.Platform(), "/")
	arch, _, _ := strings.Cut(rest, "/")
	return startup.Runs(os, arch) && startup.Emulates(arch) && l.result.Proof.Verdict != verify.Proven && l.baseline != nil && len(l.last) > 0 &&
		o.Compat == startup.CompatOff && !o.NoCompat && o.Init != plan.InitNever &&
		!slices.ContainsFunc(l.result.Proof.Results, func(r verify.Result) bool {
			return slices.ContainsFunc(r.Reasons, func(reason verify.Reason) bool { return reason.ID == verify.BaselineFails })
		})
}

// speaksFor gives what in the last runs speaks for a step: a refusal of what only root may do, or a program that
// ended by itself although nothing was refused to it, as one does that looks at its uid; for the last step, a complaint
// about an owner. The filter of the first step answers no question.
func (l *learner) speaksFor(step startup.Compat) (survey.Evidence, bool) {
	for _, o := range l.last {
		if verify.Judge(l.baseline, o, l.expect).Word == verify.Proven {
			continue
		}
		for _, d := range l.inTheWay(o) {
			if answers(step, d.Kind) {
				return survey.DenialEvidence(survey.SeenDenial{Run: o.Run.Name, Denial: d}), true
			}
		}
		if line := says(o, owned); step == startup.CompatConsistent && line != "" {
			return survey.Evidence{Source: "run", Where: o.Run.Name, Text: "it said: " + line}, true
		}
		ended := l.endedAlone(o)
		if step != startup.CompatSimple && len(ended) > 0 {
			return survey.Evidence{Source: "run", Where: o.Run.Name, Text: ended[0].Exe + " ended by itself, and nothing was refused to it"}, true
		}
	}
	return survey.Evidence{}, false
}

// inTheWay is the refusals that a run may not have come further for: those near the end of the programs that it ended
// for, else all. None where a port below 1024 is among the former: no step answers that, and nothing is known of what
// would come behind it.
func (l *learner) inTheWay(o verify.Outcome) []trace.Denial {
	culprits := slices.DeleteFunc(trace.Unmatched(trace.Culprits(o.Trace), l.baseline.Trace), func(d trace.Denial) bool {
		return d.Kind == trace.Look || d.Kind == trace.Limit || d.Kind == trace.Connect
	})
	if len(culprits) == 0 {
		return trace.Unmatched(trace.Denials(o.Trace), l.baseline.Trace)
	}
	causes, consequences := trace.Causal(culprits, l.baseline.Trace)
	near := nearest(causes)
	if len(near) == 0 {
		near = nearest(consequences)
	}
	if slices.ContainsFunc(near, func(d trace.Denial) bool { _, _, port := trace.Port(d.Addr); return port && d.Kind == trace.Bind }) {
		return nil
	}
	return near
}

// answers reports whether a step answers refusals of a kind.
func answers(step startup.Compat, k trace.Kind) bool {
	switch k {
	case trace.Identity, trace.Owner, trace.Rights:
		return true
	case trace.Chroot:
		return step != startup.CompatSimple
	case trace.Mode:
		return step == startup.CompatConsistent
	}
	return false
}
