package services

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// longest is far more than a conversion takes, in time: it must end by itself.
const longest = 6 * time.Minute

// conversion is what `unroot convert --verify --json` says, as far as the tests read it, and where
// it has written the image.
type conversion struct {
	archive string // docker-archive; there only where the verdict is proven
	image   string // name:tag in it

	Version int       `json:"version"`
	ID      string    `json:"id"`
	Plans   []planned `json:"plans"`
	Proof   *proof    `json:"proof"`
	Proofs  []proof   `json:"proofs"`
}

type planned struct {
	Operations []json.RawMessage `json:"operations"`
	Bytes      int64             `json:"bytes"`
	Layer      int64             `json:"layerBytes"`
	Init       *struct {
		Emulation string `json:"emulation"`
	} `json:"init"`
}

// step is how much of being root the image emulates at its start: "none", "simple", "identities" or
// "consistent".
func (p planned) step() string {
	if p.Init == nil || p.Init.Emulation == "" {
		return "none"
	}
	return p.Init.Emulation
}

type proof struct {
	Verdict   string            `json:"verdict"`
	Except    []string          `json:"except"`
	Reasons   []reason          `json:"reasons"`
	Scenarios []result          `json:"scenarios"`
	Rounds    []json.RawMessage `json:"rounds"`
}

type result struct {
	Scenario string   `json:"scenario"`
	Advisory bool     `json:"advisory"`
	Verdict  string   `json:"verdict"`
	Reasons  []reason `json:"reasons"`
}

type reason struct {
	Text  string `json:"text"`
	Cause string `json:"cause"`
}

func (r reason) sentence() string {
	if r.Cause != "" {
		return r.Cause
	}
	return r.Text
}

// cause is why the whole has its verdict, or why it is excepted from, in one sentence.
func (p proof) cause() string {
	if p.Verdict != "proven" && len(p.Reasons) > 0 {
		return p.Reasons[0].sentence()
	}
	for _, r := range p.Scenarios {
		counts := r.Verdict == p.Verdict || r.Advisory && p.Verdict == "proven"
		if r.Verdict != "proven" && counts && len(r.Reasons) > 0 {
			return r.Reasons[0].sentence()
		}
	}
	return ""
}

// codes are the exit codes of convert --verify: a contract.
var codes = map[string]int{"proven": 0, "refuted": 1, "unproven": 3}

// convert converts a sample as a user would, with no hint.
func convert(t *testing.T, s service, m mode) (conversion, proof) {
	t.Helper()
	source := archived(t, s.sample)
	dir := t.TempDir()
	c := conversion{archive: filepath.Join(dir, "regular.tar"), image: "unroot.test/" + s.sample + ":" + m.name}
	args := append([]string{"convert", "--verify", "--json"}, m.flags...)
	if s.ports {
		args = append(args, "--keep-ports")
	}
	if s.compat != "" {
		args = append(args, "--compat", s.compat)
	}
	for _, e := range s.env {
		args = append(args, "--run-env", e)
	}
	args = append(args, "docker-archive:"+source, "docker-archive:"+c.archive+":"+c.image)
	out, errs, code := unroot(t, dir, args...)
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("unroot %s: exit code %d, and standard output is not one JSON document: %v\n%.2000s\n%s", strings.Join(args, " "), code, err, out, errs)
	}
	if c.Proof == nil && len(c.Proofs) == 1 {
		c.Proof = &c.Proofs[0]
	}
	if c.Proof == nil || len(c.Plans) != 1 {
		t.Fatalf("the document has no proof, or %d plans; want one of each:\n%.2000s\n%s", len(c.Plans), out, errs)
	}
	want, ok := codes[c.Proof.Verdict]
	if !ok || code != want {
		t.Errorf("exit code %d for the verdict %q; want one of %v\n%s", code, c.Proof.Verdict, codes, errs)
	}
	if _, err := os.Stat(c.archive); (err == nil) != (c.Proof.Verdict == "proven") {
		t.Errorf("verdict %s, and at the destination: %v", c.Proof.Verdict, err)
	}
	return c, *c.Proof
}

// unroot runs the command with a cache of its own and gives its two outputs and its exit code.
func unroot(t *testing.T, cache string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := lab.unroot()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("unroot %s: %v, %v\n%s", strings.Join(args, " "), err, ctx.Err(), tail(errs.String()))
	}
	return out.String(), tail(errs.String()), cmd.ProcessState.ExitCode()
}

func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// judgeOnEngine is the proof of the proof: the image that was written, run by an engine that knows
// nothing of unroot, under a uid that no image knows, asked by the service's own client.
func judgeOnEngine(t *testing.T, s service, c conversion, options []string) error {
	t.Helper()
	if _, err := theEngine(t).Docker(t.Context(), "load", "--input", c.archive); err != nil {
		t.Fatal(err)
	}
	container, p, err := onEngine(t, c.image, slices.Concat(options, environment(s.env)))
	if err != nil {
		return err
	}
	if err := s.serves(t.Context(), p, s.patience()); err != nil {
		return err
	}
	root, err := rootProcesses(container)
	if err == nil && len(root) > 0 {
		err = fmt.Errorf("processes with uid 0: %v", root)
	}
	return err
}

// archived gives the sample as a docker-archive.
func archived(t *testing.T, name string) string {
	t.Helper()
	theEngine(t)
	samples, err := lab.samples()
	if err != nil {
		t.Fatal(err)
	}
	building <- struct{}{}
	defer func() { <-building }()
	path, err := samples.Archive(t.Context(), name)
	if err != nil {
		t.Fatal(fmt.Errorf("sample %s: %w", name, err))
	}
	return path
}
