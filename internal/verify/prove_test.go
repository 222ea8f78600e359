package verify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/verify"
)

// recorded is a runner that gives outcomes from a table, by the run's name.
type recorded struct {
	t     *testing.T
	give  func(r verify.Run) (verify.Outcome, error)
	asked []verify.Run
}

func (r *recorded) Run(_ context.Context, run verify.Run, watch func(verify.Progress)) (verify.Outcome, error) {
	r.asked = append(r.asked, run)
	watch(verify.Progress{Run: run.Name, What: "runs"})
	o, err := r.give(run)
	o.Run = run
	return o, err
}
func (r *recorded) Name() string { return "recorded" }
func (r *recorded) Close() error { return nil }

func (r *recorded) names() string {
	var names []string
	for _, run := range r.asked {
		names = append(names, run.Name)
	}
	return strings.Join(names, "; ")
}

// honest runs web and a candidate of it that works in every scenario.
func honest(run verify.Run) (verify.Outcome, error) {
	if strings.HasPrefix(run.Name, "baseline") {
		return web(), nil
	}
	o := webUser()
	creds := userCreds(run.Identity.UID)
	for i := range o.Processes {
		o.Processes[i].Creds = creds
	}
	o.Seen = nil
	for i, e := range o.Trace.Events {
		if e.Creds != nil {
			o.Trace.Events[i].Creds = &creds
		}
	}
	return o, nil
}

func provable(t *testing.T, volumes string) verify.Case {
	t.Helper()
	base := facts(t, `{"Cmd":["nginx"],"Volumes":{`+volumes+`}}`)
	base.Image.Digest = "sha256:" + "2222222222222222222222222222222222222222222222222222222222222222"
	e := moved()
	e.Persistent = []string{"/data"}
	return verify.Case{
		Candidate: facts(t, `{"User":"101:0","Cmd":["nginx"],"Volumes":{"/data":{}}}`), Baseline: &base, Expect: e,
		CandidateRef: "docker://example/app:2", BaselineRef: "docker://example/app:1", Unroot: "test",
		Others: []verify.Tested{{Platform: "linux/arm64", Verdict: verify.Unproven, Why: "it does not run here"}},
	}
}

func prove(t *testing.T, c verify.Case, give func(verify.Run) (verify.Outcome, error)) (verify.Proof, *recorded) {
	t.Helper()
	r := &recorded{t: t, give: give}
	steps := 0
	p, err := verify.Prove(t.Context(), c, r, func(verify.Progress) { steps++ })
	if err != nil {
		t.Fatal(err)
	}
	if steps != len(r.asked) {
		t.Errorf("%d steps of %d runs were told", steps, len(r.asked))
	}
	return p, r
}

func TestProve(t *testing.T) {
	t.Parallel()
	p, r := prove(t, provable(t, `"/data":{}`), honest)
	if p.Verdict != verify.Proven || len(p.Results) != 7 || p.Except != nil || p.Platforms[0].Verdict != verify.Proven || p.Platforms[1].Verdict != verify.Unproven {
		t.Errorf("%+v", p)
	}
	// The baseline declares the volume itself, so that the run that is compared leaves its data too.
	want := "baseline; fixed; arbitrary; arbitrary-again; read-only, fixed; read-only, arbitrary; volume-root; volume-left"
	if r.names() != want {
		t.Errorf("ran %s, want %s", r.names(), want)
	}
	if !slices.Equal(r.asked[0].Volumes, r.asked[7].Volumes) || r.asked[0].Volumes[0].Name != "volume-left-1" {
		t.Errorf("volumes %v and %v", r.asked[0].Volumes, r.asked[7].Volumes)
	}
	await := []verify.Socket{{Proto: "tcp", Address: "0.0.0.0", Port: 8080}, {Proto: "tcp", Address: "::", Port: 8080}, {Proto: "tcp", Address: "127.0.0.1", Port: 9000}, {Proto: "unix", Address: "/run/helper.sock"}}
	if diff := cmp.Diff(await, r.asked[1].Await); diff != "" {
		t.Error(diff)
	}
	if p.Took != 8000 || p.Runner != "recorded" || p.Original == nil || p.Baseline.Digest == p.Candidate.Digest {
		t.Errorf("%+v", p)
	}

	_, r = prove(t, provable(t, ""), honest)
	if want := strings.Replace(want, "volume-left", "baseline, to fill volumes; volume-left", 1); r.names() != want {
		t.Errorf("ran %s, want %s", r.names(), want)
	}
}

