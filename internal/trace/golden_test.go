package trace

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files")

// TestRecorded digests logs of real services (Debian 12), as the tracer gave them: those that end in -root as root with an engine's
// capabilities, steady until SIGTERM after 3 s; the others as uid 1000710000, gid 0, without capabilities.
func TestRecorded(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no logs", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			l, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Complete(); err != nil {
				t.Error(err)
			}
			golden(t, strings.TrimSuffix(file, ".json")+".txt", digested(l))
		})
	}
}

func golden(t *testing.T, name, got string) {
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// digested is all that a log says, for people.
func digested(l Log) string {
	var b strings.Builder
	for _, life := range Lives(l) {
		fmt.Fprintf(&b, "process %d of %d: %s, %d to %d, status %d%s\n", life.PID, life.Parent, life.Exe, life.Began, life.Ended, life.Status, life.Signal)
	}
	for _, n := range Needs(l) {
		fmt.Fprintf(&b, "need %s\n", n.line())
		if n.Kind == Bind {
			fmt.Fprintf(&b, "     after %s\n", strings.Join(ReadBefore(l, n.Seq), " "))
		}
	}
	for _, d := range Denials(l) {
		class, sentence := Signature(d)
		fmt.Fprintf(&b, "denied %s\n       %s %s\n", d.line(), class, sentence)
	}
	for _, d := range Culprits(l) {
		_, sentence := Signature(d)
		fmt.Fprintf(&b, "culprit %s: %s\n", d.Exe, sentence)
	}
	for _, life := range Failed(l) {
		fmt.Fprintf(&b, "failed %s, after %s\n", life.Exe, strings.Join(LastRead(l, life.PID), " "))
	}
	return b.String()
}

// TestBaselineExplains holds what the baseline of a service leaves of its candidate's denials.
func TestBaselineExplains(t *testing.T) {
	t.Parallel()
	load := func(name string) Log {
		data, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		l, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for name, want := range map[string]string{
		"nginx":   "cannot write its data directory /var/lib/nginx (/var/lib/nginx/body)",
		"dnsmasq": "binds udp port 53: ports below 1024 need a privilege",
	} {
		left := Unmatched(Culprits(load(name)), load(name+"-root"))
		if len(left) == 0 {
			t.Errorf("%s: nothing is left", name)
			continue
		}
		if _, got := Signature(left[0]); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
