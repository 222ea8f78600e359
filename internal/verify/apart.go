package verify

import (
	"slices"
	"strings"

	"unroot/internal/startup"
	"unroot/internal/trace"
)

// Apart is an outcome without what unroot-init itself did in it, where the run began with it: its process, its
// socket, and what was refused to it while it tried what can be done. What it started is the image's own. Where
// it started nothing, what was refused to it is what there is to tell.
func Apart(o Outcome) Outcome {
	if !startsApart(o.Run.Args) || refusal(o) != "" {
		return o
	}
	o.Trace.Aside = startup.Path
	own := func(p Process) bool { return p.Program == startup.Path }
	o.Processes = slices.DeleteFunc(slices.Clone(o.Processes), own)
	o.Seen = slices.DeleteFunc(slices.Clone(o.Seen), own)
	o.Sockets = slices.DeleteFunc(slices.Clone(o.Sockets), func(s Socket) bool { return s.Program == startup.Path })
	return o
}

// refusal is why unroot-init did not start the program; empty where it did, or where there is none.
func refusal(o Outcome) string {
	if !startsApart(o.Run.Args) || o.End != EndExited || o.Status != startup.ExitVolume || startedAnother(o) {
		return ""
	}
	for line := range strings.Lines(o.Stderr) {
		if text, ok := strings.CutPrefix(line, "unroot-init: "); ok {
			return strings.TrimSpace(text)
		}
	}
	return ""
}

// startedAnother reports whether unroot-init became or begot another program, whose exit status it then has.
func startedAnother(o Outcome) bool {
	return slices.ContainsFunc(o.Trace.Events, func(e trace.Event) bool {
		return e.Kind == trace.Exec && e.Errno == "" && e.Path != startup.Path
	})
}

// unseen is what the emulation of a run answers before a tracer's filter is asked: of several filters the answer with
// the highest precedence counts, and an errno and a supervisor stand above a tracer (seccomp(2)). "" where there is none.
func unseen(o Outcome) string {
	if !startsApart(o.Run.Args) {
		return ""
	}
	order, _, err := startup.Parse(o.Run.Args[1:])
	calls := "the set-id family, setgroups, capset and chown"
	switch {
	case err != nil || order.Compat == startup.CompatOff:
		return ""
	case order.Compat == startup.CompatIdentities:
		calls += ", chroot, and an execve that fails"
	case order.Compat == startup.CompatConsistent:
		calls += ", chroot, an execve that fails, stat, and what makes files"
	}
	return "calls that the emulation answers: " + calls
}

// Emulation is the sentence that every proof of an image with emulation carries.
func (e Expect) Emulation() string {
	if e.Compat == "" {
		return ""
	}
	return "privilege separation inside this image is emulated (" + e.Compat + ")"
}
