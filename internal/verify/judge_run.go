package verify

import (
	"fmt"
	"strings"
	"time"
)

// comparison is the work of Judge on two runs of which the first is a measure.
type comparison struct {
	baseline, candidate Outcome
	expect              Expect
	verdict             *Verdict
}

func (c *comparison) refute(id ReasonID, text string, evidence ...Evidence) {
	c.verdict.add(Reason{ID: id, Word: Refuted, Text: text, Evidence: evidence})
}

func (c *comparison) note(what, before, after string, expected bool) {
	c.verdict.Differences = append(c.verdict.Differences, Difference{What: what, Before: before, After: after, Expected: expected})
}

// compare goes from the coarse to the fine: how the runs ended, then what the steady states are.
func (c *comparison) compare() {
	before := len(c.verdict.Reasons)
	b, o := c.baseline, c.candidate
	switch {
	case o.End == EndFailed:
		c.refute(NotStarted, "it could not be started: "+o.Error)
	case o.End == EndLimit:
		c.refute(LimitHit, fmt.Sprintf("it was ended at the limit of %s, which the baseline keeps", o.Limit))
	case o.End == EndExited && b.End == EndSteady:
		c.refute(EndedEarly, fmt.Sprintf("it ended with status %d where the baseline goes on", o.Status))
	case o.End == EndSteady && b.End == EndExited:
		c.refute(StaysAlive, fmt.Sprintf("it goes on where the baseline ends with status %d", b.Status))
	case o.End == EndTimeout:
		c.refute(NotSteady, fmt.Sprintf("it reached no steady state in %s; the baseline took %s", seconds(o.Run.Timeout), seconds(measure(b))))
		if b.End == EndSteady {
			c.sockets()
		}
	case o.End == EndExited:
		c.ended()
	case o.End == EndSteady:
		c.sockets()
		c.programs()
		c.health()
		c.answers()
		c.late()
	default:
		c.verdict.add(Reason{ID: NotSteady, Word: Unproven, Text: fmt.Sprintf("[internal error] the end is %q", o.End)})
	}
	if len(c.verdict.Reasons) > before {
		if !c.verdict.has(BaselineFails) {
			c.explain(before)
		}
		return
	}
	c.benign()
}

// measure is how long a run took to its steady state, or to its end.
func measure(o Outcome) time.Duration {
	if o.End == EndExited {
		return o.Took
	}
	return o.Steady
}

// ended compares two commands that ended by themselves.
func (c *comparison) ended() {
	b, o := c.baseline, c.candidate
	if b.Status != o.Status {
		c.refute(ExitStatus, fmt.Sprintf("it ended with status %d, the baseline with %d", o.Status, b.Status))
		return
	}
	if b.Status != 0 {
		c.failedAlike()
		return
	}
	before, after := strings.TrimSpace(b.Stdout), strings.TrimSpace(o.Stdout)
	switch {
	case before != "" && after == "":
		c.refute(OutputDiffers, "it printed nothing where the baseline did", Evidence{Text: lastLine(b.Stdout)})
	case before != after:
		c.note("standard output", lastLine(b.Stdout), lastLine(o.Stdout), false)
	}
}

// failedAlike is two commands that ended with the same failure: the one does what the other does, and
// neither what it is for. Most of them miss a password, a database or an argument.
func (c *comparison) failedAlike() {
	r := Reason{ID: BaselineFails, Word: Unproven, Text: fmt.Sprintf("the baseline itself ends with status %d, and so does the candidate", c.baseline.Status)}
	for _, text := range []string{c.baseline.Stderr, c.baseline.Stdout} {
		if line := lastLine(text); line != "" {
			r.Text += "; the baseline said: " + quoted(line)
			break
		}
	}
	c.verdict.add(r)
}

// maxLine bounds a line that is quoted.
const maxLine = 240

// lastLine is the last line that says something, of at most maxLine bytes.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine], "") + "…"
	}
	return line
}
