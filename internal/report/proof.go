package report

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"unroot/internal/verify"
)

// ProofText writes a proof for a person: a line for every run, below it why it does not hold; then the
// denials that did no harm, what is not the same, what was not run, and the verdict.
func ProofText(w io.Writer, p verify.Proof) error {
	var b strings.Builder
	writeSubjects(&b, p)
	writeOriginal(&b, p)
	writeRuns(&b, p)
	writeReasons(&b, "", besides(p.Reasons))
	writeBenign(&b, p.Results)
	writeNotTheSame(&b, p.Results)
	for _, t := range p.Platforms {
		if t.Why != "" {
			fmt.Fprintf(&b, "\nnot run: %s: %s\n", t.Platform, safe(t.Why))
		}
	}
	if text := p.Expect.Emulation(); text != "" {
		fmt.Fprintf(&b, "\nnote: %s; unroot explain compat says what follows\n", safe(text))
	}
	fmt.Fprintf(&b, "\n%s\n", ProofLine(p))
	_, err := io.WriteString(w, b.String())
	return err
}

// besides is the reasons that the last line does not say whole.
func besides(reasons []verify.Reason) []verify.Reason {
	if len(reasons) > 0 && reasons[0].Cause == "" && len(reasons[0].Evidence) == 0 {
		return reasons[1:]
	}
	return reasons
}

func writeSubjects(b *strings.Builder, p verify.Proof) {
	fmt.Fprintf(b, "%s (%s)\n  %s\n", subjectName(p.Candidate), p.Candidate.Platform, p.Candidate.Digest)
	if p.Baseline != nil {
		fmt.Fprintf(b, "beside %s\n  %s\n", subjectName(*p.Baseline), p.Baseline.Digest)
	}
}

func subjectName(s verify.Subject) string {
	if s.Ref == "" {
		return "the image"
	}
	return safe(s.Ref)
}

// writeOriginal says what the baseline came to: what all runs below are measured by.
func writeOriginal(b *strings.Builder, p verify.Proof) {
	if p.Original == nil {
		return
	}
	fmt.Fprintf(b, "\nthe original, as %s: %s\n", safe(p.Original.Identity.String()), came(*p.Original))
	for _, program := range verify.Programs(p.Original.Processes) {
		fmt.Fprintf(b, "  runs %s\n", safe(program))
	}
}

// came is what a run came to, in one line.
func came(o verify.Observed) string {
	parts := []string{}
	switch o.End {
	case verify.EndExited:
		parts = append(parts, fmt.Sprintf("ends with status %d", o.Status))
	case verify.EndTimeout:
		parts = append(parts, "no steady state")
	case verify.EndLimit:
		parts = append(parts, "ended at a limit")
	case verify.EndFailed:
		parts = append(parts, "not started")
	}
	if s := sockets(o.Sockets); s != "" {
		parts = append(parts, "listens on "+s)
	}
	if a := answers(o); a != "" {
		parts = append(parts, "answers "+a)
	}
	if len(parts) == 0 {
		parts = append(parts, "runs and listens nowhere")
	}
	return strings.Join(parts, "; ")
}

// maxShown bounds the sockets and answers of one line.
const maxShown = 4

func shown(words []string) string {
	if n := len(words); n > maxShown {
		words = append(slices.Clone(words[:maxShown]), fmt.Sprintf("%d more", n-maxShown))
	}
	return strings.Join(words, ", ")
}

// sockets names a port once where all addresses of both families are listened on.
func sockets(list []verify.Socket) string {
	var words []string
	for _, s := range list {
		word := verify.SocketText(s)
		if s.Proto != "unix" && (s.Address == "0.0.0.0" || s.Address == "::") {
			word = fmt.Sprintf("%s %d", s.Proto, s.Port)
		}
		if !slices.Contains(words, word) {
			words = append(words, safe(word))
		}
	}
	return shown(words)
}

func answers(o verify.Observed) string {
	var words []string
	for _, a := range o.Answers {
		if !slices.Contains(words, safe(a.Shape)) {
			words = append(words, safe(a.Shape))
		}
	}
	if o.Health != nil && o.Health.OK {
		words = append(words, "healthy")
	}
	return shown(words)
}

func writeRuns(b *strings.Builder, p verify.Proof) {
	name, who, before := 0, 0, ""
	for _, r := range p.Results {
		name, who = max(name, len(runName(r))), max(who, len(safe(r.Identity.String())))
	}
	for i, r := range p.Results {
		if i == 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(b, "%-8s  %-*s  %-*s  %s\n", r.Word, name, runName(r), who, safe(r.Identity.String()), came(r.Observed))
		var reasons strings.Builder
		writeReasons(&reasons, "          ", r.Reasons)
		if text := reasons.String(); text != "" && text == before {
			b.WriteString("          the same\n")
		} else {
			b.WriteString(text)
			before = text
		}
	}
}

// runName is a run with the other scenarios that it serves.
func runName(r verify.Result) string {
	name := safe(r.Run)
	for _, c := range r.Covers {
		if c != r.Scenario && !strings.HasPrefix(r.Run, c) {
			name += " + " + safe(c)
		}
	}
	if r.Advisory {
		name += " (told)"
	}
	return name
}

