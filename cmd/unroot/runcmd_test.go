package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/account"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// fakeRunner runs nothing: it keeps what it was asked for, and answers what a test says.
type fakeRunner struct {
	runs   []verify.Run
	answer func(verify.Run) (verify.Outcome, error)
	closed int
}

func (f *fakeRunner) Run(_ context.Context, r verify.Run, _ func(verify.Progress)) (verify.Outcome, error) {
	f.runs = append(f.runs, r)
	return f.answer(r)
}

func (f *fakeRunner) Name() string { return "fake" }

func (f *fakeRunner) Close() error {
	f.closed++
	return nil
}

// commandWith runs one command line in this process, with that runner in place of every other.
func commandWith(t *testing.T, f *fakeRunner, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), &world{
		in: strings.NewReader(""), out: &out, err: &err, args: append([]string{args[0], "--no-cache"}, args[1:]...), env: func(string) string { return "" },
		runner: func(context.Context, runnerAsk) (verify.Runner, error) { return f, nil },
	})
	return out.String(), err.String(), code
}

func exited(status int) func(verify.Run) (verify.Outcome, error) {
	return func(r verify.Run) (verify.Outcome, error) {
		return verify.Outcome{Run: r, End: verify.EndExited, Status: status}, nil
	}
}

// TestRunOf wants the run that engines make of an image's config, and what flags change in it.
func TestRunOf(t *testing.T) {
	inFolder(t, "app")
	base := verify.Run{
		Name: "run", Identity: account.Identity{Name: "root", Home: "/root"},
		Args:     []string{"/usr/bin/app", "/etc/app/app.conf"},
		Env:      []string{"PATH=/usr/bin:/bin", "HOSTNAME=unroot", "HOME=/root"},
		Dir:      "/",
		Hostname: "unroot", Caps: verify.EngineCaps, PortStart: 1024, Exits: true, Stop: "SIGTERM", Settle: verify.DefaultSettle,
		Volumes: []verify.Volume{{Name: "volume-1", Path: "/var/lib/app", Seed: verify.SeedImage}},
	}
	for name, c := range map[string]struct {
		args []string
		want func(*verify.Run)
	}{
		"as the image says": {nil, func(*verify.Run) {}},
		"as a user": {[]string{"--as", "1000700000:0"}, func(r *verify.Run) {
			r.Identity, r.Caps, r.NoNewPrivs = account.Identity{UID: 1000700000}, nil, true
			r.Env = []string{"PATH=/usr/bin:/bin", "HOSTNAME=unroot", "HOME=/"}
		}},
		"as a name": {[]string{"--as", "app"}, func(r *verify.Run) {
			r.Identity, r.Caps, r.NoNewPrivs = account.Identity{UID: 999, GID: 999, Name: "app", Home: "/var/lib/app"}, nil, true
			r.Env = []string{"PATH=/usr/bin:/bin", "HOSTNAME=unroot", "HOME=/var/lib/app"}
		}},
		"flags": {
			[]string{"--read-only", "--tmpfs", "/run", "--tmpfs", "/var/lib/app", "--env", "A=b", "--env", "HOME=/x", "--workdir", "/tmp", "--memory", "64M", "--timeout", "3s", "--port-start", "0"},
			func(r *verify.Run) {
				r.ReadOnly, r.Tmpfs, r.Volumes, r.Dir, r.PortStart = true, []string{"/run", "/var/lib/app"}, nil, "/tmp", 0
				r.Env = []string{"PATH=/usr/bin:/bin", "HOSTNAME=unroot", "HOME=/x", "A=b"}
				r.Limits.Memory, r.Timeout = 64<<20, 3*time.Second
			},
		},
		"arguments": {[]string{"--", "--frob", "-x"}, func(r *verify.Run) {
			r.Args = []string{"/usr/bin/app", "/etc/app/app.conf", "--frob", "-x"}
		}},
		"another program": {[]string{"--entrypoint", "id", "--", "-u"}, func(r *verify.Run) { r.Args = []string{"id", "-u"} }},
	} {
		f := &fakeRunner{answer: exited(0)}
		_, stderr, code := commandWith(t, f, append([]string{"run", "oci:app:v1"}, c.args...)...)
		if code != 0 || len(f.runs) != 1 || f.closed != 1 {
			t.Errorf("%s: exit code %d, %d runs, closed %d times: %s", name, code, len(f.runs), f.closed, stderr)
			continue
		}
		got, want := f.runs[0], base
		c.want(&want)
		if got.Image == nil || got.Streams == nil || got.Digest != got.Image.Digest.String() {
			t.Errorf("%s: no image, no streams or another digest: %+v", name, got)
		}
		got.Image, got.Streams, got.Digest = nil, nil, ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

// TestRunEnds maps what came of a run to the exit code.
func TestRunEnds(t *testing.T) {
	inFolder(t, "app")
	for name, c := range map[string]struct {
		outcome verify.Outcome
		err     error
		code    int
		want    string
	}{
		"good":      {verify.Outcome{End: verify.EndExited}, nil, 0, ""},
		"status":    {verify.Outcome{End: verify.EndExited, Status: 42}, nil, 42, ""},
		"signal":    {verify.Outcome{End: verify.EndExited, Status: 139}, nil, 139, ""},
		"timeout":   {verify.Outcome{End: verify.EndTimeout}, nil, 124, "unroot: running \"oci:app:v1\": ended after 5s\n"},
		"memory":    {verify.Outcome{End: verify.EndLimit, Limit: "memory"}, nil, 137, "unroot: running \"oci:app:v1\": ended at the limit of memory\nhint: --memory raises it\n"},
		"not there": {verify.Outcome{End: verify.EndFailed, Status: 127, Error: "no such file"}, nil, 127, "unroot: running \"oci:app:v1\": no such file\n"},
		"no start":  {verify.Outcome{End: verify.EndFailed, Error: "no space"}, nil, 125, "unroot: running \"oci:app:v1\": no space\n"},
		"no runner": {verify.Outcome{}, fmt.Errorf("%w: no namespaces", verify.ErrUnavailable), 125, "unroot: running \"oci:app:v1\": cannot run images here: no namespaces\n"},
	} {
		f := &fakeRunner{answer: func(verify.Run) (verify.Outcome, error) { return c.outcome, c.err }}
		stdout, stderr, code := commandWith(t, f, "run", "oci:app:v1", "--timeout", "5s")
		if code != c.code || stderr != c.want || stdout != "" {
			t.Errorf("%s: %d, %q, %q; want %d, %q", name, code, stdout, stderr, c.code, c.want)
		}
	}
}

// TestRunBadUsage wants 125 for everything that is unroot's own failure: other codes are the program's.
func TestRunBadUsage(t *testing.T) {
	inFolder(t, "app", "tools")
	f := &fakeRunner{answer: func(verify.Run) (verify.Outcome, error) { return verify.Outcome{}, errors.New("it ran") }}
	for line, want := range map[string]string{
		"run":                             "unroot: run takes an IMAGE\nhint: usage: ",
		"run oci:app:v1 ls":               "unroot: run takes one IMAGE, and \"ls\" is another argument\nhint: put -- before what the program gets: ",
		"run oci:app:v1 --frob":           "unroot: unknown flag --frob\n",
		"run oci:none:v1":                 "unroot: opening \"oci:none:v1\": ",
		"run oci:app:v1 --as nobody-here": "unroot: running \"oci:app:v1\": unable to find user nobody-here: ",
		"run oci:app:v1 --as -4":          "unroot: running \"oci:app:v1\": parsing user \"-4\": uids and gids must be in range",
		"run oci:app:v1 --tmpfs run":      "unroot: --tmpfs \"run\": not an absolute path\nhint: ",
		"run oci:app:v1 --workdir srv":    "unroot: --workdir \"srv\": not an absolute path\nhint: ",
		"run oci:app:v1 --env A":          "unroot: --env \"A\": not an assignment\nhint: ",
		"run oci:app:v1 --timeout -3s":    "unroot: --timeout -3s: not a time to wait\nhint: ",
		"run oci:app:v1 --timeout soon":   "unroot: --timeout \"soon\": ",
		"run oci:app:v1 --port-start -1":  "unroot: --port-start -1: not a port\nhint: ",
		"run oci:app:v1 --memory much":    "unroot: --memory \"much\": not a size such as 64K, 200M or 1G\n",
		"run oci:app:v1 --trace no/where": "unroot: writing the trace: ",
	} {
		_, stderr, code := commandWith(t, f, strings.Fields(line)...)
		if code != exitOwnFailure || !strings.HasPrefix(stderr, want) || strings.Contains(stderr, "pflag") {
			t.Errorf("%s: %d, %q; want %q", line, code, stderr, want)
		}
	}
	if len(f.runs) > 0 {
		t.Errorf("%d runs", len(f.runs))
	}
}

// TestRunTrace wants one event a line, in a file or on standard output, and a note where some are missing.
func TestRunTrace(t *testing.T) {
	inFolder(t, "app")
	log := trace.Log{Events: []trace.Event{{Seq: 1, Kind: trace.Exec, Path: "/a<b"}, {Seq: 2, Kind: trace.Exit}}, Total: 9, Lost: "limit of 2 events"}
	f := &fakeRunner{answer: func(r verify.Run) (verify.Outcome, error) {
		if !r.Trace {
			t.Error("the run is not traced")
		}
		return verify.Outcome{End: verify.EndExited, Status: 3, Trace: log}, nil
	}}
	const want = `{"seq":1,"at":0,"pid":0,"kind":"exec","call":"","path":"/a<b"}` + "\n" + `{"seq":2,"at":0,"pid":0,"kind":"exit","call":""}` + "\n"
	file := filepath.Join(t.TempDir(), "events.jsonl")
	_, stderr, code := commandWith(t, f, "run", "oci:app:v1", "--trace", file)
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want || code != 3 {
		t.Errorf("%d, %v: %q", code, err, got)
	}
	if stderr != "note: the trace has 2 of 9 events: limit of 2 events\n" {
		t.Errorf("%q", stderr)
	}
	if stdout, _, _ := commandWith(t, f, "run", "oci:app:v1", "--trace", "-"); stdout != want {
		t.Errorf("%q", stdout)
	}
}
