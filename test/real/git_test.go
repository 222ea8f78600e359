package real

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// gitSample is the sample that is a command, not a server.
const gitSample = "git"

// gitIdentity is what a user without a configuration file gives on the command line.
var gitIdentity = []string{"-c", "user.name=A U Thor", "-c", "user.email=author@example.com"}

// gitStep is one run of the image: all of them see the same volume.
type gitStep struct {
	entrypoint string // instead of the image's
	args       []string
	says       string // that the output must have
}

var gitSteps = []gitStep{
	{args: []string{"init", "--quiet"}},
	{args: slices.Concat(gitIdentity, []string{"commit", "--allow-empty", "--message", "first"}), says: "first"},
	{args: []string{"log", "--format=%an: %s"}, says: "A U Thor: first"},
	{args: []string{"config", "--global", "--add", "core.pager", "cat"}}, // a home directory that can be written
}

// sshStep needs to know who runs it: OpenSSH looks itself up in passwd before anything else.
var sshStep = gitStep{entrypoint: "ssh", args: []string{"-G", "localhost"}, says: "identityfile"}

// runGit runs the steps one after the other with one new volume at /git.
func runGit(t *testing.T, image string, options []string, steps ...gitStep) error {
	t.Helper()
	e := theEngine(t)
	volume, err := e.Docker(t.Context(), "volume", "create")
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		if _, err := e.Docker(context.Background(), "volume", "rm", volume); err != nil {
			t.Error(err)
		}
	})
	for _, step := range steps {
		line := slices.Concat([]string{"run", "--rm", "--volume", volume + ":/git"}, options)
		if step.entrypoint != "" {
			line = append(line, "--entrypoint", step.entrypoint)
		}
		out, err := e.Docker(t.Context(), append(append(line, image), step.args...)...)
		if err == nil && !strings.Contains(out, step.says) {
			err = fmt.Errorf("%v answered %q, want %q", step.args, out, step.says)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestBaselineGit(t *testing.T) {
	t.Parallel()
	image := built(t, gitSample)
	t.Run("commits as it is", func(t *testing.T) {
		if err := runGit(t, image, noNetwork, slices.Concat(gitSteps, []gitStep{sshStep})...); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("fails as a regular user", func(t *testing.T) {
		err := runGit(t, image, slices.Concat(hardened, []string{"--user", arbitrary}), gitSteps...)
		if err == nil {
			t.Fatal("commits before it is converted: it proves nothing")
		}
		t.Log(err)
	})
}
