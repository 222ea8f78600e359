package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"unroot/internal/report"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

func proofs() map[string]verify.Proof {
	const server, shell = "/usr/sbin/nginx", "/bin/sh"
	user := func(uid uint32) trace.Creds {
		return trace.Creds{UIDs: [4]uint32{uid, uid, uid, uid}, NoNewPriv: true}
	}
	observed := func(id verify.Identity, port uint16, c trace.Creds) verify.Observed {
		return verify.Observed{
			Identity: id, Args: []string{"nginx"}, End: verify.EndSteady, Events: 812, Steady: 310, Took: 1900, Platform: "linux/amd64",
			Processes: []verify.Process{{PID: 1, Program: server, Creds: c}, {PID: 7, Parent: 1, Program: server, Creds: c}},
			Sockets:   []verify.Socket{{Proto: "tcp", Address: "0.0.0.0", Port: port, Program: server}, {Proto: "tcp", Address: "::", Port: port, Program: server}},
			Answers:   []verify.Answer{{Probe: verify.Probe{Kind: "http", Address: "http://127.0.0.1/"}, OK: true, Shape: "http 200 text/html"}},
			Health:    &verify.Answer{OK: true, Shape: "exit 0"},
		}
	}
	fixed, arbitrary := verify.Identity{UID: 101, Name: "nginx"}, verify.Identity{UID: 1000700000}
	original := observed(verify.Identity{Name: "root"}, 80, trace.Creds{})
	run := func(scenario string, id verify.Identity) verify.Result {
		return verify.Result{Scenario: scenario, Covers: []string{scenario}, Run: scenario, PortStart: 1024, Observed: observed(id, 8080, user(id.UID)), Verdict: verify.Verdict{Word: verify.Proven}}
	}
	base := verify.Proof{
		Version: 1, Verdict: verify.Proven, Runner: "embedded", Unroot: "1.0.0", Took: 7600,
		Candidate: verify.Subject{Ref: "docker://registry.example/nginx:1-nonroot", Digest: "sha256:1111", Platform: "linux/amd64", User: "101:0"},
		Baseline:  &verify.Subject{Ref: "docker://registry.example/nginx:1", Digest: "sha256:2222", Platform: "linux/amd64"},
		Platforms: []verify.Tested{{Platform: "linux/amd64", Verdict: verify.Proven}, {Platform: "linux/arm64", Verdict: verify.Unproven, Why: "this machine does not run it"}},
		Original:  &original, Results: []verify.Result{run(verify.Fixed, fixed), run(verify.ArbitraryUser, arbitrary)},
	}
	proven := base
	proven.Results = []verify.Result{run(verify.Fixed, fixed), run(verify.ArbitraryUser, arbitrary)}
	proven.Results[0].Covers = []string{verify.Fixed, verify.VolumeNew}
	for i := range proven.Results {
		proven.Results[i].Benign = []verify.Benign{{Events: []uint64{17}, Count: 2, Exe: server, Call: "openat", Path: "/var/log/nginx/access.log", Errno: "EACCES",
			Class: "C5", Text: server + " cannot write its log directory /var/log/nginx (/var/log/nginx/access.log)", Why: "with it the same programs run, the same sockets are listened on and the same answers are given"}}
	}
	proven.Results[1].Differences = []verify.Difference{{What: "answer of http", Before: "http 301 http://localhost/x", After: "http 301 http://localhost:8080/x", Expected: true}}

	refuted := base
	refuted.Verdict = verify.Refuted
	failed := run(verify.ArbitraryUser, arbitrary)
	failed.Observed = verify.Observed{Identity: arbitrary, End: verify.EndExited, Status: 1, Platform: "linux/amd64"}
	failed.Verdict = verify.Verdict{Word: verify.Refuted, Reasons: []verify.Reason{
		{ID: verify.EndedEarly, Word: verify.Refuted, Text: "it ended with status 1 where the baseline goes on", Cause: server + " cannot write its runtime directory /run (/run/nginx.pid)",
			Evidence: []verify.Evidence{{Events: []uint64{40}}, {Text: "nginx: [emerg] open() \"/run/nginx.pid\" failed\x1b[31m"}, {Text: "left open: no account has the uid"}}},
		{ID: verify.RootProcess, Word: verify.Refuted, Text: "a process is root: " + shell + " (pid 3, uid 0)", Evidence: []verify.Evidence{{Process: &verify.Process{PID: 3, Program: shell}}}},
	}}
	again := failed
	again.Run, again.Scenario, again.Covers = verify.ArbitraryAgain, verify.ArbitraryAgain, []string{verify.ArbitraryAgain}
	refuted.Results = []verify.Result{run(verify.Fixed, fixed), failed, again}

	except := base
	left := run(verify.VolumeLeft, fixed)
	left.Advisory, left.Sockets, left.Answers, left.Health = true, nil, nil, nil
	left.Verdict = verify.Verdict{Word: verify.Refuted, Reasons: []verify.Reason{{ID: verify.SocketMissing, Word: verify.Refuted, Text: "nobody listens on tcp 0.0.0.0:8080",
		Cause: server + " cannot write its data directory /data (/data/db)"}}}
	except.Results = []verify.Result{run(verify.Fixed, fixed), left}
	except.Except = []string{verify.VolumeLeft}

	nowhere := base
	nowhere.Verdict, nowhere.Results, nowhere.Original, nowhere.Took = verify.Unproven, nil, nil, 0
	nowhere.Reasons = []verify.Reason{{ID: verify.NoRunner, Word: verify.Unproven, Text: "cannot run images here: install newuidmap (Debian: uidmap)"}}
	return map[string]verify.Proof{"proven": proven, "refuted": refuted, "except": except, "nowhere": nowhere}
}

func TestProofText(t *testing.T) {
	t.Parallel()
	for name, p := range proofs() {
		var b bytes.Buffer
		if err := report.ProofText(&b, p); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".proof.txt", b.Bytes())
		if strings.ContainsRune(b.String(), '\x1b') {
			t.Errorf("%s: what an image says reaches the terminal as it is", name)
		}
		if err := report.ProofText(brokenPipe{}, p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestProofJSON holds the document that other programs read.
func TestProofJSON(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"proven", "refuted"} {
		var b bytes.Buffer
		if err := report.JSON(&b, proofs()[name]); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".proof.json", b.Bytes())
		if !json.Valid(b.Bytes()) {
			t.Error("not JSON")
		}
	}
}

func TestAgainstText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	differences := []verify.Difference{{What: "verdict", Before: "proven", After: "refuted"}, {What: "fixed: sockets", Before: "tcp 0.0.0.0:8080 /usr/sbin/nginx"}}
	for _, d := range [][]verify.Difference{nil, differences} {
		if err := report.AgainstText(&b, "old/proof.json", d); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "against.txt", b.Bytes())
}
