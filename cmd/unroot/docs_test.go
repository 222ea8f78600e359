package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"

	"unroot/internal/check"
	"unroot/internal/image"
	"unroot/internal/learn"
	"unroot/internal/plan"
	"unroot/internal/report"
	"unroot/internal/store"
	"unroot/internal/verify"
)

// documents are the pages that people read, from this folder.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../CHANGELOG.md", "../../ARCHITECTURE.md")
}

// block is a fenced block of a page.
type block struct {
	info       string // after the opening fence
	marker     string // what the HTML comment on the line before says
	start, end int    // bytes of the text between the fences
	line       int
}

// blocks finds the fenced blocks of a page.
func blocks(page string) []block {
	var found []block
	var open *block
	at, before := 0, ""
	for n, line := range strings.SplitAfter(page, "\n") {
		text := strings.TrimRight(line, "\n")
		switch {
		case open == nil && strings.HasPrefix(text, "```"):
			marker, _ := strings.CutSuffix(strings.TrimPrefix(before, "<!-- "), " -->")
			if !strings.HasPrefix(before, "<!-- ") {
				marker = ""
			}
			open = &block{info: text[3:], marker: marker, start: at + len(line), line: n + 1}
		case open != nil && text == "```":
			open.end = at
			found = append(found, *open)
			open = nil
		}
		at += len(line)
		before = text
	}
	return found
}

// inFolder puts the images of testdata into a fresh folder, as oci:NAME:v1, and makes it the current one.
func inFolder(t *testing.T, names ...string) {
	t.Helper()
	texts := map[string][]byte{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("testdata/images", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = text
	}
	t.Chdir(t.TempDir())
	s := store.New(store.Options{})
	defer s.Close()
	for name, text := range texts {
		img, err := built(txtar.Parse(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), store.Ref{Transport: store.OCILayout, Path: name, Name: "v1"}, image.Source{Image: img}); err != nil {
			t.Fatal(err)
		}
	}
}

// command runs one command line in this process, and gives what a terminal would show and what a
// pipe would get.
func command(t *testing.T, args ...string) (terminal, stdout string, code int) {
	t.Helper()
	var all, out bytes.Buffer
	env := map[string]string{"XDG_CACHE_HOME": filepath.Join(t.TempDir(), "cache")}
	code = run(t.Context(), &world{
		in: strings.NewReader(""), out: writers{&out, &all}, err: &all, args: args,
		env: func(name string) string { return env[name] },
	})
	return all.String(), out.String(), code
}

type writers []*bytes.Buffer

func (w writers) Write(p []byte) (int, error) {
	for _, b := range w {
		b.Write(p)
	}
	return len(p), nil
}

// TestConsoleBlocks runs every ```console block of the pages, top to bottom in one folder for a page,
// and compares what is printed. "[…]" stands for any lines, "…" in a line for anything.
func TestConsoleBlocks(t *testing.T) {
	for _, name := range documents(t) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		here, err := filepath.Abs(".")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			images := []string{"app", "clean", "open", "shop", "tools"}
			if runsImages.Match(page) {
				lab(t)
				images = append(images, "web")
			}
			inFolder(t, images...)
			for _, b := range blocks(string(page)) {
				if b.info == "console" && b.marker == "" {
					runConsole(t, fmt.Sprintf("%s:%d", filepath.Base(name), b.line), string(page[b.start:b.end]))
				}
			}
		})
		t.Chdir(here)
	}
}

// runsImages finds command lines on a page that run an image.
var runsImages = regexp.MustCompile(`(?m)^\$ unroot (verify |run |convert .*--verify)`)

func runConsole(t *testing.T, where, text string) {
	code := 0
	for _, part := range strings.Split("\n"+text, "\n$ ")[1:] {
		line, want, _ := strings.Cut(part, "\n")
		got := fmt.Sprintf("%d\n", code)
		if line != "echo $?" {
			words, err := words(line)
			if err != nil || len(words) == 0 || words[0] != "unroot" {
				t.Errorf("%s: cannot run %q: %v", where, line, err)
				continue
			}
			got, _, code = command(t, words[1:]...)
		}
		if !like(want, got) {
			t.Errorf("%s: $ %s (exit code %d)\n%s", where, line, code, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
		}
	}
}

// like reports whether the lines that were printed are those that the page shows.
func like(want, got string) bool {
	var expr strings.Builder
	expr.WriteString("(?s)^")
	for line := range strings.Lines(strings.TrimRight(want, "\n") + "\n") {
		if line == "[…]\n" {
			expr.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		expr.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", `[^\n]*`))
	}
	return regexp.MustCompile(expr.String() + `\n*$`).MatchString(got)
}

func TestLike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"a\nb\n", "a\nb\n", true},
		{"a\n", "a\n\n", true},
		{"a\n", "a\nb\n", false},
		{"a\nb\n", "a\n", false},
		{"[…]\nb\n", "a\na\nb\n", true},
		{"[…]\nb\n", "b\n", true},
		{"a\n[…]\n", "a\nb\n", true},
		{"[…]\nc\n", "a\nb\n", false},
		{"id …, done\n", "id 12, done\n", true},
		{"id …\n", "other\n", false},
		{"a.c\n", "abc\n", false},
	} {
		if like(c.want, c.got) != c.same {
			t.Errorf("%q, %q: want %t", c.want, c.got, c.same)
		}
	}
}

