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

// command is the text of a script that starts a step: its line, with the lines that continue it.
type command struct {
	script  string // path
	content []byte // of the script
	start   int    // of the text in it
	text    string
}

// commandOf finds the text that starts a step. ok is false for what the image config starts itself.
func (s *Survey) commandOf(step entrypoint.Step) (command, bool) {
	if !strings.HasPrefix(step.Script, "/") || step.Line < 1 {
		return command{}, false
	}
	content, err := s.View.Content(step.Script)
	if err != nil {
		return command{}, false
	}
	start, n := 0, 1
	for line := range strings.Lines(string(content)) {
		if n == step.Line {
			break
		}
		start, n = start+len(line), n+1
	}
	end := start
	for line := range strings.Lines(string(content[start:])) {
		end += len(line)
		if !strings.HasSuffix(strings.TrimRight(line, "\r\n"), "\\") {
			break
		}
	}
	text := strings.TrimRight(string(content[start:end]), "\r\n")
	return command{step.Script, content, start, text}, n == step.Line && text != ""
}
