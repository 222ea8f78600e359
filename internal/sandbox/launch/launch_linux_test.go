package launch

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
)

func TestMain(m *testing.M) {
	Stage()
	os.Exit(m.Run())
}

// rootDir makes a root file system that has busybox and nothing else.
func rootDir(t *testing.T) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		oracle.Missing(t, "busybox is not installed")
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// t.TempDir makes directories that another uid may not pass.
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	for _, d := range []string{"bin", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), program, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields("sh id cat ls env mount grep pwd touch stat hostname ip sleep true") {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// overlay gives a Root over a directory, with a fresh upper one beside it.
func overlay(t *testing.T, root string) *Root {
	t.Helper()
	r := &Root{Lower: []string{root}, Upper: filepath.Join(filepath.Dir(root), "upper"), Work: filepath.Join(filepath.Dir(root), "work"), Hostname: "box", PortStart: 1024}
	for _, d := range []string{r.Upper, r.Work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// world is the attributes of a first process: the namespaces of a run, for an ordinary user in a
// user namespace in which that is the only id.
func world(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	sys := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		oracle.Missing(t, "needs root: other identities")
	}
	return sys
}

// started starts a process and gives what it wrote and its exit status.
func started(t *testing.T, spec Spec, sys *syscall.SysProcAttr) (out string, status int, err error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	h, err := Start(spec, &os.ProcAttr{Files: []*os.File{null, w, w}, Sys: sys})
	w.Close()
	if err != nil {
		return "", -1, err
	}
	defer h.Close()
	fail := h.Ready()
	if fail == nil {
		fail = h.Release()
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(h.PID(), &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	return string(text), ws.ExitStatus(), fail
}

func command(args ...string) Spec {
	return Spec{SetIdentity: true, NoNewPrivs: true, Args: args, Env: []string{"PATH=/bin"}, Dir: "/"}
}

// TestStart starts programs in a root file system and looks at their world from inside.
func TestStart(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Spec)
		script string
		want   string
	}{
		{"uid 0 without capabilities", func(s *Spec) {}, "id; grep -E '^(Cap|NoNew)' /proc/self/status",
			"uid=0 gid=0 groups=0\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n"},
		{"arbitrary uid", func(s *Spec) { s.UID, s.Groups = 1000700000, []uint32{7, 8} }, "id", "uid=1000700000 gid=0 groups=0,7,8\n"},
		{"root as engines have it", func(s *Spec) { s.Caps, s.NoNewPrivs = []string{"CAP_CHOWN", "CAP_SETUID"}, false },
			"grep -E '^(Cap|NoNew)' /proc/self/status",
			"CapInh:\t0000000000000000\nCapPrm:\t0000000000000081\nCapEff:\t0000000000000081\nCapBnd:\t0000000000000081\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"},
		{"user of an engine", func(s *Spec) { s.Caps, s.NoNewPrivs, s.UID = []string{"CAP_CHOWN", "CAP_SETUID"}, false, 5 },
			"grep -E '^(Cap|NoNew)' /proc/self/status",
			"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000081\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"},
		{"first process", func(s *Spec) {}, "echo $$; ls /proc/ | grep -c '^[0-9]'", "1\n3\n"},
		{"devices", func(s *Spec) {}, "ls -A /dev", "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n"},
		{"streams opened again", func(s *Spec) { s.UID = 33 }, "echo a > /dev/stdout; echo b > /proc/self/fd/2", "a\nb\n"},
		{"names", func(s *Spec) {}, "hostname; cat /etc/hostname; grep box /etc/hosts; cat /etc/resolv.conf", "box\nbox\n127.0.0.1\tbox\n"},
		{"network", func(s *Spec) {}, "ip -o addr | grep -oE 'lo +inet6? [^ ]+'; ip -o link | grep -vc ' lo:'; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range",
			"lo    inet 127.0.0.1/8\nlo    inet6 ::1/128\n0\n1024\n1\t0\n"},
		{"lower ports", func(s *Spec) { s.Root.PortStart = 0 }, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "0\n"},
		{"hidden", func(s *Spec) { s.Caps = []string{"CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"} },
			"for f in kcore keys timer_list interrupts; do [ ! -e /proc/$f ] || cat /proc/$f; done; for d in /sys/firmware /proc/scsi /proc/acpi; do [ ! -e $d ] || ls -A $d; done; echo 1 > /proc/sys/kernel/hostname; touch /sys/x",
			"sh: can't create /proc/sys/kernel/hostname: Read-only file system\ntouch: /sys/x: Read-only file system\n"},
		{"nothing of the host", func(s *Spec) {}, "ls -A /; grep -cE ' (ext4|xfs|btrfs) ' /proc/self/mounts", "bin\ndev\netc\nproc\nsys\ntmp\n0\n"},
		{"writable", func(s *Spec) {}, "touch /bin/x && ls /bin/x", "/bin/x\n"},
		{"read-only", func(s *Spec) { s.Root.ReadOnly = true }, "touch /bin/x; touch /dev/shm/y && echo shm", "touch: /bin/x: Read-only file system\nshm\n"},
		{"tmpfs over a directory and over nothing", func(s *Spec) {
			s.Root.Mounts = []Mount{{Target: "/tmp", Size: 1 << 20}, {Target: "/run/a"}}
			s.Root.ReadOnly = true
		}, "stat -c '%a %u:%g' /tmp /run/a; grep -oE 'tmpfs /(tmp|run).*' /proc/self/mounts | grep -o '[rw]*,nosuid,nodev,noexec'",
			"755 0:0\n1777 0:0\nrw,nosuid,nodev,noexec\nrw,nosuid,nodev,noexec\n"},
		{"working directory that is missing", func(s *Spec) { s.Dir, s.UID, s.Root.ReadOnly = "/a/b", 9, true }, "pwd; stat -c '%a %u:%g' .", "/a/b\n755 0:0\n"},
		{"resource limit", func(s *Spec) { s.Limits = []Limit{{unix.RLIMIT_CORE, 0, 0}, {unix.RLIMIT_NOFILE, 77, 88}} }, "ulimit -c; ulimit -n; ulimit -H -n", "0\n77\n88\n"},
		{"only the standard streams", func(s *Spec) {}, "ls /proc/self/fd | grep -v 3", "0\n1\n2\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec := command("sh", "-c", tt.script)
			sys := world(t)
			spec.Root = overlay(t, rootDir(t))
			tt.change(&spec)
			out, _, err := started(t, spec, sys)
			if err != nil {
				t.Fatal(err)
			}
			if out != tt.want {
				t.Errorf("wrote\n%s\nwant\n%s", out, tt.want)
			}
		})
	}
}

// TestStartFails looks at what is said, and with which exit status, where a program cannot start.
func TestStartFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Spec, string)
		want   error // fs.ErrNotExist, fs.ErrPermission, or nil for another one
		status int
	}{
		{"no such program in PATH", func(s *Spec, _ string) { s.Args[0] = "nothing" }, fs.ErrNotExist, 127},
		{"no such file", func(s *Spec, _ string) { s.Args[0] = "/bin/nothing" }, fs.ErrNotExist, 127},
		{"a directory", func(s *Spec, _ string) { s.Args[0] = "/bin" }, fs.ErrPermission, 126},
		{"not executable", func(s *Spec, root string) {
			s.Args[0] = "text"
			os.WriteFile(filepath.Join(root, "bin/text"), []byte("x"), 0o644)
		}, fs.ErrPermission, 126},
		{"not a program", func(s *Spec, root string) {
			s.Args[0] = "text"
			os.WriteFile(filepath.Join(root, "bin/text"), []byte("x"), 0o755)
		}, fs.ErrPermission, 126},
		{"a folder that its user may not pass", func(s *Spec, root string) {
			s.UID, s.Env = 12, []string{"PATH=/closed"}
			os.Mkdir(filepath.Join(root, "closed"), 0o700)
			os.Symlink("/bin/busybox", filepath.Join(root, "closed/sh"))
		}, fs.ErrPermission, 126},
		{"/proc is a symlink", func(s *Spec, root string) { os.Symlink("/tmp", filepath.Join(root, "proc")) }, nil, 125},
		{"a volume inside /proc", func(s *Spec, root string) {
			s.Root.Mounts = []Mount{{Target: "/data"}}
			os.Symlink("/proc/sys/net", filepath.Join(root, "data"))
		}, nil, 125},
		{"a capability that there is not", func(s *Spec, _ string) { s.Caps = []string{"CAP_ALL"} }, nil, 125},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			spec := command("sh", "-c", "echo started")
			sys, root := world(t), rootDir(t)
			spec.Root = overlay(t, root)
			tt.change(&spec, root)
			out, status, err := started(t, spec, sys)
			if out != "" || err == nil {
				t.Fatalf("it started: %q, %v", out, err)
			}
			if tt.want != nil && !errors.Is(err, tt.want) || Status(err) != tt.status || status != tt.status {
				t.Errorf("error %v, status %d of it, %d of the process; want %v and %d", err, Status(err), status, tt.want, tt.status)
			}
			t.Log(err)
		})
	}
}

