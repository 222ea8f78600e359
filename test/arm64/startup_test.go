//go:build linux

package arm64

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/oracle"
)

// What the probe says at each step. The two ABIs of the machine say the same.
var steps = map[string]string{
	"off": `
ids -> 1000700000 1000700000 0 0 []
name 1000700000 -> version 2 found 1, 1000700000:0
make f 0644 -> ok
chown f 33 34 -> EPERM
stat f -> 100644 1000700000:0 links 1 size 0
fstat f -> 100644 1000700000:0 links 1 size 0
statx f -> 100644 1000700000:0 links 1 size 0
fchownempty f 33 35 -> EPERM
lstat f -> 100644 1000700000:0 links 1 size 0
chmod f 04755 -> ok
stat f -> 104755 1000700000:0 links 1 size 0
make g 0644 -> ok
stat g -> 100644 1000700000:0 links 1 size 0
setgid 33 -> EPERM
setuid 33 -> EPERM
make h 0640 -> ok
mkdir d 0755 -> ok
symlink h l -> ok
chown h 34 -1 -> EPERM
stat h -> 100640 1000700000:0 links 1 size 0
lstat l -> 120777 1000700000:0 links 1 size 1
stat g -> 100644 1000700000:0 links 1 size 0
script /tmp/other -> ok
stat h -> 100640 1000700000:0 links 1 size 0
stat d -> 40755 1000700000:0 links 2 size 0
setgroups 34 -> EPERM
setgid 33 -> EPERM
setuid 33 -> EPERM
setuid 0 -> EPERM
ids -> 1000700000 1000700000 0 0 []
chown f 0 0 -> EPERM
stat f -> 104755 1000700000:0 links 1 size 0
peer -> true 1000700000 0 errno 0 6
ids -> 1000700000 1000700000 0 0 []
stat f -> 104755 1000700000:0 links 1 size 0
setuid 0 -> EPERM
script /tmp/child -> ok
`,
	"simple": `
ids -> 1000700000 1000700000 0 0 []
name 1000700000 -> version 2 found 1, 1000700000:0
make f 0644 -> ok
chown f 33 34 -> ok
stat f -> 100644 1000700000:0 links 1 size 0
fstat f -> 100644 1000700000:0 links 1 size 0
statx f -> 100644 1000700000:0 links 1 size 0
fchownempty f 33 35 -> ok
lstat f -> 100644 1000700000:0 links 1 size 0
chmod f 04755 -> ok
stat f -> 104755 1000700000:0 links 1 size 0
make g 0644 -> ok
stat g -> 100644 1000700000:0 links 1 size 0
setgid 33 -> ok
setuid 33 -> ok
make h 0640 -> ok
mkdir d 0755 -> ok
symlink h l -> ok
chown h 34 -1 -> ok
stat h -> 100640 1000700000:0 links 1 size 0
lstat l -> 120777 1000700000:0 links 1 size 1
stat g -> 100644 1000700000:0 links 1 size 0
script /tmp/other -> ok
stat h -> 100640 1000700000:0 links 1 size 0
stat d -> 40755 1000700000:0 links 2 size 0
setgroups 34 -> ok
setgid 33 -> ok
setuid 33 -> ok
setuid 0 -> ok
ids -> 1000700000 1000700000 0 0 []
chown f 0 0 -> ok
stat f -> 104755 1000700000:0 links 1 size 0
peer -> true 1000700000 0 errno 0 6
ids -> 1000700000 1000700000 0 0 []
stat f -> 104755 1000700000:0 links 1 size 0
setuid 0 -> ok
script /tmp/child -> ok
`,
	"identities": `
ids -> 0 0 0 0 []
name 1000700000 -> version 2 found 1, 1000700000:0
make f 0644 -> ok
chown f 33 34 -> ok
stat f -> 100644 1000700000:0 links 1 size 0
fstat f -> 100644 1000700000:0 links 1 size 0
statx f -> 100644 1000700000:0 links 1 size 0
fchownempty f 33 35 -> ok
lstat f -> 100644 1000700000:0 links 1 size 0
chmod f 04755 -> ok
stat f -> 104755 1000700000:0 links 1 size 0
make g 0644 -> ok
stat g -> 100644 1000700000:0 links 1 size 0
setgid 33 -> ok
setuid 33 -> ok
make h 0640 -> ok
mkdir d 0755 -> ok
symlink h l -> ok
chown h 34 -1 -> ok
stat h -> 100640 1000700000:0 links 1 size 0
lstat l -> 120777 1000700000:0 links 1 size 1
stat g -> 100644 1000700000:0 links 1 size 0
script /tmp/other -> ok
stat h -> 100640 1000700000:0 links 1 size 0
stat d -> 40755 1000700000:0 links 2 size 0
setgroups 34 -> ok
setgid 33 -> ok
setuid 33 -> ok
setuid 0 -> EPERM
ids -> 33 33 33 33 [34]
chown f 0 0 -> ok
stat f -> 104755 1000700000:0 links 1 size 0
peer -> true 33 33 errno 0 6
ids -> 33 33 33 33 [34]
stat f -> 104755 1000700000:0 links 1 size 0
setuid 0 -> EPERM
script /tmp/child -> ok
`,
	"consistent": `
ids -> 0 0 0 0 []
name 1000700000 -> version 2 found 1, 1000700000:0
make f 0644 -> ok
chown f 33 34 -> ok
stat f -> 100644 33:34 links 1 size 0
fstat f -> 100644 33:34 links 1 size 0
statx f -> 100644 33:34 links 1 size 0
fchownempty f 33 35 -> ok
lstat f -> 100644 33:35 links 1 size 0
chmod f 04755 -> ok
stat f -> 104755 33:35 links 1 size 0
make g 0644 -> ok
stat g -> 100644 0:0 links 1 size 0
setgid 33 -> ok
setuid 33 -> ok
make h 0640 -> ok
mkdir d 0755 -> ok
symlink h l -> ok
chown h 34 -1 -> EPERM
stat h -> 100640 33:33 links 1 size 0
lstat l -> 120777 33:33 links 1 size 1
stat g -> 100644 0:0 links 1 size 0
script /tmp/other -> ok
stat h -> 100640 33:33 links 1 size 0
stat d -> 40755 33:33 links 2 size 0
setgroups 34 -> ok
setgid 33 -> ok
setuid 33 -> ok
setuid 0 -> EPERM
ids -> 33 33 33 33 [34]
chown f 0 0 -> EPERM
stat f -> 104755 33:35 links 1 size 0
peer -> true 33 33 errno 0 6
ids -> 33 33 33 33 [34]
stat f -> 104755 33:35 links 1 size 0
setuid 0 -> EPERM
script /tmp/child -> ok
`,
}

