package agent

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/trace"
)

const statusText = `Name:	ngi\nx:	Uid: 0
Umask:	0022
State:	S (sleeping)
Tgid:	4711
Ngid:	0
Pid:	4711
PPid:	12
TracerPid:	12
Uid:	101	101	102	103
Gid:	0	0	0	0
FDSize:	64
Groups:	0 5 1000700000
NStgid:	4711	1
NSpid:	4711	1
Threads:	3
SigCgt:	0000000000004002
CapInh:	0000000000000000
CapPrm:	0000000000000001
CapEff:	0000000000000002
CapBnd:	00000000a80425fb
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2
`

func TestStatus(t *testing.T) {
	t.Parallel()
	want := status{
		state: 'S', group: 4711, parent: 12, threads: 3, inner: 1, caught: 0x4002,
		creds: trace.Creds{
			UIDs: [4]uint32{101, 101, 102, 103}, Groups: []uint32{0, 5, 1000700000},
			Caps: 3, Bounding: 0xa80425fb, NoNewPriv: true,
		},
	}
	got, err := parseStatus([]byte(statusText))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(status{})); diff != "" {
		t.Error(diff)
	}
	for _, broken := range []string{"", "Tgid:\t1\n", strings.Replace(statusText, "101	101	102	103", "101", 1), strings.Replace(statusText, "CapPrm:\t", "CapPrm:\tx", 1)} {
		if _, err := parseStatus([]byte(broken)); err == nil {
			t.Errorf("no error for %q", broken)
		}
	}
}

func TestProcessorTime(t *testing.T) {
	t.Parallel()
	for _, table := range []struct {
		stat string
		want time.Duration
	}{
		{"7 (a) 1 2) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 1\n", 2 * time.Second},
		{"7 (sh) S 1 7 7 0 -1 4194560 100 0 0 0 x 50", 0},
		{"7 (sh) S 1", 0},
		{"", 0},
	} {
		if got := parseTime([]byte(table.stat)); got != table.want {
			t.Errorf("%q: %v, want %v", table.stat, got, table.want)
		}
	}
}

func TestArgs(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"nginx", "", "-g", "\uFFFD"}, parseArgs([]byte("nginx\x00\x00-g\x00\xff\x00"))); diff != "" {
		t.Error(diff)
	}
	if got := parseArgs([]byte(strings.Repeat("a\x00", 1000))); len(got) != maxWords {
		t.Errorf("%d words", len(got))
	}
	if got := parseArgs(nil); got != nil {
		t.Errorf("%q for an empty command line", got)
	}
}

// FuzzProcess: the readers of a process's files take anything.
func FuzzProcess(f *testing.F) {
	f.Add([]byte(statusText))
	f.Add([]byte("7 (a) 1 2) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 1\n"))
	f.Add([]byte("nginx\x00-g\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseStatus(text); err == nil && s.group == 0 {
			t.Errorf("a status without process: %+v", s)
		}
		if parseTime(text) < 0 {
			t.Error("negative time")
		}
		if len(parseArgs(text)) > maxWords {
			t.Error("too many words")
		}
	})
}
