package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"unroot/internal/explain"
	"unroot/internal/report"
)

// explanation is the document of `unroot explain ID --json`.
type explanation struct {
	Version int `json:"version"` // of the document, as in all others
	explain.Page
}

// explanations is the document of `unroot explain --json`: pages without their texts.
type explanations struct {
	Version int            `json:"version"`
	Pages   []explain.Page `json:"pages"`
}

func newExplain(w *world) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [TOPIC|ID]",
		Short: "say what happens, and what unroot does about it",
		Long: `explain says what a topic is about: what happens on Docker, Podman, Kubernetes with containerd, and
OpenShift (CRI-O), what unroot does, with the exact commands and fields, and what is not proven. Or
it says what the id of a finding or of an open item means. Without an argument it lists all of them.` + exitCodes + `  0  explained
  2  there is no such topic or id`,
		Example: `  unroot explain passwd
  unroot explain owner-strict
  unroot explain --json compat`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(cmd, "%s takes at most 1 argument, not %d", cmd.Name(), len(args))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var ids []cobra.Completion
			for _, p := range explain.Pages() {
				ids = append(ids, cobra.CompletionWithDesc(p.ID, p.Title))
			}
			return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return explainAll(w, asJSON)
			}
			return explainOne(w, args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write it as JSON")
	return cmd
}

func explainOne(w *world, id string, asJSON bool) error {
	p, ok := explain.Find(id)
	if !ok {
		return noSuchPage(id)
	}
	if asJSON {
		return report.JSON(w.out, explanation{report.Version, p})
	}
	_, err := fmt.Fprint(w.out, pageText(p))
	return err
}

func noSuchPage(id string) error {
	hint := "`unroot explain` lists all topics and ids"
	if near := explain.Near(id); len(near) > 0 {
		hint = fmt.Sprintf("did you mean `unroot explain %s`? %s", strings.Join(near, "` or `unroot explain "), hint)
	}
	return badFlag("nothing explains %q", hint, id)
}

// pageText is a page for a person.
func pageText(p explain.Page) string {
	var b strings.Builder
	switch p.Kind {
	case explain.Topic:
		fmt.Fprintf(&b, "%s\n", p.Title)
	case explain.Check:
		fmt.Fprintf(&b, "%s: %s (%s)\n", p.ID, p.Title, p.Severity)
	default:
		fmt.Fprintf(&b, "%s: %s\n", p.ID, p.Title)
	}
	fmt.Fprintf(&b, "\n%s\n", p.Text)
	if len(p.Twins) > 0 {
		fmt.Fprintf(&b, "\nIn other tools: %s\n", strings.Join(p.Twins, ", "))
	}
	return b.String()
}

// kinds is the headings of the list.
var kinds = []struct {
	kind  explain.Kind
	title string
}{
	{explain.Topic, "Topics:"},
	{explain.Check, "Findings of check; plans leave some of them open:"},
	{explain.Open, "What only plans leave open:"},
	{explain.Start, "Why something is left to the start:"},
}

func explainAll(w *world, asJSON bool) error {
	pages := explain.Pages()
	if asJSON {
		for i := range pages {
			pages[i].Text, pages[i].Twins = "", nil
		}
		return report.JSON(w.out, explanations{report.Version, pages})
	}
	var b strings.Builder
	for i, k := range kinds {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintln(&b, k.title)
		for _, p := range pages {
			if p.Kind == k.kind {
				fmt.Fprintf(&b, "  %-21s  %s\n", p.ID, p.Title)
			}
		}
	}
	_, err := fmt.Fprint(w.out, b.String())
	return err
}
