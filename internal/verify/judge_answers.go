package verify

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// health wants the image's own check to pass, where it passes in the baseline.
func (c *comparison) health() {
	b, o := c.baseline.Health, c.candidate.Health
	switch {
	case o == nil && (b != nil || len(c.candidate.Run.Health) > 0):
		c.verdict.add(Reason{ID: HealthFails, Word: Unproven, Text: "the image's HEALTHCHECK was not asked"})
	case o != nil && !o.OK:
		c.refute(HealthFails, "the image's HEALTHCHECK fails: "+why(*o), Evidence{Answer: o})
	}
}

// answers compares what came of the probes.
func (c *comparison) answers() {
	before, after := c.baseline.Answers, c.candidate.Answers
	if len(before) == 0 && len(after) == 0 {
		if slices.ContainsFunc(c.baseline.Sockets, func(s Socket) bool { return s.Proto == "tcp" && !random(c.baseline, s) }) {
			c.verdict.add(Reason{ID: NotAsked, Word: Unproven, Text: "nothing was asked of what listens"})
		}
		return
	}
	used := make([]bool, len(after))
	for i, b := range before {
		at := c.answerTo(b, i, after, used)
		switch {
		case at >= 0:
			used[at] = true
			c.sameAnswer(b, after[at])
		case !c.covered(b):
			c.refute(ProbeFails, fmt.Sprintf("%s was not answered; the baseline says %s", c.asked(b.Probe), b.Shape), Evidence{Answer: &b})
		}
	}
	for i, o := range after {
		if !used[i] && !o.OK && o.Probe.Kind != "generic" {
			c.refute(ProbeFails, fmt.Sprintf("%s fails: %s", probeName(o.Probe), why(o)), Evidence{Answer: &o})
		}
	}
}

// answerTo finds the candidate's answer to a probe of the baseline: to the same question, at the port
// that it moved to; of a socket that has another name in each run, that of its counterpart; else the
// one at the same place in the list.
func (c *comparison) answerTo(b Answer, place int, after []Answer, used []bool) int {
	for i, o := range after {
		if !used[i] && c.asked(b.Probe) == probeName(o.Probe) {
			return i
		}
	}
	if b.Probe.Kind == "generic" {
		return c.answerOfSocket(b, after, used)
	}
	if len(after) == len(c.baseline.Answers) && !used[place] && after[place].Probe.Kind == b.Probe.Kind {
		return place
	}
	return -1
}

func (c *comparison) answerOfSocket(b Answer, after []Answer, used []bool) int {
	from, known := socketOf(c.baseline, b)
	if !known {
		return -1
	}
	for i, o := range after {
		to, known := socketOf(c.candidate, o)
		if !used[i] && known && (c.corresponds(from, to) && (to.Proto == "unix" || c.covers(to, from)) || c.sameButForName(from, to)) {
			return i
		}
	}
	return -1
}

// covered reports whether the socket of a generic probe needs no answer of its own: sockets says what
// is to be said of one that is gone, and one that takes both families may be asked once.
func (c *comparison) covered(b Answer) bool {
	from, known := socketOf(c.baseline, b)
	if !known || b.Probe.Kind != "generic" {
		return false
	}
	if from.Proto == "udp" && random(c.baseline, from) {
		return true
	}
	return slices.ContainsFunc(c.candidate.Answers, func(o Answer) bool {
		to, known := socketOf(c.candidate, o)
		return known && from.Proto != "unix" && c.corresponds(from, to) && c.covers(to, from) && o.Shape == b.Shape
	})
}

// socketOf is the socket that a generic answer is about.
func socketOf(o Outcome, a Answer) (Socket, bool) {
	for _, s := range o.Sockets {
		if a.Probe.Kind == "generic" && SocketText(s) == a.Probe.Address {
			return s, true
		}
	}
	return Socket{}, false
}

// asked is the name of a baseline's probe as the candidate is asked.
func (c *comparison) asked(p Probe) string { return probeName(movePorts(p, c.expect.to)) }

// probeName is a probe for a person, such as "http http://127.0.0.1:8080/".
func probeName(p Probe) string {
	return strings.TrimSpace(p.Kind + " " + strings.TrimSpace(p.Address+" "+strings.Join(p.Args, " ")))
}

