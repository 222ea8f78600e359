package check_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/check"
	"unroot/internal/finding"
	"unroot/internal/imagetest"
	"unroot/internal/survey"
)

var update = flag.Bool("update", false, "write the golden sections anew")

// TestFixtures is law 6: every check has a passing and a failing image in the folder of its id, and
// every folder has a check. The section "findings" is what the check finds there.
func TestFixtures(t *testing.T) {
	t.Parallel()
	for _, c := range check.All() {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []string{"pass", "fail"} {
				names, err := filepath.Glob(filepath.Join("testdata", c.ID, kind+"*.txtar"))
				if err != nil || len(names) == 0 {
					t.Errorf("no image that has to %s", kind)
				}
				for _, name := range names {
					t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { fixture(t, c.ID, kind, name) })
				}
			}
		})
	}
	folders, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if _, ok := check.Find(f.Name()); !ok {
			t.Errorf("testdata/%s belongs to no check", f.Name())
		}
	}
}

func fixture(t *testing.T, id, kind, name string) {
	t.Helper()
	img, ar := imagetest.Load(t, name)
	s := survey.Make(imagetest.View(t, img))
	var found []finding.Finding
	for _, f := range check.Image(s, false) {
		if f.ID == id {
			found = append(found, f)
		}
	}
	if pass := len(found) == 0; pass != (kind == "pass") {
		t.Errorf("has to %s, and has %d findings", kind, len(found))
	}
	got := render(found)
	if *update {
		imagetest.SetSection(ar, "findings", got)
		if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, _ := imagetest.Section(ar, "findings")
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func render(found []finding.Finding) string {
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%s %s field=%s path=%s line=%d edits=%d\n\t%s: %s\n\t%s\n", f.Severity, f.ID, f.Location.Field, f.Location.Path, f.Location.Line, len(f.Edits), f.Reason, f.Detail, f.Hint)
	}
	return b.String()
}

var kebab = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)

// twinForm is how each tool writes the ids of its checks.
var twinForm = map[string]*regexp.Regexp{
	"hadolint":     regexp.MustCompile(`^DL\d{4}$`),
	"dockle":       regexp.MustCompile(`^(CIS|DKL)-(DI|LI)-\d{4}$`),
	"Trivy":        regexp.MustCompile(`^(AVD-DS|KSV)-\d{4}$`),
	"checkov":      regexp.MustCompile(`^CKV2?_(DOCKER|K8S)_\d+$`),
	"kube-linter":  kebab,
	"Docker Scout": regexp.MustCompile(`^[A-Z][a-z].*$`),
}

func TestChecksAreWellFormed(t *testing.T) {
	t.Parallel()
	var ids, titles []string
	for _, c := range check.All() {
		ids, titles = append(ids, c.ID), append(titles, c.Title)
		if !kebab.MatchString(c.ID) {
			t.Errorf("id %q is not in lower-case words with dashes", c.ID)
		}
		if c.Title == "" || strings.HasSuffix(c.Title, ".") || strings.ToLower(c.Title[:1]) != c.Title[:1] {
			t.Errorf("%s: title %q is no half sentence", c.ID, c.Title)
		}
		if len(c.Doc) < 80 || !strings.HasSuffix(strings.TrimRight(c.Doc, `"`), ".") && !strings.HasSuffix(c.Doc, `".`) {
			t.Errorf("%s: documentation %q", c.ID, c.Doc)
		}
		if c.Image == nil {
			t.Errorf("%s looks at nothing", c.ID)
		}
		for _, twin := range c.Twins {
			if form := twinForm[twin.Tool]; form == nil || !form.MatchString(twin.ID) {
				t.Errorf("%s: twin %+v: unknown tool, or not the form of its ids", c.ID, twin)
			}
		}
		if got, ok := check.Find(c.ID); !ok || got.Title != c.Title {
			t.Errorf("%s is not found by its id", c.ID)
		}
	}
	for name, list := range map[string][]string{"id": ids, "title": titles} {
		slices.Sort(list)
		if len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("an %s stands twice in %q", name, list)
		}
	}
}
