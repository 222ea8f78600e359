package rewrite_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/finding"
	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/oracle"
	"unroot/internal/plan"
	"unroot/internal/rewrite"
	"unroot/internal/rootfs"
)

// instruction begins every line of a Dockerfile that goes on from no other.
var instruction = regexp.MustCompile(`^(#.*|FROM \S+|USER \S+|RUN .+|COPY --chmod=0755 unroot-init-\S+ /unroot-init|ENV \w+=".*"|EXPOSE \d+(/\w+)?|HEALTHCHECK .+|ENTRYPOINT \[.*\]|CMD \[.*\]|LABEL [a-z.]+=".*")$`)

// dockerfileOf writes the Dockerfile and joins the lines that go on.
func dockerfileOf(t *testing.T, c converted) (text string, lines []string) {
	t.Helper()
	b, err := rewrite.Dockerfile(c.before, c.plan, ref)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(b), "\\\n", ""), "\n"), "\n")
}

func TestDockerfileForm(t *testing.T) {
	t.Parallel()
	eachImage(t, func(t *testing.T, img *image.Image) {
		v := imagetest.View(t, img)
		for _, options := range sets(t.Name()) {
			_, lines := dockerfileOf(t, convert(t, v, options))
			for _, l := range lines {
				if !instruction.MatchString(l) {
					t.Errorf("%q: line %q", options, l)
				}
			}
		}
	})
}

// TestDockerfileRuns gives the RUN lines to real shells, with the image's tree below a folder, and
// compares the files that the plan edits.
func TestDockerfileRuns(t *testing.T) {
	t.Parallel()
	var shells [][]string
	for _, s := range [][]string{{"sh"}, {"bash"}, {"busybox", "sh"}} {
		if _, err := exec.LookPath(s[0]); err != nil {
			oracle.Missing(t, s[0]+" is not installed")
			continue
		}
		shells = append(shells, s)
	}
	eachImage(t, func(t *testing.T, img *image.Image) {
		v := imagetest.View(t, img)
		for _, shell := range shells {
			c := convert(t, v, "setuid=strip")
			_, lines := dockerfileOf(t, c)
			runLines(t, shell, c, lines)
		}
	})
}

func runLines(t *testing.T, shell []string, c converted, lines []string) {
	t.Helper()
	root := t.TempDir()
	unpack(t, c.before, root)
	for _, l := range lines {
		command, ok := strings.CutPrefix(l, "RUN ")
		if !ok {
			continue
		}
		cmd := exec.Command(shell[0], append(shell[1:], "-ec", below(root, command))...)
		cmd.Env = []string{"PATH=" + tools(t, root) + ":" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s: %v\n%s", shell, l, err, out)
		}
	}
	compareFiles(t, shell, c, root)
}

