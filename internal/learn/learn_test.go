package learn

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/plan"
	"unroot/internal/rootfs"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// A service that says nothing of itself in the image: its configuration has a name that only it knows, and it
// keeps its state where nobody would look. Its log is a luxury.
const odd = `
-- config --
{"Cmd":["/usr/bin/odd"],"Env":["PATH=/usr/bin:/bin"]}
-- layer --
d 0755 0:0 /run
d 0755 0:0 /var/log
d 0755 0:0 /var/odd
d 0755 0:0 /usr/share/odd
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
-- /etc/group --
root:x:0:
-- /usr/bin/odd 0755 elf --
nothing
-- /etc/strange.conf --
http {
	server { listen 80; }
}
`

// step is something that the service does at its start.
type step struct {
	kind  trace.Kind
	call  string
	path  string
	want  string
	fatal bool // it ends where that is refused
}

var oddSteps = []step{
	{trace.Open, "openat", "/etc/strange.conf", "r", true},
	{trace.Open, "openat", "/usr/share/odd/log", "wc", false},
	{trace.Open, "openat", "/etc/strange.conf", "r", true},
	{trace.Open, "openat", "/etc/strange.conf", "r", true},
	{trace.Open, "openat", "/etc/strange.conf", "r", true},
	{trace.Open, "openat", "/etc/strange.conf", "r", true},
	{trace.Open, "openat", "/var/log/odd.log", "wc", false},
	{trace.Make, "mkdir", "/run/odd", "", true},
	{trace.Open, "openat", "/var/odd/state", "wc", true},
	{trace.Bind, "bind", "/etc/strange.conf", "", true},
}

// simulated is a runner that is none: it answers the steps of a service as a kernel would, from the
// image's tree. Real runs are in the tests of the runners.
type simulated struct {
	t     *testing.T
	steps []step
	runs  []string
	late  string // the run that comes late the first time
}

func (s *simulated) Name() string { return "simulated" }
func (s *simulated) Close() error { return nil }

func (s *simulated) Run(ctx context.Context, r verify.Run, _ func(verify.Progress)) (verify.Outcome, error) {
	s.runs = append(s.runs, r.Name)
	v, err := image.Open(ctx, r.Image, image.Options{})
	if err != nil {
		return verify.Outcome{}, err
	}
	p := process{run: r, view: v, creds: trace.Creds{NoNewPriv: r.NoNewPrivs}}
	for i := range p.creds.UIDs {
		p.creds.UIDs[i], p.creds.GIDs[i] = r.Identity.UID, r.Identity.GID
	}
	out := p.outcome(s.steps)
	if r.Name == s.late && len(out.Answers) > 0 {
		s.late = ""
		for i := range out.Answers {
			out.Answers[i].Shape = "http 502 text/html"
		}
	}
	return out, nil
}

type process struct {
	run   verify.Run
	view  *image.View
	creds trace.Creds
	log   trace.Log
}

func (p *process) event(e trace.Event) {
	e.Seq, e.PID = uint64(len(p.log.Events)+1), 10
	if e.Kind != trace.Exec {
		e.Exe = "/usr/bin/odd"
	}
	p.log.Events = append(p.log.Events, e)
	p.log.Total = e.Seq
}

func (p *process) outcome(steps []step) verify.Outcome {
	o := verify.Outcome{Run: p.run, End: verify.EndSteady, Steady: time.Millisecond, Took: time.Millisecond, Platform: "linux/amd64", Runner: "simulated"}
	p.event(trace.Event{Kind: trace.Exec, Path: "/usr/bin/odd", Args: p.run.Args, Creds: &p.creds, Exe: "/usr/bin/odd", Call: "execve"})
	program := verify.Process{PID: 10, Program: "/usr/bin/odd", Args: p.run.Args, Creds: p.creds}
	o.Seen = []verify.Process{program}
	for _, s := range steps {
		errno, addr := p.answer(s)
		e := trace.Event{Kind: s.kind, Call: s.call, Path: s.path, Want: s.want, Errno: errno, Addr: addr}
		if s.kind == trace.Bind {
			e.Path = ""
		}
		p.event(e)
		if errno != "" && s.fatal {
			o.End, o.Status = verify.EndExited, 1
			p.event(trace.Event{Kind: trace.Exit, Status: 1})
			o.Trace = p.log
			return o
		}
		if s.kind == trace.Bind {
			_, port, _ := trace.Port(addr)
			p.event(trace.Event{Kind: trace.Listen, Call: "listen", Addr: addr})
			o.Sockets = append(o.Sockets, verify.Socket{Proto: "tcp", Address: "0.0.0.0", Port: port, Program: "/usr/bin/odd"})
		}
	}
	o.Processes = []verify.Process{program}
	for _, probe := range p.run.Probes {
		o.Answers = append(o.Answers, verify.Answer{Probe: probe, OK: true, Shape: "http 200 text/html"})
	}
	p.log.Steady = p.log.Total
	o.Trace = p.log
	return o
}

