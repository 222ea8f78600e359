package names

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unroot/internal/oracle"
	"unroot/internal/record"
	"unroot/test/engine"
)

// runs gives a shell that starts a new container for every script.
func runs(e *engine.Engine, image string, options ...string) func(t *testing.T, script string) (int, string) {
	return func(t *testing.T, script string) (int, string) {
		line := slices.Concat([]string{"docker", "run", "--rm"}, strict, options, []string{image, "sh", "-c", script})
		return said(t.Context(), e.Environ(), line...)
	}
}

// whoIs asks the container itself for the name and the home: they must be the same wherever one asks.
func whoIs(t *testing.T, shell func(t *testing.T, script string) (int, string)) user {
	t.Helper()
	code, out := shell(t, `getent passwd "$(id -u)"`)
	fields := strings.Split(strings.TrimSpace(out), ":")
	if code != 0 || len(fields) != 7 || fields[2] != "1000700000" {
		t.Fatalf("getent passwd: exit code %d:\n%s", code, out)
	}
	return user{name: fields[0], home: fields[5]}
}

func mountProbes(t *testing.T) string { return theProbes(t) + ":/probes:ro" }

func TestDocker(t *testing.T) {
	e := theEngine(t)
	shell := runs(e, converted(t, "names", "always").name, "-v", mountProbes(t))
	asked(t, tools, whoIs(t, shell), shell)
}

// TestDockerReadOnly has nothing to write but what the image says of itself.
func TestDockerReadOnly(t *testing.T) {
	e, img := theEngine(t), converted(t, "names", "always")
	options := []string{"-v", mountProbes(t), "--read-only", "--tmpfs", "/run", "--tmpfs", "/tmp"}
	r := recorded(t, e, img.name)
	for _, path := range r.Ephemeral {
		if path != "/tmp" && path != "/run" && !strings.HasPrefix(path, "/run/") {
			options = append(options, "--tmpfs", path)
		}
	}
	for _, path := range r.Persistent {
		options = append(options, "-v", path) // a new volume
	}
	shell := runs(e, img.name, options...)
	asked(t, tools, whoIs(t, shell), shell)
}

// recorded is what the conversion left in the image.
func recorded(t *testing.T, e *engine.Engine, image string) record.Record {
	t.Helper()
	out, err := e.Docker(t.Context(), "image", "inspect", "--format", "{{json .Config.Labels}}", image)
	if err != nil {
		t.Fatal(err)
	}
	var labels map[string]string
	if err := json.Unmarshal([]byte(out), &labels); err != nil {
		t.Fatal(err)
	}
	r, ok, err := record.Read(labels)
	if err != nil || !ok {
		t.Fatalf("the image has no record: %v", err)
	}
	return r
}