// words splits one simple command as a shell does.
func words(line string) ([]string, error) {
	file, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	if err != nil {
		return nil, err
	}
	calls := callsOf(file)
	if len(calls) != 1 || len(file.Stmts) != 1 || len(file.Stmts[0].Redirs) > 0 {
		return nil, fmt.Errorf("not one simple command")
	}
	return calls[0], nil
}

// callsOf gives the words of every simple command in a script.
func callsOf(file *syntax.File) [][]string {
	var calls [][]string
	syntax.Walk(file, func(node syntax.Node) bool {
		if call, ok := node.(*syntax.CallExpr); ok && len(call.Args) > 0 {
			if fields, err := expand.Fields(&expand.Config{}, call.Args...); err == nil {
				calls = append(calls, fields)
			}
		}
		return true
	})
	return calls
}

// TestShellBlocks parses every command line of the pages that is not run: its flags exist and take
// these values, and its arguments are as many as it takes.
func TestShellBlocks(t *testing.T) {
	t.Parallel()
	found := 0
	for _, name := range documents(t) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(string(page)) {
			if b.info != "sh" {
				continue
			}
			where := fmt.Sprintf("%s:%d", filepath.Base(name), b.line)
			file, err := syntax.NewParser().Parse(bytes.NewReader(page[b.start:b.end]), where)
			if err != nil {
				t.Errorf("%s: %v", where, err)
				continue
			}
			for _, call := range callsOf(file) {
				if call[0] == "unroot" {
					found++
					parses(t, where, call[1:])
				}
			}
		}
	}
	if found == 0 {
		t.Error("no page shows a command")
	}
}

func parses(t *testing.T, where string, args []string) {
	t.Helper()
	root := newRoot(&world{env: func(string) string { return "" }})
	cmd, rest, err := root.Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	if err != nil {
		t.Errorf("%s: unroot %s: %v", where, strings.Join(args, " "), err)
		return
	}
	for _, arg := range cmd.Flags().Args() {
		if !slices.Contains([]string{"check", "plan", "convert", "verify"}, cmd.Name()) {
			continue
		}
		if _, err := store.Parse(arg); err != nil {
			t.Errorf("%s: unroot %s: %v", where, strings.Join(args, " "), err)
		}
	}
}

// TestOutputBlocks compares every block after a comment `<!-- output: unroot … -->` with what that
// command prints on standard output. -update writes them.
func TestOutputBlocks(t *testing.T) {
	for _, name := range documents(t) {
		name, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		here, err := filepath.Abs(".")
		if err != nil {
			t.Fatal(err)
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			inFolder(t, "app", "clean", "open")
			next := string(page)
			all := blocks(next)
			slices.Reverse(all) // from the end, so that places hold
			for _, b := range all {
				line, ok := strings.CutPrefix(b.marker, "output: unroot ")
				if !ok {
					continue
				}
				if line == "demo" {
					lab(t) // it ends with a proof
				}
				_, got, _ := command(t, strings.Fields(line)...)
				got = shorten(got)
				if strings.HasPrefix(line, "demo") {
					got = "$ go run ./cmd/unroot demo\n" + excerpt(got)
				}
				next = next[:b.start] + got + next[b.end:]
			}
			sameFile(t, name, string(page), next)
		})
		t.Chdir(here)
	}
}