// answer is the kernel's: by the image's tree, and root may everything.
func (p *process) answer(s step) (errno trace.Errno, addr string) {
	if s.kind == trace.Bind {
		content, err := p.view.Content(s.path)
		if err != nil {
			return "ENOENT", ""
		}
		_, rest, _ := strings.Cut(string(content), "listen ")
		digits, _, _ := strings.Cut(rest, ";")
		port, _ := strconv.Atoi(digits)
		if port < p.run.PortStart && p.run.Identity.UID != 0 {
			errno = "EACCES"
		}
		return errno, fmt.Sprintf("tcp 0.0.0.0:%d", port)
	}
	want := rootfs.Read
	if strings.Contains(s.want, "w") {
		want = rootfs.Write
	}
	node, err := p.view.Tree.Resolve(s.path)
	answer := p.view.Tree.May(p.run.Identity, s.path, want)
	if err != nil {
		answer = p.view.Tree.MayCreate(p.run.Identity, s.path)
	}
	switch {
	case answer.OK || p.run.Identity.UID == 0 || err == nil && node.IsDir() && s.kind == trace.Make:
		return "", ""
	}
	return "EACCES", ""
}

// TestConvert: the rounds learn what the image does not say, and leave what the service lives without.
func TestConvert(t *testing.T) {
	t.Parallel()
	runner := &simulated{t: t, steps: oddSteps}
	result, err := Convert(t.Context(), Source{View: imagetest.View(t, imagetest.Parse(t, odd)), Ref: "oci:odd"}, runner, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Proof.Verdict != verify.Proven {
		t.Errorf("verdict %s: %+v", result.Proof.Verdict, result.Rounds)
	}
	effects := map[string]bool{}
	for _, op := range result.Plan.Operations {
		effects[op.Effect.Kind()+" "+target(op.Effect)] = true
		if kind := op.Effect.Kind(); kind == "make-dir" && target(op.Effect) == "/run/odd" || kind == "grant" && target(op.Effect) == "/var/odd" {
			if !strings.Contains(fmt.Sprint(op.Why), "event") {
				t.Errorf("%s does not name the event that it rests on: %v", op.Effect, op.Why)
			}
		}
	}
	for _, want := range []string{"make-dir /run/odd", "grant /var/odd", "edit-file /etc/strange.conf"} {
		if !effects[want] {
			t.Errorf("no %s in %v", want, effects)
		}
	}
	if !effects["grant /var/log"] {
		t.Errorf("what it leaves behind in /var/log was not granted: %v", effects)
	}
	if effects["grant /usr/share/odd"] {
		t.Error("the log, which it lives without, was granted")
	}
	var benign []string
	for _, r := range result.Proof.Results {
		for _, b := range r.Benign {
			benign = append(benign, b.Path)
		}
	}
	if len(benign) == 0 || benign[0] != "/usr/share/odd/log" {
		t.Errorf("benign: %v, want the log", benign)
	}
	if diff := cmp.Diff(len(result.Rounds), len(result.Proof.Rounds)); diff != "" || len(result.Rounds) < 2 || len(result.Rounds) > 4 {
		t.Errorf("%d rounds, the proof has %d", len(result.Rounds), len(result.Proof.Rounds))
	}
}

// TestApply: what one platform's runs have shown makes another platform's candidate.
func TestApply(t *testing.T) {
	t.Parallel()
	src := Source{View: imagetest.View(t, imagetest.Parse(t, odd)), Ref: "oci:odd"}
	learnt, err := Convert(t.Context(), src, &simulated{t: t, steps: oddSteps}, nil)
	if err != nil {
		t.Fatal(err)
	}
	src.View = imagetest.View(t, imagetest.Parse(t, strings.Replace(odd, "nothing", "another build", 1)))
	src.Seen = &learnt.Seen
	applied, err := Apply(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, op := range applied.Plan.Operations {
		got = append(got, op.Effect.String())
	}
	for _, op := range learnt.Plan.Operations {
		want = append(want, op.Effect.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func target(e plan.Effect) string {
	data, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	var fields struct {
		Path string `json:"path"`
	}
	_ = json.Unmarshal(data, &fields)
	return fields.Path
}

// TestNothingMends: a service that is refused what no image gives ends in few rounds, refuted, with the cause.
func TestNothingMends(t *testing.T) {
	t.Parallel()
	steps := append([]step{}, oddSteps...)
	steps = append(steps, step{trace.Open, "openat", "/etc/shadow.new", "wc", true})
	result, err := Convert(t.Context(), Source{View: imagetest.View(t, imagetest.Parse(t, odd)), Ref: "oci:odd"}, &simulated{t: t, steps: steps}, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := result.Rounds[len(result.Rounds)-1]
	if result.Proof.Verdict != verify.Refuted || len(result.Rounds) >= MaxRounds || !strings.Contains(last.Cause, "/etc") {
		t.Errorf("verdict %s after %d rounds, cause %q", result.Proof.Verdict, len(result.Rounds), last.Cause)
	}
}

// TestKeepPorts: where low ports stay, the runs are given what the platform is said to give, and the proof says so.
func TestKeepPorts(t *testing.T) {
	t.Parallel()
	steps := []step{{trace.Open, "openat", "/etc/strange.conf", "r", true}, {trace.Bind, "bind", "/etc/strange.conf", "", true}}
	src := Source{View: imagetest.View(t, imagetest.Parse(t, odd)), Ref: "oci:odd", Plan: plan.Options{KeepPort: true}}
	result, err := Convert(t.Context(), src, &simulated{t: t, steps: steps}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Proof.Verdict != verify.Proven || len(result.Plan.Ports) > 0 {
		t.Errorf("verdict %s, ports %v: %+v", result.Proof.Verdict, result.Plan.Ports, result.Rounds)
	}
	for _, r := range result.Proof.Results {
		if r.PortStart != 0 {
			t.Errorf("%s: regular users bind from port %d", r.Run, r.PortStart)
		}
	}
}

// TestLate: one run that comes late, among others that hold, is made again, and that is told.
func TestLate(t *testing.T) {
	t.Parallel()
	steps := []step{{trace.Open, "openat", "/etc/strange.conf", "r", true}, {trace.Bind, "bind", "/etc/strange.conf", "", true}}
	runner := &simulated{t: t, steps: steps, late: verify.ArbitraryUser}
	result, err := Convert(t.Context(), Source{View: imagetest.View(t, imagetest.Parse(t, odd)), Ref: "oci:odd"}, runner, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Proof.Verdict != verify.Proven || len(result.Rounds) != 1 || !result.Rounds[0].Again {
		t.Errorf("verdict %s, rounds %+v", result.Proof.Verdict, result.Rounds)
	}
}

// unavailable is a runner that cannot work here.
type unavailable struct{ simulated }

func (*unavailable) Run(context.Context, verify.Run, func(verify.Progress)) (verify.Outcome, error) {
	return verify.Outcome{}, fmt.Errorf("%w: no user namespaces", verify.ErrUnavailable)
}

// TestUnavailable: without a runner there is the candidate that the image alone gives, and it is unproven.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	result, err := Convert(t.Context(), Source{View: imagetest.View(t, imagetest.Parse(t, odd)), Ref: "oci:odd"}, &unavailable{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result.Proof.Verdict != verify.Unproven || result.Candidate.Image == nil {
		t.Errorf("verdict %s, candidate %v", result.Proof.Verdict, result.Candidate.Image)
	}
}