// TestDockerExec asks in processes that unroot-init has not started. They have the environment that
// Docker gives: what needs HOME is given the one that getent names.
func TestDockerExec(t *testing.T) {
	e, img := theEngine(t), converted(t, "names", "always")
	c, err := e.Run(t.Context(), img.name, slices.Concat(strict, []string{"-v", mountProbes(t)}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	bare := func(t *testing.T, script string) (int, string) {
		return said(t.Context(), e.Environ(), "docker", "exec", c.ID, "sh", "-c", script)
	}
	u := whoIs(t, bare)
	asked(t, tools, u, func(t *testing.T, script string) (int, string) {
		return said(t.Context(), e.Environ(), "docker", "exec", "--env", "HOME="+u.home, "--env", "USER="+u.name, "--env", "LOGNAME="+u.name, c.ID, "sh", "-c", script)
	})
}

// TestEmbedded asks in the runner of unroot itself, where the machine's name has no domain.
func TestEmbedded(t *testing.T) {
	img := converted(t, "names", "always")
	unroot, err := lab.unroot()
	if err != nil {
		t.Fatal(err)
	}
	shell := func(t *testing.T, script string) (int, string) {
		env := append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(filepath.Dir(img.archive), "cache"))
		return said(t.Context(), env, unroot, "run", "--as", arbitrary, "--env", "EMAIL=somebody@example.org", img.ref, "--", "sh", "-c", script)
	}
	without := slices.DeleteFunc(slices.Clone(tools), func(tool tool) bool { return strings.HasPrefix(tool.name, "static ") }) // nothing of the host is mounted
	asked(t, without, whoIs(t, shell), shell)
}

// TestEntryOfTheEngine mounts an entry over /etc/passwd, as CRI-O does: it is the one that is used.
func TestEntryOfTheEngine(t *testing.T) {
	e, img := theEngine(t), converted(t, "names", "always")
	own, err := e.Docker(t.Context(), "run", "--rm", "--network", "none", "--entrypoint", "cat", img.name, "/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "passwd")
	content := strings.TrimSuffix(own, "\n") + "\nfromcrio:x:1000700000:0:of the platform:/tmp:/sbin/nologin\n"
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	shell := runs(e, img.name, "-v", file+":/etc/passwd", "-v", mountProbes(t))
	u := whoIs(t, shell)
	if u != (user{"fromcrio", "/tmp"}) {
		t.Errorf("the user is %v", u)
	}
	if code, out := shell(t, `test ! -e /var/run/nscd/socket && whoami && /probes/musl && /probes/glibc && touch "$HOME/x"`); code != 0 || strings.Count(out, "fromcrio") != 3 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != content {
		t.Errorf("the platform's file is another one now: %v\n%s", err, after)
	}
}

// TestAuto lets the plan decide: an image that starts git needs names, one that starts nginx does not.
func TestAuto(t *testing.T) {
	e := theEngine(t)
	git := converted(t, "git", "auto").name
	line := slices.Concat([]string{"docker", "run", "--rm"}, strict, []string{"-v", "unroot-names-git:/git", git})
	t.Cleanup(func() { _, _ = e.Docker(context.Background(), "volume", "rm", "--force", "unroot-names-git") }) // ends with the engine
	for _, args := range [][]string{{"init", "-q"}, {"commit", "-q", "--allow-empty", "-m", "first"}, {"log", "--format=%an"}} {
		if code, out := said(t.Context(), e.Environ(), append(slices.Clone(line), args...)...); code != 0 {
			t.Errorf("git %s: exit code %d:\n%s", strings.Join(args, " "), code, out)
		}
	}
	out, err := e.Docker(t.Context(), "image", "inspect", "--format", "{{json .Config.Entrypoint}}{{json .Config.Cmd}}", converted(t, "nginx", "auto").name)
	if err != nil || strings.Contains(out, "unroot-init") {
		t.Errorf("nginx looks nobody up, and has %s, %v", out, err)
	}
}

// TestPodman asks on an engine that writes an entry of its own: it is left alone.
func TestPodman(t *testing.T) {
	oracle.Program(t, "podman")
	img, p := converted(t, "names", "always"), startPodman(t)
	if code, out := said(t.Context(), p.env, p.line("load", "--input", img.archive)...); code != 0 {
		t.Fatalf("podman load: exit code %d:\n%s", code, out)
	}
	shell := func(t *testing.T, script string) (int, string) {
		line := slices.Concat([]string{"run", "--rm"}, strict, []string{"-v", mountProbes(t), img.name, "sh", "-c", script})
		return said(t.Context(), p.env, p.line(line...)...)
	}
	u := whoIs(t, shell)
	if u.name != "1000700000" {
		t.Errorf("the user is %v; Podman calls it by its number", u)
	}
	if code, out := shell(t, `grep -c :1000700000:0: /etc/passwd && test ! -e /var/run/nscd/socket`); code != 0 || out != "1\n" {
		t.Errorf("Podman's entry: exit code %d:\n%s", code, out)
	}
	code, out := shell(t, `whoami; python3 -c 'import getpass; print(getpass.getuser())'; ssh-keygen -q -t ed25519 -N "" -f /tmp/key && git init -q /tmp/work && git -C /tmp/work commit -q --allow-empty -m first; initdb -D /tmp/data >/dev/null && echo made; /probes/musl; /probes/glibc`)
	if code != 0 || !strings.HasPrefix(out, "1000700000\n1000700000\n") || !strings.Contains(out, "made\n") || strings.Count(out, "name=1000700000 ") != 2 {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
