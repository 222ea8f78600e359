//go:build linux && (amd64 || arm64)

package tracer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unroot/internal/oracle"
	"unroot/internal/trace"
)

// The tests whose names begin with TestCore need no other program: they run on an emulated machine.

func TestCoreThreadsLoseNothing(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	path := filepath.Join(dir, "locked")
	if err := os.WriteFile(path, nil, 0); err != nil {
		t.Fatal(err)
	}
	stages := []string{StageName, oldKernelStage, peekStage}
	if emulated {
		stages = stages[:1]
	}
	for _, stage := range stages {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			r := traced{stage: stage, play: "threads", args: []string{path}, flags: []string{"-events", "1000000"}}.run(t)
			got := r.find(func(e trace.Event) bool { return e.Kind == trace.Open && e.Path == path && e.Errno == "EACCES" })
			if len(got) != 8000 || r.status != 0 {
				t.Errorf("%d events, status %d, %s", len(got), r.status, r.stderr)
			}
		})
	}
}

func TestCoreLimitOfEvents(t *testing.T) {
	t.Parallel()
	dir := openFolder(t)
	path := filepath.Join(dir, "locked")
	if err := os.WriteFile(path, nil, 0); err != nil {
		t.Fatal(err)
	}
	if emulated {
		t.Skip("the machine has nothing to do with it, and 8000 calls take long here")
	}
	r := traced{play: "threads", args: []string{path}, flags: []string{"-events", "100"}}.run(t)
	if len(r.log.Events) != 100 || r.log.Total < 8000 || r.log.Lost != "limit of 100 events" {
		t.Errorf("%d events of %d, lost %q", len(r.log.Events), r.log.Total, r.log.Lost)
	}
}

func TestCoreEnds(t *testing.T) {
	t.Parallel()
	for play, want := range map[string]trace.Event{
		"exit":  {Status: 7},
		"crash": {Signal: "SIGKILL"},
	} {
		r := traced{play: play}.run(t)
		last := r.log.Events[len(r.log.Events)-1]
		if last.Kind != trace.Exit || last.Status != want.Status || last.Signal != want.Signal {
			t.Errorf("%s: last event %+v", play, last)
		}
		if status := map[string]int{"exit": 7, "crash": 137}[play]; r.status != status {
			t.Errorf("%s: status %d", play, r.status)
		}
	}
}

func TestCoreFiles(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{StageName, oldKernelStage, procMemStage, peekStage} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			dir := openFolder(t)
			if err := os.Mkdir(filepath.Join(dir, "locked"), 0); err != nil {
				t.Fatal(err)
			}
			r := traced{stage: stage, play: "files", args: []string{dir}}.run(t)
			if r.status != 0 {
				t.Fatalf("status %d: %s", r.status, r.stderr)
			}
			var got []string
			for _, e := range r.log.Events {
				if strings.HasPrefix(e.Path, dir+"/") {
					got = append(got, strings.Join([]string{string(e.Kind), e.Path[len(dir):], strings.TrimPrefix(e.Target, dir), e.Want, string(e.Errno)}, " "))
				}
			}
			want := []string{
				"open /made  rwct ", "mode /made   ", "make /sub   ", "open /sub   ", "link /sub/link ../made  ", "rename /sub/link /moved  ",
				"mode /made   ", "remove /moved   ", "make /fifo   ", "remove /sub   ", "open /sub/inside  wc ENOENT", "open /missing/x  w ENOENT",
				"owner /made   EPERM", "open /locked/file  r EACCES", "look /locked/file  r EACCES",
			}
			if !slices.Equal(got, want) {
				t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			owner := r.find(func(e trace.Event) bool { return e.Kind == trace.Owner })
			if len(owner) != 1 || !slices.Equal(owner[0].IDs, []int64{0, 0}) {
				t.Errorf("owner %+v", owner)
			}
		})
	}
}

