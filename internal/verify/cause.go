package verify

import (
	"fmt"
	"path"
	"slices"
	"strconv"

	"unroot/internal/startup"
	"unroot/internal/trace"
)

// explain says why the reasons from the given one on are so, as far as the run tells: by the refused
// call that explains it best, else by what was read last before the end, and by what was said.
func (c *comparison) explain(from int) {
	causes, consequences := trace.Causal(trace.Unmatched(trace.Culprits(c.candidate.Trace), c.baseline.Trace), c.baseline.Trace)
	culprits := slices.Concat(causes, consequences)
	denials := major(trace.Unmatched(trace.Denials(c.candidate.Trace), c.baseline.Trace))
	open := c.leftOpen()
	for i := from; i < len(c.verdict.Reasons); i++ {
		r := &c.verdict.Reasons[i]
		if r.ID == LateDenial || r.ID == NotAsked {
			continue
		}
		if d := c.blamed(*r, culprits, denials); d != nil {
			_, sentence := trace.Signature(*d)
			r.Cause = fmt.Sprintf("%s %s", programText(d.Exe), sentence)
			r.Evidence = append(r.Evidence, Evidence{Events: []uint64{d.Seq}})
		} else {
			r.Cause = c.unexplained()
		}
		if said := c.said(); said != "" {
			r.Evidence = append(r.Evidence, Evidence{Text: said})
		}
		r.Evidence = append(r.Evidence, open...)
	}
}

// blamed gives the denial that explains a reason best; nil where none does. What ended a process
// explains everything behind it; else it is the nearest to what is missing.
func (c *comparison) blamed(r Reason, culprits, denials []trace.Denial) *trace.Denial {
	rank := func(d trace.Denial) int { return 1 }
	switch r.ID {
	case EndedEarly, ExitStatus:
		denials = nil // what ended it is a culprit, or nothing was refused
	case SocketMissing, SocketAddress, SocketExtra, NotSteady:
		rank = func(d trace.Denial) int { return c.towardsSocket(r, d) }
	case ProgramMissing:
		rank = func(d trace.Denial) int { return towardsProgram(r, d) }
	case ProbeFails, AnswerDiffers, HealthFails:
		rank = c.towardsAnswer
	}
	var best *trace.Denial
	for _, d := range slices.Concat(culprits, inReverse(denials)) {
		if best == nil || rank(d) > rank(*best) {
			best = &d
		}
	}
	return best
}

func inReverse(denials []trace.Denial) []trace.Denial {
	denials = slices.Clone(denials)
	slices.Reverse(denials)
	return denials
}

// towardsSocket is 3 for the refusal to bind the very socket, 2 for one of the program that holds it
// in the baseline, 1 for others.
func (c *comparison) towardsSocket(r Reason, d trace.Denial) int {
	for _, e := range r.Evidence {
		if e.Socket == nil {
			continue
		}
		_, port, ok := trace.Port(d.Addr)
		same := ok && (port == e.Socket.Port || port == c.expect.to(e.Socket.Proto, e.Socket.Port))
		if d.Kind == trace.Bind && (same || d.Addr == "unix "+e.Socket.Address) {
			return 3
		}
		if e.Socket.Program != "" && d.Exe == e.Socket.Program {
			return 2
		}
	}
	return 1
}

// towardsProgram is 3 for the refusal to execute the very program, 2 for one of the program itself.
func towardsProgram(r Reason, d trace.Denial) int {
	for _, e := range r.Evidence {
		switch {
		case e.Process == nil:
		case d.Kind == trace.Exec && (d.Path == e.Process.Program || path.Base(d.Path) == path.Base(e.Process.Program)):
			return 3
		case d.Exe == e.Process.Program:
			return 2
		}
	}
	return 1
}

// towardsAnswer is 2 for what was refused while the run was asked.
func (c *comparison) towardsAnswer(d trace.Denial) int {
	if c.candidate.Trace.Steady != 0 && d.Seq > c.candidate.Trace.Steady {
		return 2
	}
	return 1
}

// major leaves out what programs go on without, unless nothing else was refused: looking at a file,
// raising a limit, calling a log daemon.
func major(denials []trace.Denial) []trace.Denial {
	var strong []trace.Denial
	for _, d := range denials {
		if d.Kind != trace.Look && d.Kind != trace.Limit && d.Kind != trace.Connect {
			strong = append(strong, d)
		}
	}
	if len(strong) == 0 {
		return denials
	}
	return strong
}

// unexplained is the cause of a failure that makes no refused call: a test of the uid, of the account
// or of a file's owner. It is named by what the process did last that could be one.
func (c *comparison) unexplained() string {
	if c.candidate.End == EndFailed {
		return ""
	}
	if text := refusal(c.candidate); text != "" {
		return startup.Path + " did not start it: " + quoted(text)
	}
	ended := trace.Failed(c.candidate.Trace)
	if len(ended) == 0 && c.candidate.End != EndExited {
		return ""
	}
	last := trace.LastRead(c.candidate.Trace, 0)
	who := "it"
	for _, life := range ended {
		if life.Exe != startup.Path {
			who = programText(life.Exe)
			break
		}
	}
	text := who + " ended by itself, and nothing was refused to it"
	if name := c.telling(last); name != "" {
		text += "; the last that it looked at is " + quoted(name)
	}
	if said := c.said(); said != "" {
		text += fmt.Sprintf("; it said: %s", said)
	}
	return text
}

// telling is the last of the names that a check can be about: not what every program reads for
// messages and clocks when it ends.
func (c *comparison) telling(names []string) string {
	if names = trace.Telling(names); len(names) > 0 {
		return names[0]
	}
	return ""
}

// said is the last line of standard error, else of standard output, as something to show.
func (c *comparison) said() string {
	for _, text := range []string{c.candidate.Stderr, c.candidate.Stdout} {
		if line := lastLine(text); line != "" {
			return quoted(line)
		}
	}
	return ""
}

// leftOpen is what the candidate's maker said would not work, where the run is concerned.
func (c *comparison) leftOpen() []Evidence {
	var out []Evidence
	for _, o := range c.expect.Open {
		if len(out) < maxEvidence && (o.Scope == "" || c.candidate.Run.Identity.IsArbitrary()) {
			out = append(out, Evidence{Text: "left open: " + o.What})
		}
	}
	return out
}

func programText(exe string) string {
	if exe == "" {
		return "a process"
	}
	return quoted(exe)
}

// quoted gives a text of the image so that a terminal shows it and does not obey it.
func quoted(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
