package plan_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/imagetest"
	"unroot/internal/plan"
	"unroot/internal/rewrite"
	"unroot/internal/survey"
)

var update = flag.Bool("update", false, "write the golden sections anew")

// TestPlans compares the plan for each image of testdata with its section "plan", and for every line
// of its section "options" with the section "plan LINE".
func TestPlans(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no images", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			img, ar := imagetest.Load(t, name)
			s := survey.WithSeen(imagetest.View(t, img), seen(t, ar))
			for _, line := range optionLines(ar) {
				compare(t, ar, strings.TrimSpace("plan "+line), render(t, s, line))
			}
			if *update {
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// seen is what the section "seen", a survey.Seen in JSON, says that runs have shown.
func seen(t *testing.T, ar *txtar.Archive) (s survey.Seen) {
	t.Helper()
	if text, ok := imagetest.Section(ar, "seen"); ok {
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// optionLines is the options to plan with: none, and those that the archive asks for.
func optionLines(ar *txtar.Archive) []string {
	text, _ := imagetest.Section(ar, "options")
	return append([]string{""}, slices.Collect(func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			if !yield(strings.TrimSpace(line)) {
				return
			}
		}
	})...)
}

func compare(t *testing.T, ar *txtar.Archive, section, got string) {
	t.Helper()
	if *update {
		imagetest.SetSection(ar, section, got)
		return
	}
	want, ok := imagetest.Section(ar, section)
	if !ok {
		t.Errorf("no section %q: -update makes it", section)
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", section, diff)
	}
}

// render is all that a plan says, for a golden section.
func render(t *testing.T, s *survey.Survey, options string) string {
	t.Helper()
	opts, err := imagetest.Options(options)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(s, opts)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, home %s: %s\n", p.Identity, p.Identity.Home, p.Why)
	for _, o := range p.Operations {
		fmt.Fprintf(&b, "%-10s %s [%s]\n", o.Effect.Kind(), o.Effect, o.Mends)
		for _, w := range o.Why {
			fmt.Fprintf(&b, "           because %s\n", w)
		}
	}
	for _, m := range p.Ports {
		fmt.Fprintf(&b, "port %d → %d/%s\n", m.From, m.To, m.Proto)
	}
	fmt.Fprintf(&b, "ephemeral %q, persistent %q\n", p.Ephemeral, p.Persistent)
	for _, x := range p.Tasks {
		fmt.Fprintf(&b, "task %s %s %s: %s (%s) %s\n", x.Disposition, x.Kind, x.Where, x.Text, x.How, x.Field)
	}
	for _, o := range p.Open {
		fmt.Fprintf(&b, "open %s %s %s: %s → %s\n", o.ID, o.Path, o.Scope, o.What, o.Decides)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "note %s\n", n)
	}
	diffs, err := rewrite.Diffs(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range diffs {
		fmt.Fprintf(&b, "%s", diff.Diff("before"+d.Path, d.Before, "after"+d.Path, d.After))
	}
	return strings.ReplaceAll(b.String(), "\n-- ", "\n --  ") // no line may look like a section
}