// TestStartUnderEmulation starts programs of both ABIs of an arm64 machine with unroot-init, with Debian's
// kernel for it.
func TestStartUnderEmulation(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an emulated machine is slow")
	}
	qemu := oracle.Program(t, "qemu-system-aarch64")
	kernel := kernelImage(t)
	dir := t.TempDir()
	initramfs := filepath.Join(dir, "initramfs")
	probes, raws := "unroot/internal/startup/compat/testdata/ownerprobe", "unroot/internal/startup/compat/testdata/statraw"
	writeInitramfs(t, initramfs, map[string]string{
		"init":          build(t, dir, "arm64", "build", "-o", "guest", "unroot/test/arm64/guest"),
		"unroot-init":   build(t, dir, "arm64", "build", "-o", "unroot-init", "unroot/cmd/unroot-init"),
		"probe64":       build(t, dir, "arm64", "build", "-o", "probe64", probes),
		"probe32":       build(t, dir, "arm", "build", "-o", "probe32", probes),
		"compat.test":   build(t, dir, "arm64", "test", "-c", "-o", "compat.test", "unroot/internal/startup/compat"),
		"statraw-arm64": build(t, dir, "arm64", "build", "-o", "statraw-arm64", raws),
		"statraw-arm":   build(t, dir, "arm", "build", "-o", "statraw-arm", raws),
	})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, qemu, "-M", "virt", "-cpu", "cortex-a57", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot", "-nic", "none",
		"-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyAMA0 rdinit=/init panic=-1 quiet")
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(string(out), "\r", "")
	if !strings.Contains(text, "\nUNROOT-END\n") {
		t.Fatalf("%v\n%s", err, text)
	}
	runs := said(text)
	checkLayouts(t, runs["layouts"])
	for step, want := range steps {
		for _, probe := range []string{"/probe64", "/probe32"} {
			if diff := cmp.Diff(strings.Split(want+"\nUNROOT-RESULT <nil>\n", "\n"), strings.Split("\n"+runs[step+" "+probe], "\n")); diff != "" {
				t.Errorf("%s %s: -want +got:\n%s", step, probe, diff)
			}
		}
	}
}

// said is what each run of the guest printed, by its name.
func said(text string) map[string]string {
	runs := map[string]string{}
	for _, run := range strings.Split(text, "\nUNROOT-RUN ")[1:] {
		name, printed, _ := strings.Cut(run, "\n")
		end := "\nUNROOT-RESULT <nil>\n"
		if i := strings.Index(printed, end); i >= 0 {
			printed = printed[:i+len(end)]
		}
		runs[name] = printed
	}
	return runs
}

func checkLayouts(t *testing.T, text string) {
	t.Helper()
	if !strings.HasSuffix(text, "\nUNROOT-RESULT <nil>\n") || !strings.Contains(text, "--- PASS: TestStatLayouts ") {
		t.Errorf("the shapes of stat:\n%s", text)
	}
}