// sameFile compares a page with what it should be, or with -update writes it.
func sameFile(t *testing.T, name, have, want string) {
	t.Helper()
	if have == want {
		return
	}
	if !*update {
		t.Errorf("%s is not up to date: go test ./cmd/unroot -update (-page +should be)\n%s", filepath.Base(name), cmp.Diff(have, want))
		return
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

var whenAndWho = regexp.MustCompile(`"(unroot|created)": "[^"]*"`)

// shorten takes out what is different each time: digests, since those of the demo are of the program
// that makes it, and when and by which program a proof was made.
func shorten(text string) string {
	return whenAndWho.ReplaceAllString(digests.ReplaceAllString(text, "sha256:…"), `"$1": "…"`)
}

var severityLine = regexp.MustCompile(`^(critical|high|medium|low|info) +[a-z-]+  `)

// excerpt keeps the first three of a row of findings, and says how many it cuts.
func excerpt(text string) string {
	const most = 3
	var out []string
	run := 0
	cut := func() {
		if run > most {
			out = append(out, fmt.Sprintf("[… %s cut here]", count(run-most, "finding")))
		}
		run = 0
	}
	for _, part := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		if severityLine.MatchString(part) {
			if run++; run <= most {
				out = append(out, part)
			}
			continue
		}
		cut()
		out = append(out, part)
	}
	cut()
	return strings.Join(out, "\n\n") + "\n"
}

// TestChecksPage compares docs/checks.md with the list of checks. -update writes it.
func TestChecksPage(t *testing.T) {
	t.Parallel()
	const name = "../../docs/checks.md"
	have, err := os.ReadFile(name)
	if err != nil && !*update {
		t.Fatal(err)
	}
	sameFile(t, name, string(have), checksPage())
}

func checksPage() string {
	var b strings.Builder
	b.WriteString("# The checks\n\n<!-- Made from the list of checks by `go test ./cmd/unroot -update`: change it there. -->\n\n" +
		"`unroot check` runs every check on an image. A finding has the id of its check, which never changes, a\n" +
		"severity, and the place. Findings above `info` make the exit code 1.\n\n" +
		"| id | severity | what it says |\n| --- | --- | --- |\n")
	for _, c := range check.All() {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", c.ID, c.ID, c.Severity, c.Title)
	}
	for _, c := range check.All() {
		fmt.Fprintf(&b, "\n## %s\n\n**%s** (%s)\n\n%s\n", c.ID, c.Title, c.Severity, strings.TrimSpace(c.Doc))
		for i, twin := range c.Twins {
			if i == 0 {
				b.WriteString("\nIn other tools:\n\n")
			}
			fmt.Fprintf(&b, "- %s %s", twin.Tool, twin.ID)
			if twin.Note != "" {
				fmt.Fprintf(&b, ": %s", twin.Note)
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// TestJSONPage wants every field of every document of --json on docs/json.md or docs/proof.md.
func TestJSONPage(t *testing.T) {
	t.Parallel()
	var page []byte
	for _, name := range []string{"json.md", "proof.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		page = append(page, text...)
	}
	documents := []any{
		report.Findings{}, report.Plans{}, report.Conversion{}, report.Program{}, provenConversion{}, verify.Proof{}, learn.Round{}, explanation{}, explanations{},
		plan.SetUser{}, plan.SetEnv{}, plan.SetArg{}, plan.SetArgs{}, plan.MovePort{}, plan.MakeDir{}, plan.Grant{},
		plan.GrantFile{}, plan.WriteFile{}, plan.EditFile{}, plan.Strip{}, plan.Remove{}, plan.AddProgram{}, plan.Keep{}, plan.Link{},
	}
	seen := map[reflect.Type]bool{}
	for _, doc := range documents {
		for _, field := range jsonFields(reflect.TypeOf(doc), seen) {
			if !strings.Contains(string(page), "`"+field+"`") {
				t.Errorf("%T has the field %q, which docs/json.md does not explain", doc, field)
			}
		}
		if effect, ok := doc.(plan.Effect); ok && !strings.Contains(string(page), "`"+effect.Kind()+"`") {
			t.Errorf("docs/json.md does not explain operations of the kind %s", effect.Kind())
		}
	}
}

// jsonFields is the names of all fields of a document, nested ones too.
func jsonFields(of reflect.Type, seen map[reflect.Type]bool) []string {
	for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || seen[of] {
		return nil
	}
	seen[of] = true
	if _, text := of.MethodByName("MarshalText"); text {
		return nil
	}
	var names []string
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if of.Field(i).Anonymous && name == "" {
			names = append(names, jsonFields(of.Field(i).Type, seen)...)
		}
		if name == "-" || name == "" {
			continue
		}
		names = append(append(names, name), jsonFields(of.Field(i).Type, seen)...)
	}
	return names
}

var link = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)

// TestLinks wants every link between the pages to lead somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	for _, name := range documents(t) {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", filepath.Base(name), m[1])
			}
		}
	}
}
