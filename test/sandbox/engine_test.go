package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/oracle"
	"unroot/internal/sandbox"
	"unroot/internal/sandbox/launch"
	"unroot/internal/verify"
)

// frontStage is a front that runs a service until somebody kills it: its arguments are the engine's
// address and the agent's program.
const frontStage = "unroot-test-front"

func init() { launch.Register(frontStage, front) }

func front() {
	e, err := sandbox.NewEngine(sandbox.EngineOptions{Host: os.Args[1], Binary: os.Args[2], Load: loader(os.Args[1])})
	if err == nil {
		img, _ := box()
		_, err = e.Run(context.Background(), verify.Run{
			Image: img, Identity: account.Arbitrary(), Args: []string{"sleep", "1000"}, Env: []string{"PATH=/bin"}, Dir: "/",
			Exits: true, Timeout: time.Hour, NoNewPrivs: true, Trace: true,
			Volumes: []verify.Volume{{Name: "v", Path: "/data"}},
		}, func(p verify.Progress) {
			if p.What != "starts" {
				return
			}
			time.AfterFunc(500*time.Millisecond, func() { fmt.Println("runs") })
		})
	}
	fmt.Println(err)
}

// TestKilledFront: the end of the front ends the container, and the next runner removes the volumes.
func TestKilledFront(t *testing.T) {
	for name, socket := range map[string]func(*testing.T) string{"docker": dockerHost, "podman": podmanSocket} {
		t.Run(name, func(t *testing.T) {
			host := socket(t)
			boxImage(t)
			binary, err := lab.unroot()
			if err != nil {
				t.Fatal(err)
			}
			c, err := client.New(client.WithHost(host))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			cmd := exec.Command("/proc/self/exe")
			cmd.Args = []string{frontStage, host, binary}
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "runs\n" {
				t.Errorf("the front said %q, %v", line, err)
			}
			if n, volumes := made(t, c); n != 1 || volumes != 1 {
				t.Errorf("%d containers and %d volumes while it runs", n, volumes)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // says that it was killed
			until(t, "the container is gone", func() bool { n, _ := made(t, c); return n == 0 })
			newEngine(t, host)
			if n, volumes := made(t, c); n != 0 || volumes != 0 {
				t.Errorf("%d containers and %d volumes after the next start", n, volumes)
			}
		})
	}
}

// made counts the containers and volumes of runners in an engine.
func made(t *testing.T, c *client.Client) (containers, volumes int) {
	t.Helper()
	filter := client.Filters{}.Add("label", "dev.unroot.run")
	cs, err := c.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		t.Fatal(err)
	}
	vs, err := c.VolumeList(t.Context(), client.VolumeListOptions{Filters: filter})
	if err != nil {
		t.Fatal(err)
	}
	return len(cs.Items), len(vs.Items)
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("not after 20 s: %s", what)
			return
		}
	}
}

// TestNothingIsLeft: after a runner was closed nothing of its runs is in the engine, not even of one
// that had anonymous volumes or was cancelled.
func TestNothingIsLeft(t *testing.T) {
	host := dockerHost(t)
	c, err := client.New(client.WithHost(host))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	binary, err := lab.unroot()
	if err != nil {
		t.Fatal(err)
	}
	e, err := sandbox.NewEngine(sandbox.EngineOptions{Client: c, Binary: binary, Load: loader(host)})
	if err != nil {
		t.Fatal(err)
	}
	b := bench{e}
	r := candidate(t, "touch /tmp/x; sleep 100")
	r.Volumes = []verify.Volume{{Name: "a", Path: "/data"}, {Name: "b", Path: "/scratch", Seed: verify.SeedRoot}}
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if _, err := e.Run(ctx, r, nil); err == nil {
		t.Error("a run that was cancelled has no error")
	}
	b.exits(t, candidate(t, "echo x"), 0, "x\n")
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if n, volumes := made(t, c); n != 0 || volumes != 0 {
		t.Errorf("%d containers and %d volumes are left", n, volumes)
	}
	if _, err := e.Run(t.Context(), r, nil); err == nil {
		t.Error("a closed runner runs")
	}
}

// TestForbiddenWorkingDirectory: what keeps an engine from starting the image is the image's failure.
func TestForbiddenWorkingDirectory(t *testing.T) {
	for name, socket := range map[string]func(*testing.T) string{"docker": dockerHost, "podman": podmanSocket} {
		t.Run(name, func(t *testing.T) {
			r := candidate(t, "pwd")
			r.Dir = "/locked"
			out := bench{newEngine(t, socket(t))}.run(t, r)
			if out.End != verify.EndFailed || out.Status != 126 || out.Error == "" {
				t.Errorf("end %q, status %d, error %q", out.End, out.Status, out.Error)
			}
		})
	}
}

// TestBlindness: a trace under an engine's own seccomp profile says what it cannot see.
func TestBlindness(t *testing.T) {
	e := newEngine(t, dockerHost(t))
	out := bench{e}.run(t, candidate(t, "true"))
	if !strings.Contains(out.Trace.Blind, "seccomp profile") || strings.Contains(out.Trace.Blind, "no_new_privs") {
		t.Errorf("a candidate: %q", out.Trace.Blind)
	}
	out = bench{e}.run(t, baseline(t, "true"))
	if !strings.Contains(out.Trace.Blind, "no_new_privs") {
		t.Errorf("a baseline: %q", out.Trace.Blind)
	}
}

// TestBaselineSeesWhoChanged: the agent sees processes that gave up root, and what they listen on.
func TestBaselineSeesWhoChanged(t *testing.T) {
	for name, socket := range map[string]func(*testing.T) string{"docker": dockerHost, "podman": podmanSocket} {
		t.Run(name, func(t *testing.T) {
			r := service(baseline(t, "httpd -f -u 7:7 -p 80 -h /www & wait"), 80)
			out := bench{newEngine(t, socket(t))}.run(t, r)
			if out.End != verify.EndSteady || len(out.Sockets) != 1 || out.Sockets[0].Program != "/bin/busybox" {
				t.Errorf("end %q, sockets %+v", out.End, out.Sockets)
			}
			var uids []uint32
			for _, p := range out.Processes {
				uids = append(uids, p.Creds.UIDs[1])
			}
			if len(uids) < 2 || uids[0] != 0 || uids[1] != 7 {
				t.Errorf("processes %+v", out.Processes)
			}
		})
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	load := func(context.Context, *image.Image) (string, func(), error) { return "", nil, nil }
	for name, options := range map[string]sandbox.EngineOptions{
		"nobody listens": {Host: "unix://" + filepath.Join(t.TempDir(), "none.sock"), Load: load},
		"no host":        {Host: "what:is this", Load: load},
	} {
		if _, err := sandbox.NewEngine(options); !errors.Is(err, verify.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAgentBinary: what could not start in every image is refused before anything runs.
func TestAgentBinary(t *testing.T) {
	host := dockerHost(t)
	bash := oracle.Program(t, "bash")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for binary, words := range map[string]string{bash: "CGO_ENABLED=0", text: "no Linux program", "/nowhere": "no such file", "/etc/shadow": "mode"} {
		_, err := sandbox.NewEngine(sandbox.EngineOptions{Host: host, Load: loader(host), Binary: binary})
		if !errors.Is(err, verify.ErrUnavailable) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v; want %q", binary, err, words)
		}
	}
}
