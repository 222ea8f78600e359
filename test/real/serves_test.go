package real

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"unroot/test/engine"
)

// numericUser is the only form that the kubelet takes together with runAsNonRoot. A user that the
// packager chose keeps its own group.
var numericUser = regexp.MustCompile(`^[1-9][0-9]*(:[0-9]+)?$`)

// TestServes is the main promise: every sample, converted with no hint but what the image says,
// serves a real request as the image says and as a uid that nobody knew, without any capability.
func TestServes(t *testing.T) {
	for _, s := range services {
		t.Run(s.sample, func(t *testing.T) {
			t.Parallel()
			c := converted(t, s.sample)
			if !numericUser.MatchString(c.config.User) {
				t.Errorf("the image's User is %q, want a number that is not 0", c.config.User)
			}
			port := c.port(t, s.port)
			t.Run("as the image says", func(t *testing.T) {
				servesAs(t, s, c, port)
			})
			t.Run("as an arbitrary uid", func(t *testing.T) {
				servesAs(t, s, c, port, "--user", arbitrary)
			})
			t.Run("data in new volumes survives", func(t *testing.T) {
				if len(c.config.Volumes) == 0 {
					return // nothing to keep
				}
				keepsData(t, s, c, port)
			})
		})
	}
}

// TestOthersServe runs more samples. Each serves, or the plan names what is open: never neither.
func TestOthersServe(t *testing.T) {
	for _, s := range others {
		t.Run(s.sample, func(t *testing.T) {
			t.Parallel()
			c := converted(t, s.sample)
			port := c.port(t, s.port)
			all, unknown := c.plan.openFor(""), c.plan.openFor("arbitrary")
			t.Run("as the image says", func(t *testing.T) {
				servesOrOpen(t, s, c, port, all)
				if len(c.config.Volumes) > 0 {
					keepsData(t, s, c, port)
				}
			})
			t.Run("as an arbitrary uid", func(t *testing.T) {
				servesOrOpen(t, s, c, port, slices.Concat(all, unknown), "--user", arbitrary)
			})
		})
	}
}

func servesOrOpen(t *testing.T, s service, c conversion, port int, open []string, options ...string) {
	t.Helper()
	if len(open) == 0 {
		servesAs(t, s, c, port, options...)
		return
	}
	container, err := start(t, c.result, slices.Concat(hardened, s.options, options))
	if err == nil {
		err = s.serves(t.Context(), container, port, noPatience)
	}
	t.Logf("open: %v; serves: %v", open, err == nil)
}

// servesAs starts the converted image and wants an answer, and no process with uid 0.
func servesAs(t *testing.T, s service, c conversion, port int, options ...string) {
	t.Helper()
	container, err := start(t, c.result, slices.Concat(hardened, s.options, options))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.serves(t.Context(), container, port, patience); err != nil {
		t.Fatal(err)
	}
	runsAsRegularUser(t, container)
}

func runsAsRegularUser(t *testing.T, c *engine.Container) {
	t.Helper()
	root, err := rootProcesses(c)
	if err != nil || len(root) > 0 {
		t.Errorf("processes with uid 0: %v, %v", root, err)
	}
	uid, err := c.Exec(t.Context(), "id", "-u")
	if err != nil || uid == "0" {
		t.Errorf("docker exec id -u says %q, %v", uid, err)
	}
}

// passwdWithEntry is a copy of the image's passwd file with an entry for the arbitrary uid.
func passwdWithEntry(t *testing.T, image string) string {
	t.Helper()
	passwd, err := theEngine(t).Docker(t.Context(), "run", "--rm", "--network", "none", "--entrypoint", "cat", image, "/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	uid, _, _ := strings.Cut(arbitrary, ":")
	path := filepath.Join(t.TempDir(), "passwd")
	entry := passwd + "\nassigned:x:" + uid + ":0::/tmp:/bin/sh\n"
	if err := os.WriteFile(path, []byte(entry), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// keepsData runs the image with a new named volume for each of its volumes, twice: the volumes must
// come out writable, and what the first container wrote must be there for the second.
func keepsData(t *testing.T, s service, c conversion, port int) {
	t.Helper()
	e := theEngine(t)
	options := slices.Concat(hardened, s.options)
	for path := range c.config.Volumes {
		volume, err := e.Docker(t.Context(), "volume", "create")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := e.Docker(context.Background(), "volume", "rm", volume); err != nil {
				t.Error(err)
			}
		})
		options = append(options, "--volume", volume+":"+path)
	}
	for _, round := range []string{"first", "second"} {
		container, err := start(t, c.result, options)
		if err != nil {
			t.Fatal(err)
		}
		for _, life := range []string{"start", "restart"} {
			if life == "restart" {
				if err := container.Restart(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.serves(t.Context(), container, port, patience); err != nil {
				t.Fatalf("%s container, %s: %v", round, life, err)
			}
		}
		runsAsRegularUser(t, container)
		if round == "second" && s.kept != nil {
			if err := s.kept(t.Context(), container, port); err != nil {
				t.Errorf("data of the first container: %v", err)
			}
		}
		if err := container.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServesGit is the sample that is a command.
func TestServesGit(t *testing.T) {
	t.Parallel()
	c := converted(t, gitSample)
	if !numericUser.MatchString(c.config.User) {
		t.Errorf("the image's User is %q", c.config.User)
	}
	t.Run("as the image says", func(t *testing.T) {
		if err := runGit(t, c.result, hardened, slices.Concat(gitSteps, []gitStep{sshStep, notRoot})...); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("as an arbitrary uid", func(t *testing.T) {
		options := slices.Concat(hardened, []string{"--user", arbitrary})
		if err := runGit(t, c.result, options, slices.Concat(gitSteps, []gitStep{notRoot})...); err != nil {
			t.Error(err)
		}
		if open := c.plan.openFor("arbitrary"); len(open) > 0 {
			t.Errorf("open for an arbitrary uid: %v", open)
		}
		asked := sshStep
		asked.entrypoint, asked.args = "/unroot-init", slices.Concat([]string{"--names=nscd", "--", sshStep.entrypoint}, sshStep.args)
		if err := runGit(t, c.result, options, asked); err != nil {
			t.Error(err)
		}
		if err := runGit(t, c.result, options, sshStep); err == nil {
			t.Error("ssh runs without an entry in passwd, and without unroot-init: nothing shows that it is needed")
		}
		options = append(options, "--volume", passwdWithEntry(t, c.result)+":/etc/passwd:ro")
		if err := runGit(t, c.result, options, sshStep); err != nil {
			t.Error(err)
		}
	})
}

// notRoot reads who the container's process is from the kernel.
var notRoot = gitStep{entrypoint: "sh", args: []string{"-c", `! grep -E '^Uid:.*\b0\b' /proc/self/status && echo regular`}, says: "regular"}
