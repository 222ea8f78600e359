package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"unroot/internal/explain"
)

// TestExplainPage compares docs/explain.md with what the program prints. -update writes it.
func TestExplainPage(t *testing.T) {
	t.Parallel()
	const name = "../../docs/explain.md"
	have, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	sameFile(t, name, string(have), explainPage())
}

func explainPage() string {
	var b strings.Builder
	b.WriteString("# What happens, and what unroot does\n\n<!-- Made from internal/explain by `go test ./cmd/unroot -update`: change it there. -->\n\n" +
		"This is what `unroot explain` prints: a page for each topic, and a word about every id that a plan prints. The ids of\n" +
		"findings are on [the page of checks](checks.md); `unroot explain` knows them too.\n")
	for _, k := range kinds {
		if k.kind == explain.Check {
			continue
		}
		for _, p := range explain.Pages() {
			if p.Kind == k.kind {
				fmt.Fprintf(&b, "\n## %s\n\n```text\n%s```\n", p.ID, pageText(p))
			}
		}
	}
	return b.String()
}

// TestExplainNoCommand: nobody has to guess whether a word is a command or a topic.
func TestExplainNoCommand(t *testing.T) {
	t.Parallel()
	for _, cmd := range newRoot(&world{env: func(string) string { return "" }}).Commands() {
		if p, ok := explain.Find(cmd.Name()); ok {
			t.Errorf("%q is a command and a %s", cmd.Name(), p.Kind)
		}
	}
}
