package verify

import (
	"slices"
	"strings"

	"unroot/internal/startup"
)

// Apart is an outcome without what unroot-init itself did in it, where the run began with it: its process, its
// socket, and what was refused to it while it tried what can be done. What it started is the image's own.
func Apart(o Outcome) Outcome {
	if !startsApart(o.Run.Args) {
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
	if !startsApart(o.Run.Args) || o.End != EndExited || o.Status != startup.ExitVolume {
		return ""
	}
	for line := range strings.Lines(o.Stderr) {
		if text, ok := strings.CutPrefix(line, "unroot-init: "); ok {
			return strings.TrimSpace(text)
		}
	}
	return ""
}

// Emulation is the sentence that every proof of an image with emulation carries.
func (e Expect) Emulation() string {
	if e.Compat == "" {
		return ""
	}
	return "privilege separation inside this image is emulated (" + e.Compat + ")"
}