// writeReasons writes a cause once, also where several reasons have it.
func writeReasons(b *strings.Builder, indent string, reasons []verify.Reason) {
	if indent == "" && len(reasons) > 0 {
		b.WriteByte('\n')
	}
	said := map[string]bool{}
	for _, r := range reasons {
		if !said[r.Text] {
			fmt.Fprintf(b, "%s%s\n", indent, safe(r.Text))
		}
		if r.Cause != "" && !said[r.Cause] {
			fmt.Fprintf(b, "%s  because %s\n", indent, safe(r.Cause))
		}
		for _, e := range r.Evidence {
			if e.Text != "" && !said[e.Text] && !strings.Contains(r.Cause, e.Text) {
				fmt.Fprintf(b, "%s  %s\n", indent, evidenceText(e.Text))
			}
			said[e.Text] = true
		}
		said[r.Text], said[r.Cause] = true, true
	}
}

func evidenceText(text string) string {
	if strings.HasPrefix(text, "left open: ") {
		return safe(text)
	}
	return "it said: " + safe(text)
}

// denied is denials of one text in several runs.
type denied struct {
	text  string
	why   string
	count int
	runs  []string
}

// maxBenign bounds the denials that are written one by one.
const maxBenign = 12

func writeBenign(b *strings.Builder, results []verify.Result) {
	var all []*denied
	for _, r := range results {
		for _, d := range r.Benign {
			at := slices.IndexFunc(all, func(have *denied) bool { return have.text == d.Text })
			if at < 0 {
				all = append(all, &denied{text: d.Text, why: d.Why})
				at = len(all) - 1
			}
			all[at].count += d.Count
			if !slices.Contains(all[at].runs, r.Run) {
				all[at].runs = append(all[at].runs, r.Run)
			}
		}
	}
	if len(all) == 0 {
		return
	}
	b.WriteString("\nrefused, and harmless\n")
	for _, d := range all[:min(len(all), maxBenign)] {
		fmt.Fprintf(b, "  %s\n    %s, %s: %s\n", safe(d.text), times(d.count), inRuns(len(d.runs)), d.why)
	}
	if more := len(all) - maxBenign; more > 0 {
		fmt.Fprintf(b, "  and %d more\n", more)
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func inRuns(n int) string {
	if n == 1 {
		return "in one run"
	}
	return fmt.Sprintf("in %d runs", n)
}

func writeNotTheSame(b *strings.Builder, results []verify.Result) {
	var all []verify.Difference
	for _, r := range results {
		for _, d := range r.Differences {
			if !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	if len(all) > 0 {
		b.WriteString("\nnot the same, and not counted\n")
		writeDifferences(b, all, "the original: ")
	}
}

func writeDifferences(b *strings.Builder, all []verify.Difference, before string) {
	for _, d := range all {
		switch {
		case d.Before == "":
			fmt.Fprintf(b, "  %s: %s\n", safe(d.What), safe(d.After))
		default:
			fmt.Fprintf(b, "  %s: %s; %s%s\n", safe(d.What), orNothing(d.After), before, orNothing(d.Before))
		}
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return safe(s)
}

// ProofLine is the verdict in one line.
func ProofLine(p verify.Proof) string {
	line := string(p.Verdict)
	switch {
	case p.Verdict == verify.Proven && len(p.Except) > 0:
		line += ", but not for " + strings.Join(p.Except, ", ")
	case p.Verdict == verify.Proven:
		line += ": in " + countRuns(p) + " it does what the original does, and nothing was root"
	case len(p.Reasons) > 0:
		line += ": " + safe(p.Reasons[0].Text)
	default:
		line += ": " + failedRuns(p)
	}
	if p.Expect.Compat != "" {
		line += "; " + safe(p.Expect.Emulation())
	}
	return line + took(p)
}

func countRuns(p verify.Proof) string {
	if len(p.Results) == 1 {
		return "one run"
	}
	return fmt.Sprintf("%d runs", len(p.Results))
}

// failedRuns names the runs that have the whole's verdict, and why the first of them has.
func failedRuns(p verify.Proof) string {
	var names []string
	why := ""
	for _, r := range p.Results {
		if r.Word != p.Verdict {
			continue
		}
		if len(names) == 0 && len(r.Reasons) > 0 {
			why = ": " + safe(r.Reasons[0].Text)
			if cause := r.Reasons[0].Cause; cause != "" {
				why = ": " + safe(cause)
			}
		}
		names = append(names, safe(r.Run))
	}
	return shown(names) + why
}

func took(p verify.Proof) string {
	if p.Took == 0 {
		return ""
	}
	d := time.Duration(p.Took) * time.Millisecond
	return fmt.Sprintf(" (%s of runs, %s)", d.Round(100*time.Millisecond), safe(p.Runner))
}

// AgainstText writes what is not the same in two proofs, the older one named by its file.
func AgainstText(w io.Writer, file string, differences []verify.Difference) error {
	var b strings.Builder
	if len(differences) == 0 {
		fmt.Fprintf(&b, "the same as in %s\n", safe(path.Base(file)))
	} else {
		fmt.Fprintf(&b, "not the same as in %s\n", safe(path.Base(file)))
		writeDifferences(&b, differences, "before: ")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// safe gives a text that an image chose so that a terminal shows it and does not obey it.
func safe(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