func TestCoreSockets(t *testing.T) {
	t.Parallel()
	r := traced{play: "sockets"}.run(t)
	var got []string
	for _, e := range r.log.Events {
		if e.Addr != "" {
			addr, _, _ := strings.Cut(e.Addr, "-test-")
			got = append(got, string(e.Kind)+" "+addr)
		}
	}
	want := []string{"bind tcp 127.0.0.1:0", "listen tcp 127.0.0.1:0", "bind udp [::1]:0", "bind unix @unroot", "listen unix @unroot", "socket packet dgram"}
	if !slices.Equal(got, want) || r.status != 0 {
		t.Errorf("%q, want %q\n%s", got, want, r.stderr)
	}
}

// TestCoreRefusedByTheProfile sees what a filter of the engine would hide, and the program is told the same.
func TestCoreRefusedByTheProfile(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{StageName, oldKernelStage} {
		r := traced{stage: stage, play: "refused", flags: []string{"-profile"}}.run(t)
		const eperm = "operation not permitted\n"
		if r.stdout != eperm+eperm+eperm+eperm+"<nil>\n" {
			t.Errorf("the program was told %q", r.stdout)
		}
		hidden := r.find(func(e trace.Event) bool { return e.Hidden })
		var got []string
		for _, e := range hidden {
			got = append(got, string(e.Kind)+" "+e.Call+" "+string(e.Errno))
		}
		if !slices.Equal(got, []string{"space unshare EPERM", "mount mount EPERM", "machine keyctl EPERM", "socket socket EPERM"}) {
			t.Errorf("hidden: %q", got)
		}
		plain := traced{stage: stage, play: "refused", flags: []string{"-profile", "-trace=false"}}.run(t)
		if plain.stdout != r.stdout || len(plain.log.Events) != 0 {
			t.Errorf("without a tracer it was told %q", plain.stdout)
		}
	}
}

func TestCoreTree(t *testing.T) {
	t.Parallel()
	r := traced{play: "tree"}.run(t)
	count := map[trace.Kind]int{}
	parent := map[int]int{}
	for _, e := range r.log.Events {
		count[e.Kind]++
		if e.Kind == trace.Fork {
			parent[e.Child] = e.PID
		}
	}
	// 2 + 4 + … + 64 processes beside the first; the 63 that have children try once whether the
	// kernel has pidfds (os.checkPidfd), with a child each
	if count[trace.Fork] != 126+63 || count[trace.Exec] != 127 || count[trace.Exit] != 127+63 || len(parent) != 126+63 {
		t.Errorf("%v", count)
	}
	if r.status != 0 {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
}

func TestCoreLimitOfProcesses(t *testing.T) {
	t.Parallel()
	r := traced{play: "tree", flags: []string{"-processes", "20"}}.run(t)
	if r.status != failure || !strings.Contains(r.stderr, "too many processes") {
		t.Errorf("status %d: %s", r.status, r.stderr)
	}
}

func TestCoreCredentials(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	r := traced{play: "drop"}.run(t)
	first, last := r.log.Events[0], r.log.Events[len(r.log.Events)-1]
	if first.Kind != trace.Exec || first.Creds == nil || !first.Creds.Root() || first.Creds.Caps == 0 || !first.Creds.NoNewPriv {
		t.Errorf("begins with %+v %+v", first, first.Creds)
	}
	if last.Kind != trace.Exit || last.Creds == nil || last.Creds.Root() || last.Creds.Caps != 0 || last.Creds.GIDs[3] != 65534 {
		t.Errorf("ends with %+v %+v", last, last.Creds)
	}
	ids := r.find(func(e trace.Event) bool { return e.Call == "setresuid" })
	if len(ids) == 0 || !slices.Equal(ids[0].IDs, []int64{65534, 65534, 65534}) {
		t.Errorf("setresuid: %+v", ids)
	}
}

func TestCoreCannotStart(t *testing.T) {
	t.Parallel()
	r := traced{args: []string{"/proc/no/such"}}.run(t)
	if e := r.one(t, trace.Exec, "/proc/no/such"); e.Errno != "ENOENT" || r.status != 127 {
		t.Errorf("status %d: %+v", r.status, e)
	}
}
