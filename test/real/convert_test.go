package real

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"unroot/internal/oracle"
)

// unrootIn runs the command with an own cache and gives its two outputs and its exit code.
func unrootIn(t *testing.T, environ []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	path, err := lab.unroot()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), environ...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// unroot runs the command and wants exit code 0; it gives standard output.
func unroot(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := unrootIn(t, []string{"XDG_CACHE_HOME=" + t.TempDir()}, args...)
	if code != 0 {
		t.Fatalf("unroot %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	if errs != "" {
		t.Logf("unroot %s: on standard error:\n%s", args[0], errs)
	}
	return out
}

// pushed pushes a sample to the registry and gives its reference there.
func pushed(t *testing.T, name string) string {
	t.Helper()
	image := built(t, name)
	e, r := theEngine(t), theRegistry(t)
	ref := r.Host + "/" + strings.TrimPrefix(image, "unroot.test/")
	for _, args := range [][]string{{"tag", image, ref}, {"push", "--quiet", ref}} {
		if _, err := e.Docker(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	return ref
}

var digestLine = regexp.MustCompile(`^sha256:[0-9a-f]{64}\n$`)

// conversion is a sample before and after, both in the registry and the second in the engine too.
type conversion struct {
	source, result string // references
	digest         string // of the result's manifest
	config         imageConfig
	plan           planned
}

// imageConfig is what the engine reads in a converted image.
type imageConfig struct {
	User         string
	ExposedPorts map[string]struct{}
	Volumes      map[string]struct{}
	Labels       map[string]string
}

// planned is the part of one plan of `unroot plan --json` that the tests look at.
type planned struct {
	Operations []json.RawMessage
	Ports      []struct {
		From, To int
		Proto    string
	}
	Open []struct{ ID, Path, What, Decides, Scope string }
}

// conversions are those of this run, by sample.
var conversions struct {
	sync.Mutex
	done map[string]conversion
	busy map[string]*sync.Mutex
}

// converted converts a sample, once a run. Where that fails, it fails every test that needs it.
func converted(t *testing.T, name string) conversion {
	t.Helper()
	conversions.Lock()
	if conversions.busy == nil {
		conversions.busy, conversions.done = map[string]*sync.Mutex{}, map[string]conversion{}
	}
	if conversions.busy[name] == nil {
		conversions.busy[name] = new(sync.Mutex)
	}
	mine := conversions.busy[name]
	conversions.Unlock()

	mine.Lock()
	defer mine.Unlock()
	conversions.Lock()
	c, ok := conversions.done[name]
	conversions.Unlock()
	if !ok {
		c = convert(t, name)
		conversions.Lock()
		conversions.done[name] = c
		conversions.Unlock()
	}
	return c
}

// convert converts a sample with no hint and lets the engine pull the result.
func convert(t *testing.T, name string) conversion {
	t.Helper()
	c := conversion{source: pushed(t, name)}
	c.result = strings.TrimSuffix(c.source, ":root") + ":regular"
	c.plan = planOf(t, c.source)
	out := unroot(t, "convert", c.source, c.result)
	if !digestLine.MatchString(out) {
		t.Fatalf("unroot convert wrote %q, want the manifest's digest and nothing else", out)
	}
	c.digest = strings.TrimSpace(out)
	repository, _, _ := strings.Cut(c.result, ":regular")
	e := theEngine(t)
	// by digest: the engine checks that the registry has just what the command said
	for _, args := range [][]string{{"pull", "--quiet", repository + "@" + c.digest}, {"pull", "--quiet", c.result}} {
		if _, err := e.Docker(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	config, err := e.Docker(t.Context(), "image", "inspect", "--format", "{{json .Config}}", c.result)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(config), &c.config); err != nil {
		t.Fatal(err)
	}
	return c
}

func planOf(t *testing.T, ref string) planned {
	t.Helper()
	out := unroot(t, "plan", "--json", ref)
	var document struct {
		Version int
		Plans   []planned
	}
	decode(t, out, &document)
	if document.Version != 1 || len(document.Plans) != 1 {
		t.Fatalf("unroot plan --json: version %d, %d plans; want version 1, one plan", document.Version, len(document.Plans))
	}
	return document.Plans[0]
}

// port is where the converted image listens. The image says so itself, in ExposedPorts; the plan
// must say the same.
func (c conversion) port(t *testing.T, original int) int {
	t.Helper()
	want := original
	for _, move := range c.plan.Ports {
		if move.From == original && move.Proto == "tcp" {
			want = move.To
		}
	}
	if _, ok := c.config.ExposedPorts[fmt.Sprintf("%d/tcp", want)]; !ok {
		t.Errorf("the plan moves port %d to %d, but the image exposes %v", original, want, c.config.ExposedPorts)
	}
	return want
}

// openFor lists the open items that concern an arbitrary uid only, or those that concern all.
func (p planned) openFor(scope string) (ids []string) {
	for _, o := range p.Open {
		if o.Scope == scope {
			ids = append(ids, o.ID)
		}
	}
	return ids
}

// program gives the path of a judge.
func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), oracle.Program(t, name), args...)
}

// judged runs a judge and gives its standard output; a judge that is not content fails the test.
func judged(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, &out, &errs)
	}
	return out.String()
}