func (c *comparison) sameAnswer(b, o Answer) {
	if b.Probe.Kind == "generic" {
		b = c.likeliest(b, o)
	}
	if !o.OK && b.OK {
		c.refute(ProbeFails, fmt.Sprintf("%s fails: %s; the baseline says %s", probeName(o.Probe), why(o), b.Shape), Evidence{Answer: &o})
		return
	}
	if b.Shape != o.Shape && saidNothing(b) {
		c.note("answer of "+probeName(o.Probe), b.Shape, o.Shape, false)
		return
	}
	if b.Shape != o.Shape && c.withoutPorts(b.Shape) != c.withoutPorts(o.Shape) {
		c.refute(AnswerDiffers, fmt.Sprintf("%s says %s, the baseline %s", probeName(o.Probe), o.Shape, b.Shape), Evidence{Answer: &o})
		return
	}
	if port := c.leadsBack(o.Shape); port != 0 {
		c.note("where "+probeName(o.Probe)+" leads", b.Shape, fmt.Sprintf("%s: port %d moved to %d, clients need it at its old number", o.Shape, port, c.expect.to("tcp", port)), false)
	} else if b.Shape != o.Shape {
		c.note("answer of "+probeName(o.Probe), b.Shape, o.Shape, true)
	}
	if word := failureIn(o.Sample, b.Sample); word != "" {
		c.refute(AnswerDiffers, fmt.Sprintf("%s is answered with %q, which the baseline does not say", probeName(o.Probe), word), Evidence{Answer: &o})
	}
}

// saidNothing reports whether a socket between the parts of a service let a stranger come and told nothing: when it
// hangs up then is a matter of its patience, and what it tells another time, such as the errors that the questions of
// strangers made, is nothing that was promised.
func saidNothing(a Answer) bool {
	return a.Probe.Kind == "generic" && strings.HasPrefix(a.Probe.Address, "unix ") && (a.Shape == "silent" || a.Shape == "closes")
}

var portInText = regexp.MustCompile(`:(\d{1,5})\b`)

// withoutPorts is a shape in which a port that moved is the one that it moved from, and the ports that
// web addresses leave out are left out: a redirect may name its server's port.
func (c *comparison) withoutPorts(shape string) string {
	return portInText.ReplaceAllStringFunc(shape, func(text string) string {
		n, err := strconv.ParseUint(text[1:], 10, 16)
		if err != nil {
			return text
		}
		switch from := c.expect.from("tcp", uint16(n)); from {
		case 80, 443:
			return ""
		default:
			return ":" + strconv.Itoa(int(from))
		}
	})
}

// leadsBack gives the port of a shape that is one that moved, where nobody listens any more: a redirect to
// it works only where the platform publishes the new port under the old number. 0: none.
func (c *comparison) leadsBack(shape string) uint16 {
	for _, text := range portInText.FindAllString(shape, -1) {
		n, err := strconv.ParseUint(text[1:], 10, 16)
		if err == nil && c.expect.to("tcp", uint16(n)) != uint16(n) {
			return uint16(n)
		}
	}
	return 0
}

// failures is how programs and protocols say that something did not work, in lower case. The words are
// those of errno(3), of RFC 9110's statuses and of what most languages print.
var failures = []string{
	"permission denied", "operation not permitted", "read-only file system", "no such file", "access denied", "forbidden", "internal server error",
	"bad gateway", "service unavailable", "gateway timeout", "connection refused", "not permitted", "not allowed", "unable to", "could not", "cannot ",
	"can't ", "failed", "failure", "fatal", "exception", "traceback", "denied", "error", "-err", "misconf",
}

// failureIn gives the words of failure that a text has and the other has not; "" for none.
func failureIn(text, other string) string {
	text, other = strings.ToLower(text), strings.ToLower(other)
	for _, word := range failures {
		if strings.Contains(text, word) && !strings.Contains(other, word) {
			return word
		}
	}
	return ""
}

// movePorts is a probe that asks at other ports: in its address and, behind a colon, in the words of a
// command.
func movePorts(p Probe, move func(proto string, port uint16) uint16) Probe {
	proto := "tcp"
	if p.Kind == "udp" {
		proto = "udp"
	}
	shift := func(s string) string {
		return portInText.ReplaceAllStringFunc(s, func(text string) string {
			n, err := strconv.ParseUint(text[1:], 10, 16)
			if err != nil {
				return text
			}
			return ":" + strconv.Itoa(int(move(proto, uint16(n))))
		})
	}
	if p.Kind != "unix" {
		p.Address = shift(p.Address)
	}
	p.Args = slices.Clone(p.Args)
	for i, a := range p.Args {
		p.Args[i] = shift(a)
	}
	return p
}

// likeliest is the baseline's answer to compare a generic one with: where a port is listened on by several
// sockets, such as one for each family, which of them answers in which way may be chance.
func (c *comparison) likeliest(b, o Answer) Answer {
	at, known := socketOf(c.baseline, b)
	for _, other := range c.baseline.Answers {
		s, ok := socketOf(c.baseline, other)
		if known && ok && other.Shape == o.Shape && s.Proto == at.Proto && s.Port == at.Port && s.Proto != "unix" && s.Program == at.Program {
			return other
		}
	}
	return b
}
