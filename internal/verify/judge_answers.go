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
		if at < 0 {
			c.refute(ProbeFails, fmt.Sprintf("%s was not answered; the baseline says %s", c.asked(b.Probe), b.Shape), Evidence{Answer: &b})
			continue
		}
		used[at] = true
		c.sameAnswer(b, after[at])
	}
	for i, o := range after {
		if !used[i] && !o.OK {
			c.refute(ProbeFails, fmt.Sprintf("%s fails: %s", probeName(o.Probe), why(o)), Evidence{Answer: &o})
		}
	}
}

// answerTo finds the candidate's answer to a probe of the baseline: to the same question, at the port
// that it moved to; else the one at the same place in the list.
func (c *comparison) answerTo(b Answer, place int, after []Answer, used []bool) int {
	for i, o := range after {
		if !used[i] && c.asked(b.Probe) == probeName(o.Probe) {
			return i
		}
	}
	if len(after) == len(c.baseline.Answers) && !used[place] && after[place].Probe.Kind == b.Probe.Kind && b.Probe.Kind != "generic" {
		return place
	}
	return -1
}

// asked is the name of a baseline's probe as the candidate is asked.
func (c *comparison) asked(p Probe) string { return probeName(movePorts(p, c.expect.to)) }

// probeName is a probe for a person, such as "http http://127.0.0.1:8080/".
func probeName(p Probe) string {
	return strings.TrimSpace(p.Kind + " " + strings.TrimSpace(p.Address+" "+strings.Join(p.Args, " ")))
}

func (c *comparison) sameAnswer(b, o Answer) {
	if !o.OK && b.OK {
		c.refute(ProbeFails, fmt.Sprintf("%s fails: %s; the baseline says %s", probeName(o.Probe), why(o), b.Shape), Evidence{Answer: &o})
		return
	}
	if b.Shape != o.Shape {
		if c.withoutPorts(b.Shape) != c.withoutPorts(o.Shape) {
			c.refute(AnswerDiffers, fmt.Sprintf("%s says %s, the baseline %s", probeName(o.Probe), o.Shape, b.Shape), Evidence{Answer: &o})
			return
		}
		c.note("answer of "+probeName(o.Probe), b.Shape, o.Shape, true)
	}
	if word := failureIn(o.Sample, b.Sample); word != "" {
		c.refute(AnswerDiffers, fmt.Sprintf("%s is answered with %q, which the baseline does not say", probeName(o.Probe), word), Evidence{Answer: &o})
	}
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