func TestProveReuses(t *testing.T) {
	t.Parallel()
	c := provable(t, "")
	ran := web()
	c.Ran, c.Options.Target = &ran, "kubernetes"
	p, r := prove(t, c, honest)
	if p.Verdict != verify.Proven || r.names() != "fixed; arbitrary; read-only, fixed; read-only, arbitrary" {
		t.Errorf("%s: %s", p.Verdict, r.names())
	}
}

// TestProveWorst: the whole is as good as its worst part; advisory parts are named, and only root counts.
func TestProveWorst(t *testing.T) {
	t.Parallel()
	fails := func(name string, how func(*verify.Outcome)) func(verify.Run) (verify.Outcome, error) {
		return func(run verify.Run) (verify.Outcome, error) {
			o, err := honest(run)
			if run.Name == name {
				how(&o)
			}
			return o, err
		}
	}
	gone := func(o *verify.Outcome) { o.Sockets = nil }
	root := func(o *verify.Outcome) { o.Processes[0].Creds = rootCreds }
	for _, c := range []struct {
		name   string
		how    func(*verify.Outcome)
		want   verify.Word
		except string
	}{
		{verify.Fixed, gone, verify.Refuted, ""},
		{verify.ArbitraryAgain, gone, verify.Refuted, ""},
		{"read-only, arbitrary", root, verify.Refuted, ""},
		{verify.VolumeLeft, gone, verify.Proven, verify.VolumeLeft},
		{verify.VolumeRoot, root, verify.Refuted, ""},
		{verify.Fixed, func(o *verify.Outcome) { o.Health = nil }, verify.Unproven, ""},
		{"baseline", func(o *verify.Outcome) { o.End = verify.EndTimeout }, verify.Unproven, "volume-root volume-left"},
	} {
		p, _ := prove(t, provable(t, `"/data":{}`), fails(c.name, c.how))
		if p.Verdict != c.want || strings.Join(p.Except, " ") != c.except {
			t.Errorf("%s fails: %s except %v, want %s", c.name, p.Verdict, p.Except, c.want)
		}
		roundTrip(t, p)
	}
}

func TestProveNothing(t *testing.T) {
	t.Parallel()
	c := provable(t, "")
	c.Candidate = facts(t, `{"Cmd":["nginx"]}`)
	p, r := prove(t, c, honest)
	if p.Verdict != verify.Refuted || len(r.asked) != 0 || p.Reasons[0].ID != verify.ConfigRoot {
		t.Errorf("%s after %q: %+v", p.Verdict, r.names(), p.Reasons)
	}
	roundTrip(t, p)

	c = provable(t, "")
	c.Baseline = nil
	p, _ = prove(t, c, honest)
	if p.Verdict != verify.Unproven || p.Results[0].Reasons[0].ID != verify.NoBaseline {
		t.Errorf("without a baseline: %+v", p)
	}

	p, _ = prove(t, provable(t, ""), func(verify.Run) (verify.Outcome, error) {
		return verify.Outcome{}, fmt.Errorf("%w: install newuidmap", verify.ErrUnavailable)
	})
	if p.Verdict != verify.Unproven || !strings.Contains(p.Reasons[0].Text, "install newuidmap") || p.Reasons[0].ID != verify.NoRunner {
		t.Errorf("without a runner: %+v", p)
	}
	roundTrip(t, p)

	c = provable(t, "")
	base := facts(t, `{}`)
	c.Baseline = &base
	if p, _ = prove(t, c, honest); p.Verdict != verify.Unproven || p.Reasons[0].ID != verify.BaselineFails {
		t.Errorf("a baseline without a command: %+v", p)
	}

	c = provable(t, "")
	c.Scenarios = []verify.Scenario{}
	if p, _ = prove(t, c, honest); p.Verdict != verify.Unproven || p.Reasons[0].ID != verify.NothingRun {
		t.Errorf("no scenario: %+v", p)
	}
}

func TestProveErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	r := &recorded{t: t, give: func(verify.Run) (verify.Outcome, error) { return verify.Outcome{}, broken }}
	if _, err := verify.Prove(t.Context(), provable(t, ""), r, nil); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.give = honest
	if _, err := verify.Prove(ctx, provable(t, ""), r, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestProveProbes: the user asks the candidate; the baseline is asked the same at the port that moved.
func TestProveProbes(t *testing.T) {
	t.Parallel()
	c := provable(t, "")
	c.Options = verify.Options{Target: "kubernetes", Probes: []verify.Probe{
		{Kind: "http", Address: "http://127.0.0.1:8080/"}, {Kind: "exec", Args: []string{"curl", "localhost:8080"}}, {Kind: "unix", Address: "/run/a:8080"}, {Kind: "udp", Address: "127.0.0.1:8080"},
	}}
	_, r := prove(t, c, honest)
	want := []verify.Probe{
		{Kind: "http", Address: "http://127.0.0.1:80/"}, {Kind: "exec", Args: []string{"curl", "localhost:80"}}, {Kind: "unix", Address: "/run/a:8080"}, {Kind: "udp", Address: "127.0.0.1:8080"},
	}
	if diff := cmp.Diff(want, r.asked[0].Probes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(c.Options.Probes, r.asked[1].Probes); diff != "" {
		t.Error(diff)
	}
}

func TestFollowing(t *testing.T) {
	t.Parallel()
	b := web()
	b.Sockets = append(b.Sockets, verify.Socket{Proto: "tcp", Address: "0.0.0.0", Port: 40000}, verify.Socket{Proto: "unix", Address: "/tmp/x.17"}, b.Sockets[0])
	r := verify.Following(verify.Run{}, &b, moved())
	if len(r.Await) != 4 || r.Exits {
		t.Errorf("%+v", r)
	}
	ended := command(1)
	if r := verify.Following(verify.Run{}, &ended, verify.Expect{}); !r.Exits || len(r.Await) != 0 {
		t.Errorf("%+v", r)
	}
}

func roundTrip(t *testing.T, p verify.Proof) {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := verify.DecodeProof(data)
	if err != nil {
		t.Fatalf("%v: %s", err, data)
	}
	more, err := json.Marshal(again)
	if err != nil || !bytes.Equal(data, more) {
		t.Errorf("a proof changes by being read:\n%s\n%s", data, more)
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	p, _ := prove(t, provable(t, ""), honest)
	data, err := verify.Statement(p)
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	delete(s, "predicate")
	want := map[string]any{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://unroot.dev/proof/v1",
		"subject": []any{map[string]any{"name": "docker://example/app:2", "digest": map[string]any{"sha256": strings.Repeat("1", 64)}}},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	again, err := verify.DecodeStatement(data)
	if err != nil || len(verify.Against(p, again)) != 0 {
		t.Errorf("%v", err)
	}
	other := bytes.Replace(data, []byte(strings.Repeat("1", 64)), []byte(strings.Repeat("3", 64)), 1)
	if _, err := verify.DecodeStatement(other); err == nil {
		t.Error("a statement about another image is taken")
	}
	if _, err := verify.Statement(verify.Proof{}); err == nil {
		t.Error("a statement about nothing")
	}
}

func TestDecodeProof(t *testing.T) {
	t.Parallel()
	p, _ := prove(t, provable(t, ""), honest)
	good, _ := json.Marshal(p)
	for name, bad := range map[string][]byte{
		"not JSON": []byte("{"), "another version": bytes.Replace(good, []byte(`"version":1`), []byte(`"version":2`), 1), "no version": []byte("{}"),
		"no verdict":             bytes.Replace(good, []byte(`"verdict":"proven"`), []byte(`"verdict":"fine"`), 1),
		"no digest":              bytes.Replace(good, []byte(strings.Repeat("1", 64)), []byte("../../x"), 1),
		"a part that is refuted": bytes.ReplaceAll(good, []byte(`"tookMs":1000,"platform":"linux/amd64","verdict":"proven"`), []byte(`"tookMs":1000,"platform":"linux/amd64","verdict":"refuted"`)),
		"too large":              append(slices.Clone(good), bytes.Repeat([]byte(" "), 33<<20)...),
	} {
		if _, err := verify.DecodeProof(bad); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := verify.DecodeProof(bytes.Replace(good, []byte("{"), []byte(`{"later":[1],`), 1)); err != nil {
		t.Errorf("a field of a later program: %v", err)
	}
}

func FuzzDecodeProof(f *testing.F) {
	c := verify.Case{Candidate: verify.Facts{Image: &image.Image{Digest: "sha256:1111111111111111111111111111111111111111111111111111111111111111"}}}
	p, err := verify.Prove(context.Background(), c, &recorded{give: honest}, nil)
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	o := webUser()
	run := verify.Run{Name: "fixed", Identity: account.Identity{UID: 101}}
	o.Run = run
	b := web()
	p.Reasons, p.Verdict, p.Results = nil, verify.Proven, []verify.Result{{Scenario: "fixed", Run: "fixed", Verdict: verify.Judge(&b, o, moved())}}
	p.Results[0].Sockets, p.Results[0].Answers, p.Results[0].Processes = o.Sockets, o.Answers, o.Processes
	p.Verdict = p.Results[0].Word
	full, _ := json.Marshal(p)
	f.Add(full)
	f.Add([]byte(`{"version":1,"verdict":"proven","scenarios":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := verify.DecodeProof(data)
		if err != nil {
			return
		}
		if d := verify.Against(p, p); len(d) != 0 && !sameRuns(p) {
			t.Errorf("a proof differs from itself: %+v", d)
		}
		encoded, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verify.DecodeProof(encoded); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
		if _, err := verify.DecodeStatement(data); err == nil {
			t.Error("a proof is taken as a statement")
		}
	})
}

// sameRuns reports whether two runs have one name: which of them is compared is then a matter of order.
func sameRuns(p verify.Proof) bool {
	names := map[string]bool{}
	for _, r := range p.Results {
		if names[r.Run] {
			return true
		}
		names[r.Run] = true
	}
	return false
}

func TestAgainst(t *testing.T) {
	t.Parallel()
	c := provable(t, `"/data":{}`)
	older, _ := prove(t, c, honest)
	other := func(how func(*verify.Outcome)) verify.Proof {
		p, _ := prove(t, c, func(run verify.Run) (verify.Outcome, error) {
			o, err := honest(run)
			if run.Name == verify.Fixed {
				how(&o)
			}
			return o, err
		})
		return p
	}
	same := other(func(o *verify.Outcome) {
		o.Took, o.Steady = 9*time.Second, 8*time.Second
		shift := func(pid *int) {
			if *pid != 0 {
				*pid += 1000
			}
		}
		for i := range o.Processes {
			shift(&o.Processes[i].PID)
			shift(&o.Processes[i].Parent)
		}
		for i := range o.Trace.Events {
			shift(&o.Trace.Events[i].PID)
			shift(&o.Trace.Events[i].Child)
		}
	})
	same.Runner, same.Unroot = "another", "later"
	if d := verify.Against(older, same); len(d) != 0 {
		t.Errorf("the same, and: %+v", d)
	}
	for name, c := range map[string]struct {
		how  func(*verify.Outcome)
		want []string
	}{
		"a socket":   {func(o *verify.Outcome) { o.Sockets = o.Sockets[:3] }, []string{"verdict", "fixed: verdict", "fixed: reasons", "fixed: sockets"}},
		"a program":  {func(o *verify.Outcome) { o.Processes = o.Processes[:2] }, []string{"verdict", "fixed: verdict", "fixed: reasons", "fixed: programs"}},
		"an answer":  {func(o *verify.Outcome) { o.Answers[0].Shape = "http 204" }, []string{"verdict", "fixed: verdict", "fixed: reasons", "fixed: answers"}},
		"the end":    {func(o *verify.Outcome) { o.End = verify.EndExited }, []string{"verdict", "fixed: verdict", "fixed: reasons", "fixed: end"}},
		"a uid":      {func(o *verify.Outcome) { o.Processes[0].Creds = userCreds(102) }, []string{"verdict", "fixed: verdict", "fixed: reasons", "fixed: identities"}},
		"the health": {func(o *verify.Outcome) { o.Health.Shape = "exit 0, late" }, []string{"fixed: answers"}},
	} {
		var got []string
		for _, d := range verify.Against(older, other(c.how)) {
			got = append(got, d.What)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	fewer := older
	fewer.Results = older.Results[1:]
	if d := verify.Against(older, fewer); len(d) != 1 || d[0].After != "not run" {
		t.Errorf("%+v", d)
	}
	if d := verify.Against(fewer, older); len(d) != 1 || d[0].Before != "not run" {
		t.Errorf("%+v", d)
	}
}
