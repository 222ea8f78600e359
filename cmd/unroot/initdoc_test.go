package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/startup"
)

// TestInitOptions compares the options on docs/init.md with those that unroot-init knows, and reads each
// as it stands there.
func TestInitOptions(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	for _, form := range rowsOf(t, "options") {
		name, _, _ := strings.Cut(form, "=")
		documented[name] = true
		if _, _, err := startup.Parse([]string{form, "--", "true"}); err != nil {
			t.Errorf("docs/init.md: %v", err)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(knownOptions(t))), slices.Sorted(maps.Keys(documented))); diff != "" {
		t.Errorf("what unroot-init knows (-) and what docs/init.md has (+):\n%s", diff)
	}
}

// TestInitCodes compares the exit codes on docs/init.md with those of the program.
func TestInitCodes(t *testing.T) {
	t.Parallel()
	var want []string
	for _, code := range []int{startup.ExitUsage, startup.ExitVolume, startup.ExitOwn, startup.ExitNoExec, startup.ExitNotFound} {
		want = append(want, strconv.Itoa(code))
	}
	if diff := cmp.Diff(want, rowsOf(t, "codes")); diff != "" {
		t.Error(diff)
	}
}

// TestInitWords wants the values that options take, and the places, on the page.
func TestInitWords(t *testing.T) {
	t.Parallel()
	page := initPage(t)
	words := []string{startup.Path, startup.Seed, startup.Run, startup.VolumesEnv,
		string(startup.NamesAuto), string(startup.NamesNscd), string(startup.NamesWrapper), "off"}
	for _, step := range startup.Compats {
		words = append(words, string(step))
	}
	for _, word := range words {
		if !strings.Contains(page, "`"+word+"`") {
			t.Errorf("docs/init.md does not say %s", word)
		}
	}
	for _, arch := range startup.Platforms {
		if !regexp.MustCompile(`\b` + arch + `\b`).MatchString(page) {
			t.Errorf("docs/init.md does not say %s", arch)
		}
	}
}

func initPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/init.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// rowsOf gives the first words of the rows of the table between two marks.
func rowsOf(t *testing.T, name string) []string {
	t.Helper()
	_, rest, ok1 := strings.Cut(initPage(t), "<!-- "+name+": begin -->")
	table, _, ok2 := strings.Cut(rest, "<!-- "+name+": end -->")
	if !ok1 || !ok2 {
		t.Fatalf("docs/init.md has no table of %s", name)
	}
	var rows []string
	for _, m := range regexp.MustCompile("(?m)^\\| `?([^ `]+)`? \\|").FindAllStringSubmatch(table, -1) {
		rows = append(rows, m[1])
	}
	return slices.DeleteFunc(rows, func(row string) bool { return row == "---" || row == "option" || row == "code" })
}

// knownOptions reads the cases of startup's parser.
func knownOptions(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../internal/startup/parse.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		clause, ok := n.(*ast.CaseClause)
		if !ok {
			return true
		}
		for _, e := range clause.List {
			lit, ok := e.(*ast.BasicLit)
			if !ok {
				continue
			}
			if word, err := strconv.Unquote(lit.Value); err == nil && strings.HasPrefix(word, "--") {
				known[word] = true
			}
		}
		return true
	})
	if len(known) < 10 {
		t.Fatalf("only %v were found", known)
	}
	return known
}
