package explain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNamespace: a word means one thing, whoever prints it.
func TestNamespace(t *testing.T) {
	t.Parallel()
	seen := map[string]Kind{}
	for _, p := range Pages() {
		if other, ok := seen[p.ID]; ok {
			t.Errorf("%q is a %s and a %s", p.ID, other, p.Kind)
		}
		seen[p.ID] = p.Kind
		if found, ok := Find(p.ID); !ok || found.ID != p.ID {
			t.Errorf("Find(%q) gives %q, %t", p.ID, found.ID, ok)
		}
		if strings.Trim(p.ID, "abcdefghijklmnopqrstuvwxyz-") != "" || p.ID == "" {
			t.Errorf("%q is no word to type", p.ID)
		}
	}
}

// shared is ids of plans that a page of another kind explains: both speak of the same thing.
var shared = map[string]Kind{
	"compat":          Topic, // emulation, why it is there and where there is none
	"group":           Check,
	"insists-on-root": Check,
	"low-port":        Check,
	"no-account":      Check,
	"owner-strict":    Check,
}

// TestPlanIDs wants a page for every id that a plan prints, and no page for an id that none prints.
func TestPlanIDs(t *testing.T) {
	t.Parallel()
	printed := idsOf(t, "../plan")
	for id := range printed {
		p, ok := Find(id)
		switch {
		case !ok:
			t.Errorf("plans print the id %q, which nothing explains", id)
		case p.Kind == Topic || p.Kind == Check:
			if shared[id] != p.Kind {
				t.Errorf("plans print the id %q, and a %s of that name says something: if it is the same thing, add it to shared", id, p.Kind)
			}
		}
	}
	for _, p := range items {
		if !printed[p.ID] {
			t.Errorf("%q is explained, and no plan prints it", p.ID)
		}
	}
	for id := range shared {
		if !printed[id] {
			t.Errorf("%q is shared with nothing", id)
		}
	}
}

// idsOf reads the ids of all literals Open{ID: "…"} and Reason{ID: "…"} in a package.
func idsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	notTests := func(f os.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), dir, notTests, 0)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, p := range packages {
		ast.Inspect(p, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if name, ok := lit.Type.(*ast.Ident); lit.Type != nil && (!ok || name.Name != "Open" && name.Name != "Reason") {
				return true
			}
			for _, e := range lit.Elts {
				field, ok := e.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				value, ok := field.Value.(*ast.BasicLit)
				if key, named := field.Key.(*ast.Ident); ok && named && key.Name == "ID" {
					id, err := strconv.Unquote(value.Value)
					if err != nil {
						t.Fatal(err)
					}
					ids[id] = true
				}
			}
			return true
		})
	}
	if len(ids) < 10 {
		t.Fatalf("only %d ids were found: %v", len(ids), slices.Sorted(maps.Keys(ids)))
	}
	return ids
}

// TestTopics holds the pages to their size: one screen, and every platform.
func TestTopics(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, p := range Pages() {
		if p.Kind != Topic {
			continue
		}
		ids = append(ids, p.ID)
		if n := strings.Count(p.Text, "\n") + 3; n > 62 {
			t.Errorf("%s has %d lines", p.ID, n)
		}
		for _, platform := range []string{"Docker", "Podman", "containerd", "Kubernetes", "CRI-O", "OpenShift"} {
			if !strings.Contains(p.Text, platform) {
				t.Errorf("%s does not say what happens on %s", p.ID, platform)
			}
		}
		if !strings.Contains(strings.ToLower(p.Text), "not run") {
			t.Errorf("%s does not say what was not run", p.ID)
		}
	}
	if diff := cmp.Diff([]string{"passwd", "volumes", "compat"}, ids); diff != "" {
		t.Error(diff)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	for _, p := range Pages() {
		if p.Title == "" || p.Text == "" || strings.HasSuffix(p.Title, ".") || strings.TrimSpace(p.Text) != p.Text {
			t.Errorf("%s: title %q, text %q", p.ID, p.Title, p.Text)
		}
		for line := range strings.Lines(p.Text) {
			line = strings.TrimSuffix(line, "\n")
			if n := len([]rune(line)); n > columns && strings.Contains(line, " ") {
				t.Errorf("%s: a line of %d columns: %s", p.ID, n, line)
			}
			if strings.ContainsAny(line, "\t\r") || strings.TrimRight(line, " ") != line {
				t.Errorf("%s: white space in %q", p.ID, line)
			}
		}
		for _, other := range mentioned(p.Text) {
			if _, ok := Find(other); !ok {
				t.Errorf("%s points to %q, which is not explained", p.ID, other)
			}
		}
	}
}

// mentioned is the ids that a text points to: after "unroot explain", and in parentheses and backquotes.
func mentioned(text string) []string {
	var ids []string
	for _, part := range strings.Split(text, "unroot explain ")[1:] {
		ids = append(ids, strings.FieldsFunc(part, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') })[0])
	}
	for _, part := range strings.Split(text, "(`")[1:] {
		if id, _, ok := strings.Cut(part, "`)"); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestNear(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		word string
		want []string
	}{
		{"passwrd", []string{"passwd"}},
		{"volume", []string{"volume", "volumes"}},
		{"owner", []string{"data-owner", "owner-strict"}},
		{"setiud", []string{"setuid"}},
		{"Compat", []string{"compat"}},
		{"x", nil},
		{"", nil},
		{"something-else-entirely", nil},
	} {
		if diff := cmp.Diff(c.want, Near(c.word)); diff != "" {
			t.Errorf("%q: %s", c.word, diff)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
