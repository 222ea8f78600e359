package verify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/record"
	"unroot/internal/verify"
)

func facts(t *testing.T, inner string) verify.Facts {
	t.Helper()
	raw := fmt.Appendf(nil, `{"os":"linux","architecture":"amd64","config":%s,"rootfs":{"type":"layers","diff_ids":[]}}`, inner)
	config, err := image.ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	return verify.Facts{
		Image:  &image.Image{Config: raw, Digest: "sha256:" + "1111111111111111111111111111111111111111111111111111111111111111"},
		Config: config,
		Passwd: account.ParsePasswd([]byte("root:x:0:0::/root:/bin/sh\napp:x:101:101::/home/app:/bin/sh\n")),
		Group:  account.ParseGroup([]byte("root:x:0:\napp:x:101:\nextra:x:7:app\n")),
	}
}

const volumeImage = `{"User":"101:0","Cmd":["serve"],"Volumes":{"/data":{},"/run/app/":{}}}`

// TestScenarios: which runs each target makes; every line is a run.
func TestScenarios(t *testing.T) {
	t.Parallel()
	meant := verify.Expect{Recorded: true, Arbitrary: true, Ephemeral: []string{"/run/app", "/tmp"}, Persistent: []string{"/data", "/var/lib/app"}}
	fixedOnly := verify.Expect{Recorded: true}
	for _, c := range []struct {
		name    string
		expect  verify.Expect
		options verify.Options
		want    string
	}{
		{"all", meant, verify.Options{}, `
			fixed,volume-new: fixed 101:0 on fixed
			arbitrary: arbitrary 1000700000:0 on arbitrary
			arbitrary-again: arbitrary-again 1000700001:0 on arbitrary
			read-only: read-only, fixed 101:0 sealed on read-only-fixed
			read-only: read-only, arbitrary 1000700000:0 sealed on read-only-arbitrary
			volume-root(told): volume-root 101:0 on volume-root
			volume-left(told): volume-left 101:0 filled on volume-left`},
		{"docker", meant, verify.Options{Target: "docker"}, `
			fixed,volume-new: fixed 101:0 on fixed
			arbitrary: arbitrary 1000700000:0 on arbitrary
			read-only: read-only, fixed 101:0 sealed on read-only-fixed
			read-only: read-only, arbitrary 1000700000:0 sealed on read-only-arbitrary
			volume-left(told): volume-left 101:0 filled on volume-left`},
		{"kubernetes", fixedOnly, verify.Options{Target: "kubernetes"}, `
			fixed: fixed 101:0 on fixed
			read-only: read-only, fixed 101:0 sealed on read-only-fixed`},
		{"openshift", meant, verify.Options{Target: "openshift"}, `
			arbitrary: arbitrary 1000700000:0 on arbitrary
			arbitrary-again: arbitrary-again 1000700001:0 on arbitrary
			read-only: read-only, arbitrary 1000700000:0 sealed on read-only-arbitrary`},
		{"nothing recorded", verify.Expect{}, verify.Options{Pick: []string{verify.ReadOnly}}, `
			read-only: read-only, fixed 101:0 sealed on read-only-fixed`},
		{"nothing recorded", verify.Expect{}, verify.Options{Target: "kubernetes"}, `
			fixed: fixed 101:0 on fixed
			read-only(told): read-only, fixed 101:0 sealed on read-only-fixed`},
		{"picked", meant, verify.Options{Pick: []string{verify.VolumeLeft, verify.ArbitraryAgain, verify.VolumeNew}}, `
			arbitrary-again,volume-new: arbitrary 1000700000:0 on arbitrary
			arbitrary-again,volume-new: arbitrary-again 1000700001:0 on arbitrary
			volume-left: volume-left 101:0 filled on volume-left`},
		{"picked alone", meant, verify.Options{Pick: []string{verify.VolumeNew}, Target: "openshift"}, `
			volume-new: volume-new 1000700000:0 on volume-new`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			scenarios, err := verify.Scenarios(facts(t, volumeImage), c.expect, c.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.ReplaceAll(strings.TrimSpace(c.want), "\t", ""), strings.Join(lines(scenarios), "\n")); diff != "" {
				t.Error(diff)
			}
			for _, s := range scenarios {
				for _, r := range s.Runs {
					checkConfined(t, r, c.expect)
				}
			}
		})
	}
}

