package verify

import (
	"fmt"
	"time"
)

// Judge compares a candidate's run with its baseline's and says whether the one does what the other
// does, without root. It reads nothing but what it is given. A nil baseline is none: the verdict is at
// best unproven.
func Judge(baseline *Outcome, candidate Outcome, e Expect) Verdict {
	v := Verdict{Word: Proven}
	judgePrivileges(&v, candidate)
	judgeTrace(&v, candidate)
	if baseline == nil {
		v.add(Reason{ID: NoBaseline, Word: Unproven, Text: "there is no baseline to compare with"})
		judgeAlone(&v, candidate, e)
	} else if judgeBaseline(&v, *baseline) {
		c := comparison{baseline: Apart(*baseline), candidate: Apart(candidate), expect: e, verdict: &v}
		c.compare()
	}
	sortReasons(&v)
	return v
}

// judgeBaseline reports whether the baseline is a measure at all: it worked itself.
func judgeBaseline(v *Verdict, b Outcome) bool {
	text := ""
	switch {
	case b.End == EndFailed:
		text = "the baseline could not be started: " + b.Error
	case b.End == EndTimeout:
		text = fmt.Sprintf("the baseline reached no steady state in %s", seconds(b.Run.Timeout))
	case b.End == EndLimit:
		text = "the baseline was ended at the limit of " + b.Limit
	case b.End != EndSteady && b.End != EndExited:
		text = fmt.Sprintf("[internal error] the baseline's end is %q", b.End)
	}
	for _, a := range b.Answers {
		if !a.OK && text == "" && a.Probe.Kind != "generic" {
			text = fmt.Sprintf("the baseline itself does not answer %s: %s", probeName(a.Probe), why(a))
		}
	}
	if h := b.Health; h != nil && !h.OK && text == "" {
		text = "the baseline's own HEALTHCHECK fails: " + why(*h)
	}
	if text != "" {
		v.add(Reason{ID: BaselineFails, Word: Unproven, Text: text})
	}
	return text == ""
}

// judgeAlone looks at what needs no baseline to be wrong.
func judgeAlone(v *Verdict, o Outcome, e Expect) {
	c := comparison{candidate: Apart(o), expect: e, verdict: v}
	before := len(v.Reasons)
	if o.End == EndFailed {
		c.refute(NotStarted, "it could not be started: "+o.Error)
	}
	if o.Health != nil && !o.Health.OK {
		c.health()
	}
	for _, a := range o.Answers {
		if !a.OK && a.Probe.Kind != "generic" {
			c.refute(ProbeFails, fmt.Sprintf("%s fails: %s", probeName(a.Probe), why(a)), Evidence{Answer: &a})
		}
	}
	c.explain(before)
}

// why is what an answer says of itself.
func why(a Answer) string {
	if a.Error != "" {
		return a.Error
	}
	return a.Shape
}

func seconds(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
