package check_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/check"
	"unroot/internal/finding"
	"unroot/internal/imagetest"
	"unroot/internal/survey"
)

const accounts = `-- layer --
d 0755 0:0 /etc
d 0775 1000:0 /home/app
-- /usr/bin/app 0755 elf --
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
toor:x:0:0::/root:/bin/sh
wrapped:x:4294967296:0::/root:/bin/sh
garbled:x:zero:0::/root:/bin/sh
app:x:1000:1000::/home/app:/bin/sh
-- /etc/group --
root:x:0:
app:x:1000:
wheel:x:0:
`

// TestSpellings: root in every spelling, and what only looks like it.
func TestSpellings(t *testing.T) {
	t.Parallel()
	tests := map[string]string{ // USER → the checks of the user that find something
		"": "run-as-root", "0": "run-as-root", "0:0": "run-as-root", "00": "run-as-root", "+0": "run-as-root", "-0": "run-as-root",
		"000:1000": "run-as-root", "root": "run-as-root", "root:app": "run-as-root", "root:1000": "run-as-root", "toor": "run-as-root",
		"toor:toor": "user-unknown", // the group does not exist: nothing starts
		":":         "run-as-root", ":0": "run-as-root", ":1000": "run-as-root", "0:": "run-as-root",
		"wrapped": "run-as-root", // runtimes cut the number to 32 bits
		"garbled": "run-as-root", // what is no number is 0 for runtimes
		"root:x":  "user-unknown",
		"1000":    "", "1000:0": "", "1000:1000": "", "01000": "", "1000:wheel": "", "1000:": "",
		"app": "user-name", "app:0": "user-name", "app:app": "user-name", "app:": "user-name",
		"4000": "no-account", "4000:0": "no-account",
		"ghost": "user-unknown", "app:ghosts": "user-unknown", "2147483648": "user-unknown", "99999999999999999999": "user-unknown", "-1": "user-unknown",
		" 0": "user-unknown", "ROOT": "user-unknown", "0x0": "user-unknown", "1e3": "user-unknown",
	}
	for user, want := range tests {
		t.Run(fmt.Sprintf("%q", user), func(t *testing.T) {
			t.Parallel()
			s := imagetest.Survey(t, fmt.Sprintf("-- config --\n{\"User\":%q,\"Cmd\":[\"/usr/bin/app\"]}\n", user)+accounts)
			var got []string
			for _, f := range check.Image(s, false) {
				switch f.ID {
				case "run-as-root", "user-name", "user-unknown", "no-account":
					got = append(got, f.ID)
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}

// TestFindingsAreComplete: every finding has what reports and other tools need, once.
func TestFindingsAreComplete(t *testing.T) {
	t.Parallel()
	s := imagetest.Survey(t, `-- config --
{"Entrypoint":["/entrypoint.sh"],"Cmd":["/usr/bin/app","-c","/etc/app.conf"],"ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},"WorkingDir":"/srv"}
`+accounts+`-- /bin/sh 0755 elf --
-- /usr/bin/su 4755 elf --
-- /etc/app.conf 0600 --
pid_file = /run/app.pid
listen = 0.0.0.0:80
-- /entrypoint.sh 0744 --
#!/bin/sh
set -e
chown -R app /data
exec gosu app "$@"
`)
	found := check.Image(s, false)
	if len(found) < 8 {
		t.Fatalf("only %d findings", len(found))
	}
	for i, f := range found {
		c, ok := check.Find(f.ID)
		if !ok || f.Reason != c.Title || f.Location == (finding.Location{}) || f.Detail == "" || f.Hint == "" || f.Location.String() == "" {
			t.Errorf("incomplete: %+v", f)
		}
		if strings.ContainsAny(f.Detail+f.Hint+f.Reason, "\n\r") {
			t.Errorf("more than one line: %+v", f)
		}
		if i > 0 && finding.Compare(found[i-1], f) >= 0 {
			t.Errorf("%+v stands before %+v", found[i-1], f)
		}
		for _, e := range f.Edits {
			content, err := s.View.Content(f.Location.Path)
			if err != nil || e.Start < 0 || e.End < e.Start || e.End > len(content) {
				t.Errorf("edit %+v of %s lies outside", e, f.Location)
			}
		}
	}
	for range 20 {
		if diff := cmp.Diff(found, check.Image(s, false)); diff != "" {
			t.Fatalf("another run finds others:\n%s", diff)
		}
	}
}

func TestClosing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		dedicated  bool
		want       []string
	}{
		{"works everywhere", `{"User":"1000:0","Env":["HOME=/home/app"],"Cmd":["/usr/bin/app"],"ExposedPorts":{"8080/tcp":{}}}`, false, []string{
			"runs as root now: no", "runs as uid 1000:0 (app): yes", "runs as an arbitrary uid in group 0: yes",
			"runs with a read-only root file system: yes", "its ports work on every engine: yes",
		}},
		{"root", `{"Cmd":["/usr/bin/app"],"Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{}}}`, false, []string{
			"runs as root now: yes", "runs as uid 1000:0 (app): no, it cannot write /data", "runs as an arbitrary uid in group 0: no, it cannot write /data",
			"runs with a read-only root file system: yes, with a volume on /data",
			"its ports work on every engine: no, 80: only where net.ipv4.ip_unprivileged_port_start is lowered: Docker since 20.10 and containerd's CRI since 2.0 do it by themselves, Podman and CRI-O (OpenShift) do not",
		}},
		{"dedicated", `{"User":"1000","Cmd":["/usr/bin/app"],"WorkingDir":"/home/app"}`, true, []string{
			"runs as root now: no", "runs as uid 1000:1000 (app): yes",
			"runs with a read-only root file system: yes, with a volume on /home/app", "its ports work on every engine: yes",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, a := range check.Closing(imagetest.Survey(t, "-- config --\n"+tt.text+"\n"+accounts), tt.dedicated) {
				got = append(got, a.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNothingIsSurveyed: checks stand an image in which nothing is.
func TestNothingIsSurveyed(t *testing.T) {
	t.Parallel()
	s := survey.Make(imagetest.View(t, imagetest.Parse(t, "-- config --\n{}\n")))
	for _, f := range check.Image(s, false) {
		if _, ok := check.Find(f.ID); !ok {
			t.Errorf("finding of no check: %+v", f)
		}
	}
	check.Closing(s, true)
}