func lines(scenarios []verify.Scenario) []string {
	var out []string
	for _, s := range scenarios {
		for _, r := range s.Runs {
			line := strings.Join(s.Covers, ",")
			if s.Advisory {
				line += "(told)"
			}
			line += fmt.Sprintf(": %s %s", r.Name, r.Identity.User())
			if r.ReadOnly {
				line += " sealed"
			}
			if len(s.Fill) > 0 {
				line += " filled"
			}
			if len(r.Volumes) > 0 {
				line += " on " + strings.TrimSuffix(r.Volumes[0].Name, "-1")
			}
			out = append(out, line)
		}
	}
	return out
}

// checkConfined holds what is true of every scenario.
func checkConfined(t *testing.T, r verify.Run, e verify.Expect) {
	t.Helper()
	if len(r.Caps) > 0 || !r.NoNewPrivs || r.PortStart != 1024 || !r.Trace || r.Identity.UID == 0 {
		t.Errorf("%s is not confined: %+v", r.Name, r)
	}
	var paths []string
	for _, v := range r.Volumes {
		paths = append(paths, v.Path)
	}
	want := []string{"/data", "/run/app"}
	if len(e.Persistent) > 0 {
		want = []string{"/data", "/var/lib/app"} // /run/app is recorded as to be lost
	}
	if !slices.Equal(paths, want) {
		t.Errorf("%s: volumes at %v, want %v", r.Name, paths, want)
	}
	if r.ReadOnly != (len(r.Tmpfs) > 0) && len(e.Ephemeral) > 0 {
		t.Errorf("%s: read-only %t, tmpfs %v", r.Name, r.ReadOnly, r.Tmpfs)
	}
}

// TestScenariosMerge: without volumes nothing outlives a run, and nothing is run twice.
func TestScenariosMerge(t *testing.T) {
	t.Parallel()
	scenarios, err := verify.Scenarios(facts(t, `{"User":"101","Entrypoint":["serve"]}`), verify.Expect{Recorded: true, Arbitrary: true}, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"fixed: fixed 101:101", "arbitrary,arbitrary-again: arbitrary 1000700000:0", "read-only: read-only, fixed 101:101 sealed", "read-only: read-only, arbitrary 1000700000:0 sealed"}
	if diff := cmp.Diff(want, lines(scenarios)); diff != "" {
		t.Error(diff)
	}
}

func TestScenarioErrors(t *testing.T) {
	t.Parallel()
	plain := `{"User":"101","Cmd":["serve"]}`
	for _, c := range []struct {
		config  string
		options verify.Options
		want    string
	}{
		{plain, verify.Options{Pick: []string{"fixd"}}, `no scenario "fixd"; there are fixed, arbitrary, arbitrary-again, read-only, volume-new, volume-root, volume-left`},
		{plain, verify.Options{Target: "swarm"}, `no target "swarm"; there are docker, kubernetes, openshift`},
		{plain, verify.Options{Pick: []string{"volume-left"}}, `scenario "volume-left": the image has no volume`},
		{`{"User":"101"}`, verify.Options{}, "the image names no command"},
		{`{"User":"nobody-there","Cmd":["x"]}`, verify.Options{}, "no matching entries in passwd file"},
	} {
		_, err := verify.Scenarios(facts(t, c.config), verify.Expect{}, c.options)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.options, err, c.want)
		}
	}
}