// TestJoin starts a second process in the world of a first one.
func TestJoin(t *testing.T) {
	t.Parallel()
	sys := world(t)
	spec := command("sh", "-c", "echo up; exec sleep 100")
	spec.Root = overlay(t, rootDir(t))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h, err := Start(spec, &os.ProcAttr{Files: []*os.File{w, w, w}, Sys: sys})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer syscall.Wait4(h.PID(), nil, 0, nil)
	defer syscall.Kill(h.PID(), syscall.SIGKILL)
	if err := errors.Join(h.Ready(), h.Release()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	probe := command("sh", "-c", "id -u; hostname; ls -A /; cat /proc/1/comm; readlink /proc/self/ns/* | sort > /tmp/a; cat /proc/$$/status | grep NSpid")
	probe.Join, probe.UID = h.PID(), 44
	probe.Args[2] = "id -u; hostname; ls -A /; cat /proc/1/comm"
	out, _, err := started(t, probe, &syscall.SysProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "44\nbox\nbin\ndev\netc\nproc\nsys\ntmp\nsleep\n"; out != want {
		t.Errorf("wrote %q, want %q", out, want)
	}
	for _, ns := range []string{"mnt", "net", "ipc", "uts", "pid"} {
		probe := command("readlink", "/proc/self/ns/"+ns)
		probe.Args[0] = "/bin/busybox"
		probe.Args = append([]string{"/bin/busybox", "readlink"}, probe.Args[1:]...)
		probe.Join = h.PID()
		out, _, err := started(t, probe, &syscall.SysProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := os.Readlink("/proc/" + strconv.Itoa(h.PID()) + "/ns/" + ns)
		if err != nil || strings.TrimSpace(out) != first {
			t.Errorf("%s namespace: %q of the second process, %q of the first, %v", ns, out, first, err)
		}
	}
}
