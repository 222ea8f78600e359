package sandbox

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"unroot/internal/account"
	"unroot/internal/verify"
)

func TestOwnerGone(t *testing.T) {
	t.Parallel()
	here := strings.Fields(ownerPlace())
	if len(here) != 3 {
		t.Skipf("this machine has no boot id or pid namespace: %q", here)
	}
	pid := strconv.Itoa(os.Getpid())
	label := func(words ...string) string { return strings.Join(words, " ") }
	for _, table := range []struct {
		label string
		gone  bool
	}{
		{ownerName(), false},
		{label(here[0], here[1], here[2], pid, "1"), true},
		{label(here[0], here[1], here[2], "4194304", "77"), true},
		{label(here[0], "another-boot", here[2], pid, "1"), true},
		{label("another-host", here[1], here[2], pid, "1"), false},
		{label(here[0], here[1], "pid:[1]", pid, "1"), false},
		{label(here[0], here[1], here[2], pid), false},
		{label(here[0], here[1], here[2], "x", "1"), false},
		{"", false},
		{"true", false},
	} {
		if got := ownerGone(table.label); got != table.gone {
			t.Errorf("%q: gone %v", table.label, got)
		}
	}
}

func TestEngineHosts(t *testing.T) {
	t.Parallel()
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			if i := slices.Index(pairs, name); i >= 0 {
				return pairs[i+1]
			}
			return ""
		}
	}
	for _, table := range []struct {
		told string
		env  func(string) string
		want string
	}{
		{"tcp://a", env("DOCKER_HOST", "tcp://b"), "tcp://a"},
		{"", env("CONTAINER_HOST", "tcp://c", "DOCKER_HOST", "tcp://b"), "tcp://b"},
		{"", env("CONTAINER_HOST", "tcp://c"), "tcp://c"},
	} {
		if got := engineHosts(table.told, table.env); !slices.Equal(got, []string{table.want}) {
			t.Errorf("%q, want %q", got, table.want)
		}
	}
}

func TestSeparates(t *testing.T) {
	t.Parallel()
	root := verify.Run{Caps: verify.EngineCaps}
	if !separates(root) {
		t.Error("a baseline's agent has no more than its run")
	}
	if separates(verify.Run{}) || separates(verify.Run{Identity: account.Arbitrary(), Caps: verify.EngineCaps}) {
		t.Error("a run that cannot give up a capability is given one")
	}
}

func TestTailBuffer(t *testing.T) {
	t.Parallel()
	b := &tailBuffer{}
	for i := range 3000 {
		if n, err := b.Write([]byte(strconv.Itoa(i) + " ")); n == 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	b.Write([]byte(strings.Repeat("x", 2*tailSize) + "end"))
	if got := b.String(); len(got) != tailSize || !strings.HasSuffix(got, "xend") {
		t.Errorf("%d bytes, ending %q", len(got), got[max(0, len(got)-10):])
	}
}
