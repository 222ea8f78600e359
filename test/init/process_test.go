package init

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestExitCodes(t *testing.T) {
	onEngines(t, testExitCodes)
}

func testExitCodes(t *testing.T, e container) {
	for _, test := range []struct {
		name    string
		options []string // of docker run
		args    []string
		code    int
		says    string
	}{
		{name: "good", args: []string{"true"}},
		{name: "status", args: []string{"sh", "-c", "exit 7"}, code: 7},
		{name: "signal", options: direct, args: []string{"--stay", "--", "sh", "-c", "kill -TERM $$"}, code: 143},
		{name: "killed", options: direct, args: []string{"--stay", "--", "sh", "-c", "kill -KILL $$"}, code: 137},
		{name: "exec", options: direct, args: []string{"--exec", "--", "sh", "-c", "test $$ = 1 && exit 9"}, code: 9},
		{name: "stay", options: direct, args: []string{"--stay", "--", "sh", "-c", "test $$ != 1 && exit 10"}, code: 10},
		{name: "not there", options: direct, args: []string{"--exec", "--", "no-such-program"}, code: 127, says: "no directory of PATH has it"},
		{name: "not executable", options: direct, args: []string{"--stay", "--", "/etc/passwd"}, code: 126, says: "may not be executed by uid 1000700000 gid 0"},
		{name: "bad option", options: direct, args: []string{"--frob", "--", "true"}, code: 2, says: "there is no such option"},
		{name: "nothing", options: direct, code: 2, says: "no program is named"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := e.once(t, test.options, test.args...)
			if got.code != test.code || !strings.Contains(got.stderr, test.says) || test.says == "" && got.stderr != "" {
				t.Errorf("exit code %d, want %d; stdout %q, stderr %q", got.code, test.code, got.stdout, got.stderr)
			}
		})
	}
}

// TestStop: the engine's signals reach the program, which ends by itself and in time.
func TestStop(t *testing.T) {
	c := serve(t, nil)
	e := docker(t)
	for _, want := range []string{"reload 1", "reload 2"} {
		if _, err := e.Docker(t.Context(), "kill", "--signal", "HUP", c.ID); err != nil {
			t.Fatal(err)
		}
		await(t, c, want)
	}
	start := time.Now()
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	code, err := c.Wait(t.Context())
	if err != nil || code != 42 {
		t.Errorf("exit code %d, %v, want 42: both reloads were heard; it says\n%s", code, err, c.Logs(t.Context()))
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("stopping took %v: the engine had to kill it", took)
	}
}

// TestStopDeaf: a program that does nothing for SIGTERM ends by it, as it does where it is not process 1.
func TestStopDeaf(t *testing.T) {
	c := serve(t, direct, "--stay", "--", "sh", "-c", "echo ready as deaf; exec sleep 600")
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, err := c.Wait(t.Context()); err != nil || code != 143 {
		t.Errorf("exit code %d, %v, want 143", code, err)
	}
}

// TestDockerExec: who comes in later finds the name, and process 1 collects what it leaves.
func TestDockerExec(t *testing.T) {
	c := serve(t, nil)
	for _, test := range []struct{ script, want string }{
		{"id -u; id -g", "1000700000\n0"},
		{"cat /proc/1/comm", "unroot-init"},
		{"orphans", "zombies: 0"},
		{"test \"$(id -un)\" = \"$(getent passwd 1000700000 | cut -d: -f1)\" && echo same", "same"},
	} {
		if got, err := c.Exec(t.Context(), "sh", "-c", test.script); err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.script, got, err, test.want)
		}
	}
}

// TestRestart: a container that starts again finds what its first start has left.
func TestRestart(t *testing.T) {
	c := serve(t, nil)
	before, err := c.Exec(t.Context(), "id", "-un")
	if err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"restart", "kill and start"} {
		e := docker(t)
		if how == "restart" {
			err = c.Restart(t.Context())
		} else if _, err = e.Docker(t.Context(), "kill", c.ID); err == nil {
			_, err = e.Docker(t.Context(), "start", c.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			after, err := c.Exec(t.Context(), "id", "-un")
			if err == nil && after == before {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("after %s: %q, %v, want %q; it says\n%s", how, after, err, before, c.Logs(t.Context()))
			}
		}
	}
}

// TestReadOnly: with a read-only root and a tmpfs on /run a name is answered for.
func TestReadOnly(t *testing.T) {
	onEngines(t, func(t *testing.T, e container) {
		got := e.once(t, []string{"--read-only", "--tmpfs", "/run"}, "sh", "-c", `test "$(id -un)" = "$USER" && cd ~ && echo x >file && echo "$HOME"`)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("exit code %d; stdout %q, stderr %q", got.code, got.stdout, got.stderr)
		}
	})
}

// TestNowhereForNames: where no socket can be made the program starts all the same, and somebody is told.
// Podman adds an account for the uid by itself, and there is nothing to tell.
func TestNowhereForNames(t *testing.T) {
	onEngines(t, func(t *testing.T, e container) {
		got := e.once(t, []string{"--read-only"}, "sh", "-c", "exit 8")
		told := strings.Contains(got.stderr, "unroot-init: making") && strings.Contains(got.stderr, "tmpfs at /run")
		if e.argv[0] == "podman" {
			told = got.stderr == ""
		}
		if got.code != 8 || !told {
			t.Errorf("exit code %d; stderr %q", got.code, got.stderr)
		}
	})
}

// TestTerminal: a shell on a terminal has its jobs and its keys.
func TestTerminal(t *testing.T) {
	e := docker(t)
	line := "docker run --rm --interactive --tty " + strings.Join(strict, " ") + " --env PS1=prompt: " + imageTag + " bash --norc --noediting -i"
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	script := exec.CommandContext(ctx, "script", "--quiet", "--return", "--command", line, "/dev/null")
	script.Env = e.Environ()
	stdin, err := script.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var screen screen
	script.Stdout = &screen
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ keys, expect string }{
		{"", "prompt:"},
		{"sleep 100\n", "sleep 100"},
		{"\x03", "^C"},
		{"sleep 200\n", "sleep 200"},
		{"\x1a", "Stopped"},
		{"echo jobs=$(jobs -p | wc -l)\n", "jobs=1"},
		{"kill -KILL %1; wait; echo gone=$?\n", "gone="},
		{"exit 17\n", "exit 17"},
	} {
		time.Sleep(300 * time.Millisecond) // as somebody types
		if _, err := stdin.Write([]byte(step.keys)); err != nil {
			t.Fatal(err)
		}
		if !screen.expect(step.expect) {
			t.Fatalf("after %q no %q; on the screen:\n%s", step.keys, step.expect, screen.text())
		}
	}
	script.Wait()
	stdin.Close()
	if code := script.ProcessState.ExitCode(); code != 17 || strings.Contains(screen.text(), "no job control") {
		t.Errorf("exit code %d, want 17; on the screen:\n%s", code, screen.text())
	}
}
