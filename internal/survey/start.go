package survey

import (
	"strings"

	"unroot/internal/entrypoint"
)

// where is the place that starts a step: a line of a script, or the image config.
func where(step entrypoint.Step) string {
	if step.Script == "" {
		return "config.Entrypoint"
	}
	return place(step.Script, step.Line)
}

// argv is the command line of a step as far as it is known.
func argv(step entrypoint.Step) string {
	words := make([]string, len(step.Argv))
	for i, w := range step.Argv {
		words[i] = w.Value
		if !w.Known {
			words[i] += "…"
		}
	}
	return strings.Join(words, " ")
}

// isScript reports whether a step is a file that its interpreter must be able to read.
func isScript(step entrypoint.Step) bool {
	return step.What == entrypoint.Shell || step.What == entrypoint.Script
}