func TestBaselineRun(t *testing.T) {
	t.Parallel()
	f := facts(t, `{"Entrypoint":["/entry"],"Cmd":["serve","-p","80"],"WorkingDir":"srv","Env":["A=1","PATH=/opt/bin","A=2"],"StopSignal":"quit","Healthcheck":{"Test":["CMD","up"]}}`)
	r, err := verify.Baseline(f, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := verify.Run{
		Name: "baseline", Image: f.Image, Digest: f.Image.Digest.String(), Identity: account.Identity{Name: "root", Home: "/root"},
		Args: []string{"/entry", "serve", "-p", "80"}, Env: []string{"PATH=/opt/bin", "HOSTNAME=unroot", "A=2", "HOME=/root"}, Dir: "/srv", Hostname: "unroot",
		Caps: verify.EngineCaps, Trace: true, Probes: []verify.Probe{{Kind: "generic"}}, Health: []string{"CMD", "up"}, Stop: "SIGQUIT",
		Settle: verify.DefaultSettle, Timeout: verify.DefaultTimeout,
	}
	if diff := cmp.Diff(want, r, cmp.Comparer(func(a, b *image.Image) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	r, err = verify.Baseline(f, verify.Options{Args: []string{"--version"}, Timeout: time.Second})
	if err != nil || !slices.Equal(r.Args, []string{"/entry", "--version"}) || r.Timeout != time.Second {
		t.Errorf("%v %v %v", r.Args, r.Timeout, err)
	}
}

func TestEnvironmentAndSignals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ config, home, stop string }{
		{`{"User":"101","Cmd":["x"]}`, "HOME=/home/app", "SIGTERM"},
		{`{"User":"4711","Cmd":["x"],"StopSignal":"3"}`, "HOME=/", "SIGQUIT"},
		{`{"User":"app","Cmd":["x"],"Env":["HOME=/srv"],"StopSignal":"SIGRTMIN+3"}`, "HOME=/srv", "SIGRTMIN+3"},
		{`{"User":"app","Cmd":["x"],"StopSignal":"please"}`, "HOME=/home/app", "SIGTERM"},
		{`{"User":"app","Cmd":["x"],"StopSignal":"99","Healthcheck":{"Test":["NONE"]}}`, "HOME=/home/app", "SIGTERM"},
	} {
		f := facts(t, c.config)
		id, err := f.Identity()
		if err != nil {
			t.Fatal(err)
		}
		r, err := verify.Candidate(f, "x", id, verify.Options{PortStart: -1})
		if err != nil || !slices.Contains(r.Env, c.home) || r.Stop != c.stop || len(r.Health) > 0 || r.PortStart != 0 {
			t.Errorf("%s: %v %s %v %v", c.config, r.Env, r.Stop, r.Health, err)
		}
	}
}

func TestRefuteConfig(t *testing.T) {
	t.Parallel()
	for user, want := range map[string]verify.ReasonID{
		"": verify.ConfigRoot, "0": verify.ConfigRoot, "root": verify.ConfigRoot, "00:101": verify.ConfigRoot, "ghost": verify.NotStarted, "-1": verify.NotStarted,
	} {
		v, refuted := verify.RefuteConfig(facts(t, fmt.Sprintf(`{"User":%q,"Cmd":["x"]}`, user)))
		if !refuted {
			t.Errorf("User %q is not refuted", user)
			continue
		}
		want1(t, v, want)
	}
	for _, user := range []string{"101", "app", "65532:0", "1000700000"} {
		if v, refuted := verify.RefuteConfig(facts(t, fmt.Sprintf(`{"User":%q}`, user))); refuted {
			t.Errorf("User %q is refuted: %+v", user, v)
		}
	}
}

func want1(t *testing.T, v verify.Verdict, id verify.ReasonID) {
	t.Helper()
	want(t, v, verify.Refuted, id)
}

func TestExpectFromRecord(t *testing.T) {
	t.Parallel()
	got := verify.ExpectFromRecord(record.Record{
		Version: 1, User: "101:0", Arbitrary: true, Ports: []record.Port{{From: 80, To: 8080, Proto: "tcp"}}, Ephemeral: []string{"/run"}, Persistent: []string{"/data"},
		Open: []record.Open{{ID: "x", Path: "/p", What: "something"}},
	})
	want := verify.Expect{
		Recorded: true, Arbitrary: true, Ports: []verify.Port{{From: 80, To: 8080, Proto: "tcp"}}, Ephemeral: []string{"/run"}, Persistent: []string{"/data"},
		Open: []verify.Open{{ID: "x", Path: "/p", What: "something"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
