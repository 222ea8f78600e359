package init

import (
	"strings"
	"testing"
)

// direct are the options under which what follows the image is unroot-init's own command line.
var direct = []string{"--entrypoint", "/unroot-init"}

// TestVolumeOfSomebodyElse: a volume that cannot be written is told of before the program starts.
func TestVolumeOfSomebodyElse(t *testing.T) {
	onEngines(t, func(t *testing.T, e container) {
		volume := e.volume(t)
		// an older image has run as root and left its data
		e.must(t, "run", "--rm", "--network", "none", "--volume", volume+":/data", "--entrypoint", "sh", imageTag, "-c", "echo old >/data/old; chmod 0700 /data")
		options := append([]string{"--volume", volume + ":/data"}, direct...)
		got := e.once(t, options, "--writable=/data", "--", "sh", "-c", "echo started")
		if got.code != 78 || got.stdout != "" {
			t.Errorf("exit code %d, want 78; stdout %q", got.code, got.stdout)
		}
		for _, want := range []string{"unroot-init: ", "/data", "0:0", "0700", "1000700000", "chown"} {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%q is not in the message\n%s", want, got.stderr)
			}
		}
		got = e.once(t, append(options, "--env", "UNROOT_VOLUMES=warn"), "--writable=/data", "--", "sh", "-c", "exit 5")
		if got.code != 5 || !strings.Contains(got.stderr, "/data") {
			t.Errorf("told to go on: exit code %d, want 5; stderr\n%s", got.code, got.stderr)
		}
	})
}

// TestPrivateFile: who runs owns a copy with the mode that the program demands, whoever that is.
func TestPrivateFile(t *testing.T) {
	onEngines(t, func(t *testing.T, e container) {
		got := e.once(t, direct, "--private-file=0600:/etc/app/key", "--", "sh", "-c", "stat -Lc '%a %u' /etc/app/key; cat /etc/app/key")
		if want := "600 1000700000\nsecret\n"; got.code != 0 || got.stdout != want || got.stderr != "" {
			t.Errorf("exit code %d; stdout %q, want %q; stderr %q", got.code, got.stdout, want, got.stderr)
		}
	})
}

// TestFill: a tmpfs over a directory gets the content that the image has there.
func TestFill(t *testing.T) {
	onEngines(t, func(t *testing.T, e container) {
		got := e.once(t, append([]string{"--read-only", "--tmpfs", "/var/app:mode=1777", "--tmpfs", "/run:mode=1777"}, direct...),
			"--fill=/var/app", "--umask=0002", "--", "sh", "-c", "cat /var/app/sub/seed && umask")
		if got.code != 0 || got.stdout != "seed\n0002\n" || got.stderr != "" {
			t.Errorf("exit code %d; stdout %q, stderr %q", got.code, got.stdout, got.stderr)
		}
	})
}

// TestCompat: calls that only root may make are answered, by a filter or by a supervisor, and nothing is gained.
func TestCompat(t *testing.T) {
	onEngines(t, func(t *testing.T, e container) {
		for _, step := range []string{"simple", "identities", "consistent"} {
			got := e.once(t, direct, "--compat="+step, "--", "sh", "-c", "echo x >/tmp/file && chown 7:7 /tmp/file && grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/self/status; exit 3")
			if got.code != 3 || !strings.Contains(got.stdout, "CapEff:\t0000000000000000") || !strings.Contains(got.stdout, "NoNewPrivs:\t1") {
				t.Errorf("%s: exit code %d; stdout %q, stderr %q", step, got.code, got.stdout, got.stderr)
			}
		}
	})
}