// tools is a folder with a chown that does nothing: the owners are not ours to give.
func tools(t *testing.T, root string) string {
	t.Helper()
	dir := filepath.Join(root, ".tools")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "chown"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// below puts the root before every word that is a path, outside of quotes.
func below(root, command string) string {
	var b strings.Builder
	quoted, last := false, byte(' ')
	for i := range len(command) {
		c := command[i]
		if c == '\'' {
			quoted = !quoted
		}
		if c == '/' && last == ' ' && !quoted {
			b.WriteString(root)
		}
		b.WriteByte(c)
		last = c
	}
	return b.String()
}

// unpack writes directories and files that the plan may need; contents only where they were kept.
func unpack(t *testing.T, v *image.View, root string) {
	t.Helper()
	for n := range v.Tree.Walk("/") {
		p := filepath.Join(root, n.Path())
		switch n.Kind() {
		case rootfs.Dir:
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
		case rootfs.File:
			content, _ := v.Content(n.Path())
			if err := os.WriteFile(p, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func compareFiles(t *testing.T, shell []string, c converted, root string) {
	t.Helper()
	diffs, err := rewrite.Diffs(c.plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range diffs {
		got, err := os.ReadFile(filepath.Join(root, d.Path))
		if err != nil || !bytes.Equal(got, d.After) {
			t.Errorf("%v: %s: %v\n%s", shell, d.Path, err, cmp.Diff(string(d.After), string(got)))
		}
	}
	for _, o := range c.plan.Operations {
		var p string
		var mode uint16
		switch e := o.Effect.(type) {
		case plan.Grant:
			p, mode = e.Path, e.To.Mode
		case plan.MakeDir:
			p, mode = e.Path, e.Attr.Mode
		case plan.Strip:
			p, mode = e.Path, e.To.Mode
		case plan.Remove:
			if _, err := os.Lstat(filepath.Join(root, e.Path)); err == nil {
				t.Errorf("%v: %s is still there", shell, e.Path)
			}
		}
		if p == "" || p == "/" {
			continue
		}
		info, err := os.Stat(filepath.Join(root, p))
		if err != nil || info.Mode().Perm() != os.FileMode(mode&0o777) {
			t.Errorf("%v: %s has mode %v, want %04o (%v)", shell, p, info.Mode(), mode, err)
		}
	}
}

// TestDockerfileEdits gives edits of odd files to real shells.
func TestDockerfileEdits(t *testing.T) {
	t.Parallel()
	tests := map[string][2]string{
		"changed line":            {"a\nlisten 80;\nb\n", "a\nlisten 8080;\nb\n"},
		"several lines":           {"1\n2\n3\n4\n5\n", "1\nx\n3\ny\n5\n"},
		"line gone":               {"a\nuser nginx;\nb\n", "a\nb\n"},
		"first and last gone":     {"a\nb\nc\n", "b\n"},
		"gone and changed":        {"a\nuser x\nlisten 80\n", "a\nlisten 8080\n"},
		"no newline at the end":   {"a\nport 80", "a\nport 8080"},
		"newline comes":           {"a", "a\nb\n"},
		"one line more":           {"root:x:0\n", "root:x:0\nnonroot:x:65532:0:it's \"quoted\" $HOME `id`:\\n\\t%s:/\n"},
		"lines more":              {"a\n", "a\nb\nc\n"},
		"line with a dash more":   {"a\n", "a\n-n -e x\n"},
		"empty line more":         {"a\n", "a\n\n"},
		"sed's own characters":    {"x\n80 & | \\ / ' \" $ * . [ ] ^\n", "x\n8080 & | \\ / ' \" $ * . [ ] ^\n"},
		"backslash at the end":    {"a 80 \\\nb\n", "a 8080 \\\nb\n"},
		"carriage returns":        {"a\r\nport 80\r\n", "a\r\nport 8080\r\n"},
		"not UTF-8":               {"\xff\xfe 80\n\xe9 port 80\n", "\xff\xfe 8080\n\xe9 port 8080\n"},
		"zero bytes":              {"a\x0080\n", "a\x008080\n"},
		"line in between":         {"a\nb\n", "a\nx\nb\n"},
		"all gone":                {"a\n", ""},
		"all new":                 {"", "a\n"},
		"here-document":           {"x\ncat <<EOF 80\n", "x\ncat <<EOF 8080\n"},
		"tabs and spaces":         {"\t  80  \t\n", "\t  8080  \t\n"},
		"large":                   {strings.Repeat("line\n", 40000), "new\n" + strings.Repeat("line\n", 40000)},
		"large with many changes": {strings.Repeat("line 80\n", 9000), strings.Repeat("line 8080\n", 9000)},
		"comment":                 {"# escape=`\n80\n", "# escape=`\n8080\n"},
	}
	dir := t.TempDir()
	for name, tt := range tests {
		for _, shell := range [][]string{{"sh", "-ec"}, {"bash", "-ec"}, {"busybox", "sh", "-ec"}} {
			t.Run(name+" "+shell[0], func(t *testing.T) {
				t.Parallel()
				if _, err := exec.LookPath(shell[0]); err != nil {
					oracle.Missing(t, shell[0]+" is not installed")
				}
				file := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_"))
				if err := os.WriteFile(file, []byte(tt[0]), 0o644); err != nil {
					t.Fatal(err)
				}
				for _, l := range runsOf(t, tt[0], tt[1], file) {
					cmd := exec.CommandContext(context.Background(), shell[0], append(shell[1:], l)...)
					if out, err := cmd.CombinedOutput(); err != nil {
						t.Fatalf("%.300s: %v\n%s", l, err, out)
					}
				}
				got, err := os.ReadFile(file)
				if err != nil || string(got) != tt[1] {
					t.Errorf("%v: got %.300q, want %.300q", err, got, tt[1])
				}
			})
		}
	}
}

// runsOf is the commands of the RUN lines for one edited file, as a builder hands them to the shell.
func runsOf(t *testing.T, before, after, file string) []string {
	t.Helper()
	v := imagetest.View(t, imagetest.Parse(t, "-- config --\n{}\n"))
	p := plan.Plan{Operations: []plan.Operation{{Effect: plan.EditFile{Path: file, Before: []byte(before), Edits: wholeEdit(before, after)}}}}
	text, err := rewrite.Dockerfile(v, p, ref)
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSuffix(l, "\n")
		if strings.HasSuffix(l, `\`) || len(l) > 128<<10 {
			t.Errorf("line %.100q goes on, or is too long", l)
		}
		if c, ok := strings.CutPrefix(l, "RUN "); ok {
			runs = append(runs, c)
		}
	}
	if len(runs) == 0 {
		t.Fatal(fmt.Sprintf("no RUN in\n%s", text))
	}
	return runs
}

func wholeEdit(before, after string) []finding.Edit {
	return []finding.Edit{{Start: 0, End: len(before), New: after}}
}
