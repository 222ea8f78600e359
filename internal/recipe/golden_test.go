package recipe

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/finding"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden reads each testdata/<dialect>/*.in and compares what is found, and what the edits make
// of it, with the file beside it.
func TestGolden(t *testing.T) {
	t.Parallel()
	inputs, err := filepath.Glob("testdata/*/*.in")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	tried := map[string]bool{}
	for _, name := range inputs {
		dialect := filepath.Base(filepath.Dir(name))
		tried[dialect] = true
		t.Run(strings.TrimPrefix(name, "testdata/"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := Recognise("config", content); len(got) == 0 || got[0] != dialect {
				t.Fatalf("Recognise = %v, want %s first", got, dialect)
			}
			got := describe(t, content, dialect)
			golden := strings.TrimSuffix(name, ".in") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	for _, d := range Dialects() {
		if !tried[d.Name] {
			t.Errorf("dialect %s has no testdata", d.Name)
		}
	}
}

// describe prints directives, references, and the document after every edit.
func describe(t *testing.T, content []byte, dialect string) string {
	t.Helper()
	var out strings.Builder
	var edits []finding.Edit
	ports := map[uint16]bool{}
	for _, d := range Read("config", content) {
		fmt.Fprintln(&out, line(content, d))
		if content := string(content[d.ValueStart:d.ValueEnd]); content != d.Value {
			t.Errorf("line %d: value %q at the offsets of %q", d.Line, d.Value, content)
		}
		if d.Port != 0 && d.Port < 1024 || d.Implied != 0 {
			ports[d.Port] = true
			edits = append(edits, MovePort(content, d, max(d.Port, d.Implied)+8000))
		}
		if d.Drop {
			edits = append(edits, Remove(content, d))
		}
	}
	for port := range 1024 {
		for _, r := range References(content, dialect, uint16(port)) {
			moves := "stays"
			if ports[r.Port] {
				moves = "moves"
				edits = append(edits, finding.Edit{Start: r.Start, End: r.End, New: fmt.Sprint(r.Port + 8000)})
			}
			fmt.Fprintf(&out, "ref %d: %s %s: %s %s\n", r.Line, r.Key, r.Value, content[r.Start:r.End], moves)
		}
	}
	after, err := finding.Apply(content, edits)
	if err != nil {
		t.Fatalf("applying edits: %v", err)
	}
	return out.String() + "----\n" + string(after)
}

func line(content []byte, d Directive) string {
	s := fmt.Sprintf("%d: %s", d.Line, d.Role)
	if d.Section != "" {
		s += fmt.Sprintf(" in %q", d.Section)
	}
	s += fmt.Sprintf(": %s = %q", d.Key, d.Value)
	if d.Role == Listen {
		s += fmt.Sprintf(" host=%q port=%d", d.Host, d.Port)
		if d.PortLast != 0 {
			s += fmt.Sprintf("-%d", d.PortLast)
		}
		if d.PortStart != 0 {
			s += fmt.Sprintf("@%q", content[d.PortStart:d.PortEnd])
		}
		s += "/" + d.Proto
	}
	if d.Implied != 0 {
		s += fmt.Sprintf(" implied=%d insert=%q", d.Implied, d.Insert)
	}
	if d.Dir {
		s += " dir"
	}
	if d.Partial {
		s += " partial"
	}
	if d.Drop {
		s += " drop"
	}
	if d.Fatal {
		s += " fatal"
	}
	return s + fmt.Sprintf(" <%s>", content[d.Start:d.End])
}
