package entrypoint

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/finding"
)

var update = flag.Bool("update", false, "write the golden files anew")

// tree is an image in memory.
type tree map[string]File

func (t tree) File(p string) (File, bool) {
	f, ok := t[path.Clean(p)]
	return f, ok
}

func (t tree) List(p string) []string {
	var names []string
	for name := range t {
		if name != "/" && path.Dir(name) == path.Clean(p) {
			names = append(names, path.Base(name))
		}
	}
	slices.Sort(names)
	return names
}

func (t tree) add(f File) {
	t[f.Path] = f
	for dir := path.Dir(f.Path); ; dir = path.Dir(dir) {
		if _, ok := t[dir]; ok {
			return
		}
		t[dir] = File{Path: dir, Dir: true, Executable: true}
	}
}

// readCase gives the image and the start of a txtar case.
func readCase(t testing.TB, name string) (*txtar.Archive, tree, Start) {
	t.Helper()
	ar, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var start Start
	fs := tree{}
	for _, shell := range []string{"/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/env"} {
		fs.add(File{Path: shell, ELF: true, Executable: true})
	}
	for _, f := range ar.Files {
		switch {
		case f.Name == "start":
			if err := json.Unmarshal(f.Data, &start); err != nil {
				t.Fatal(err)
			}
		case f.Name == "tree":
			for line := range strings.Lines(string(f.Data)) {
				kind, p, _ := strings.Cut(strings.TrimSpace(line), " ")
				fs.add(File{Path: p, ELF: kind == "elf", Dir: kind == "dir", Executable: kind != "file", Content: map[string][]byte{"file": []byte("x\n")}[kind]})
			}
		case strings.HasPrefix(f.Name, "/"):
			fs.add(File{Path: f.Name, Content: f.Data, Executable: bytes.HasPrefix(f.Data, []byte("#!"))})
		}
	}
	return ar, fs, start
}

// render is a story for a person, with every script as it is after the edits.
func render(s Story, content func(string) []byte) string {
	var b strings.Builder
	for _, x := range s.Steps {
		fmt.Fprintf(&b, "step %s %s %s", x.What, x.Path, argvText(x))
		fmt.Fprintf(&b, " [%s%s%s%s] %s:%d\n", x.Guard, mark(x.Exec, " exec"), mark(x.Unlikely, " unlikely"), mark(x.User != "", " user="+x.User), x.Script, x.Line)
	}
	for _, x := range s.Programs {
		fmt.Fprintf(&b, "program %s %s\n", x.Path, argvText(x))
	}
	for _, x := range s.Problems {
		fmt.Fprintf(&b, "problem %s: %s %s\n", x.Reason, x.Path, x.Detail)
	}
	for _, x := range s.Tasks {
		fmt.Fprintf(&b, "%s:%d %s %s%s%s", x.Script, x.Line, x.Kind, x.Guard, mark(x.Unlikely, " unlikely"), mark(x.Fatal, " fatal"))
		if x.User+x.Group != "" {
			fmt.Fprintf(&b, " to %s:%s", x.User, x.Group)
		}
		for _, p := range x.Paths {
			fmt.Fprintf(&b, " %s", pathText(p))
		}
		fmt.Fprintf(&b, "\n\t%s\n", x.Text)
		if x.Edits != nil {
			fmt.Fprintf(&b, "\t→ %s (%s)\n", edited(content(x.Script), x), x.EditNote)
		}
	}
	return b.String()
}

func mark(b bool, s string) string {
	if b {
		return s
	}
	return ""
}

func argvText(s Step) string {
	var words []string
	for _, w := range s.Argv {
		words = append(words, w.Value+mark(!w.Known, "?"))
	}
	return fmt.Sprintf("%q%s", words, mark(s.Open, "…"))
}

func pathText(p Path) string {
	return p.Value + p.Prefix + mark(!p.Known, "?") + mark(p.Glob, "(glob)") + mark(p.Recursive, "/**")
}

// edited is the task's line after its edits.
func edited(doc []byte, t Task) string {
	out, err := finding.Apply(doc, t.Edits)
	if err != nil {
		return err.Error()
	}
	from := min(t.Start, t.Edits[0].Start)
	end := len(out) - (len(doc) - max(t.End, t.Edits[len(t.Edits)-1].End))
	return oneLine(string(out[from:end]))
}

func TestStories(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*.txtar")
	more, _ := filepath.Glob("testdata/more/*.txtar") // these are not run by TestReplay
	if cases = append(cases, more...); err != nil || len(cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, name := range cases {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			ar, fs, start := readCase(t, name)
			got := render(Read(fs, start), func(script string) []byte { return content(fs, start, script) })
			if *update {
				ar.Files = slices.DeleteFunc(ar.Files, func(f txtar.File) bool { return f.Name == "story" })
				ar.Files = append(ar.Files, txtar.File{Name: "story", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want := ""
			for _, f := range ar.Files {
				if f.Name == "story" {
					want = string(f.Data)
				}
			}
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("story (-want +got):\n%s", diff)
			}
		})
	}
}

// content is the bytes that a task's Script names.
func content(fs tree, start Start, script string) []byte {
	var i int
	if n, _ := fmt.Sscanf(script, "Entrypoint[%d]", &i); n == 1 {
		return []byte(start.Entrypoint[i])
	}
	if n, _ := fmt.Sscanf(script, "Cmd[%d]", &i); n == 1 {
		return []byte(start.Cmd[i])
	}
	return fs[script].Content
}

// afterEdits is the script with the edits of all its tasks.
func afterEdits(t *testing.T, s Story, script, text string) string {
	t.Helper()
	var edits []finding.Edit
	for _, task := range s.Tasks {
		if task.Script == script {
			edits = append(edits, task.Edits...)
		}
	}
	out, err := finding.Apply([]byte(text), edits)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return string(out)
}

func BenchmarkRead(b *testing.B) {
	_, fs, start := readCase(b, "testdata/postgres.txtar")
	for b.Loop() {
		Read(fs, start)
	}
}
