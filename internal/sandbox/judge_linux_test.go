package sandbox

import (
	"encoding/json"
	"fmt"

	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/oracle"
)

// look says what a process sees of its place: devices (but /dev/core, a link to what is hidden), links, modes, what is hidden and what is
// read-only, mount flags, rights.
const look = `
cd /dev; for f in *; do [ $f = core ] || echo "/dev/$f $(stat -c '%F %a' $f) $(readlink $f)"; done
for p in /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/scsi /sys/firmware; do
	if [ -d $p ]; then echo "$p: directory of $(ls -A $p | wc -l)"; elif [ -e $p ]; then echo "$p: $(head -c 100 $p | wc -c) bytes"; fi
done
for p in /proc/bus /proc/fs /proc/irq /proc/sys; do [ ! -e $p ] || touch $p 2>&1; done
for p in /proc /sys /dev /dev/pts /dev/shm /dev/mqueue; do
	o=$(grep " $p " /proc/mounts | head -n 1 | cut -d' ' -f3-4 | tr ', ' '\n\n' | grep -E '^(proc|sysfs|tmpfs|devpts|mqueue|ro|rw|nosuid|nodev|noexec|mode=[0-9]+|ptmxmode=[0-9]+)$' | sort | tr '\n' ' '); echo "$p $o"
done
grep -E '^(Cap|NoNewPrivs|Groups|Umask)' /proc/self/status
ls -A /proc/self/fd | grep -v 3
hostname; umask; pwd; env | sort | grep -v -E '^(PWD|SHLVL)='
ls -A / | tr '\n' ' '; grep -c . /proc/net/dev
`

// TestLikeAnEngine compares what a run sees with what crun shows in a bundle of its own defaults.
func TestLikeAnEngine(t *testing.T) {
	oracle.Root(t)
	crun := oracle.Program(t, "crun")
	e := newEmbedded(t, Options{})
	layer := busyboxLayer(t)
	bundle := t.TempDir()
	unpackPlainly(t, layer, filepath.Join(bundle, "rootfs"))
	for _, dir := range []string{"proc", "sys", "dev", "etc"} { // crun makes them; our own are there by then
		if err := os.MkdirAll(filepath.Join(bundle, "rootfs", dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(crun, "spec")
	cmd.Dir = bundle
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	changeSpec(t, filepath.Join(bundle, "config.json"))
	// crun refuses the mixed layout of cgroups that some machines have.
	const script = `mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"`
	cmd = exec.Command("unshare", "--mount", "sh", "-c", script, "sh", crun, "run", "--bundle", bundle, fmt.Sprintf("unroot-test-%d", os.Getpid()))
	out, err := cmd.CombinedOutput()
	if err != nil {
		oracle.Missing(t, "crun does not run here: %v: %s", err, out)
	}
	r := command(imageOf(layer), look)
	r.Hostname, r.Env, r.Identity.UID, r.Identity.GID = "crun", []string{"PATH=/bin", "WORD=two words"}, 33, 44
	ours := run(t, e, r)
	if diff := cmp.Diff(strings.Split(string(out), "\n"), strings.Split(ours.Stdout, "\n")); diff != "" {
		t.Errorf("crun and the embedded runner differ: %s%s", diff, ours.Stderr)
	}
}

// changeSpec has crun run the script as a candidate is run: without capabilities, as a user. Its rlimit
// and its rules for devices need CAP_SYS_RESOURCE, which not every machine grants.
func changeSpec(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	process := spec["process"].(map[string]any)
	process["terminal"], process["args"] = false, []string{"sh", "-c", look}
	process["env"] = []string{"PATH=/bin", "WORD=two words"}
	process["user"] = map[string]any{"uid": 33, "gid": 44, "umask": 0o22, "additionalGids": []int{44}}
	process["noNewPrivileges"] = true
	for _, m := range spec["mounts"].([]any) {
		if mount := m.(map[string]any); mount["destination"] == "/proc" {
			mount["options"] = []string{"nosuid", "noexec", "nodev"} // as moby's defaults have it
		}
	}
	delete(process, "rlimits")
	delete(process, "capabilities")
	delete(spec["linux"].(map[string]any), "resources")
	spec["root"].(map[string]any)["readonly"] = false
	if text, err = json.Marshal(spec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpackPlainly has tar unpack a layer.
func unpackPlainly(t *testing.T, layer layerType, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := layer.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("tar", "-xz", "-C", dir)
	cmd.Stdin = r
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
