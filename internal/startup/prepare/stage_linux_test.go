package prepare

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
	"unroot/internal/startup"
)

// stageEnv, where it is set, makes this program a start in a root directory of its own.
const stageEnv = "UNROOT_PREPARE_STAGE"

func TestMain(m *testing.M) {
	if spec := os.Getenv(stageEnv); spec != "" {
		os.Unsetenv(stageEnv)
		stage(spec)
		return
	}
	os.Exit(m.Run())
}

// start is one start of a container: what is mounted, who runs, and what is asked for.
type start struct {
	Root     string
	Mounts   []string // "tmpfs /run mode=0755", "bind /a /b", "ro /"
	UID, GID int
	Groups   []int
	Args     []string // of unroot-init
	Env      []string
	Who      Who
}

// ended is what came of it.
type ended struct {
	Env     []string
	Refusal string // of a *Refusal
	Err     string // of any other error
	Broken  string // the test itself
	Umask   int    // that the program gets
	Files   map[string]string
	stderr  string
}

// stage runs in a process of its own: it mounts, goes into the root directory, becomes the user and
// prepares, and writes what came of it to standard output.
func stage(spec string) {
	var s start
	var e ended
	err := json.Unmarshal([]byte(spec), &s)
	if err == nil {
		err = s.enter()
	}
	if err != nil {
		e.Broken = err.Error()
	} else {
		s.prepare(&e)
	}
	_ = json.NewEncoder(os.Stdout).Encode(e)
}

func (s *start) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount(s.Root, s.Root, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", filepath.Join(s.Root, "proc"), "proc", 0, ""); err != nil {
		return err
	}
	fuse, noFuse := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err := errors.Join(unix.Chroot(s.Root), unix.Chdir("/")); err != nil {
		return err
	}
	for _, line := range s.Mounts {
		f := strings.Fields(line)
		var err error
		switch f[0] {
		case "tmpfs":
			err = unix.Mount("tmpfs", f[1], "tmpfs", 0, strings.Join(f[2:], ","))
		case "dead": // a file system whose server has ended
			if err = noFuse; err == nil {
				err = unix.Mount("dead", f[1], "fuse", 0, "rootmode=40000,user_id=0,group_id=0,allow_other,fd="+strconv.Itoa(fuse))
				unix.Close(fuse)
			}
		case "bind":
			err = unix.Mount(f[1], f[2], "", unix.MS_BIND, "")
		case "ro":
			err = unix.Mount("", f[1], "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
		}
		if err != nil {
			return errors.New(line + ": " + err.Error())
		}
	}
	return errors.Join(syscall.Setgroups(s.Groups), syscall.Setresgid(s.GID, s.GID, s.GID), syscall.Setresuid(s.UID, s.UID, s.UID))
}

func (s *start) prepare(e *ended) {
	o, _, err := startup.Parse(append(s.Args, "--", "program"))
	if err != nil {
		e.Broken = err.Error()
		return
	}
	env, err := Prepare(o, s.Env)
	e.Env = Named(o, env, s.Who)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		e.Refusal = refusal.Text
	} else if err != nil {
		e.Err = err.Error()
	}
	e.Umask = unix.Umask(0)
	e.Files = map[string]string{}
	_ = filepath.WalkDir("/", func(path string, d os.DirEntry, err error) error {
		if err != nil || path == "/proc" {
			return filepath.SkipDir
		}
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && st.Uid == uint32(s.UID) {
			e.Files[path] = octal(uint32(st.Mode) & 0o7777)
			if st.Mode&unix.S_IFMT == unix.S_IFREG {
				b, _ := os.ReadFile(path)
				e.Files[path] += " " + string(b)
			}
			if target, err := os.Readlink(path); err == nil {
				e.Files[path] = "-> " + target
			}
		}
		return nil
	})
}

// world is a root directory on disk.
type world struct {
	t    *testing.T
	root string
}

// newWorld makes a root directory as an image has it: lines are "PATH MODE UID:GID [CONTENT]",
// directories end in "/", and "PATH -> TARGET".
func newWorld(t *testing.T, lines ...string) *world {
	t.Helper()
	oracle.Root(t)
	root, err := os.MkdirTemp("", "unroot-prepare-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	w := &world{t, root}
	w.make(append([]string{"/ 0755 0:0", "/proc/ 0755 0:0", "/tmp/ 1777 0:0", "/run/ 0775 0:0", "/run/unroot/ 0770 65532:0", "/etc/ 0755 0:0",
		"/usr/share/unroot-init/ 0755 0:0"}, lines...)...)
	return w
}

func (w *world) make(lines ...string) {
	w.t.Helper()
	for _, line := range lines {
		path, rest, _ := strings.Cut(line, " ")
		at := filepath.Join(w.root, path)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		f := strings.SplitN(rest, " ", 3)
		switch {
		case err != nil:
		case f[0] == "->":
			err = os.Symlink(f[1], at)
		default:
			mode, _ := strconv.ParseUint(f[0], 8, 32)
			var uid, gid int
			u, g, _ := strings.Cut(f[1], ":")
			uid, _ = strconv.Atoi(u)
			gid, _ = strconv.Atoi(g)
			if strings.HasSuffix(path, "/") {
				err = os.MkdirAll(at, 0o755)
			} else {
				err = os.WriteFile(at, []byte(strings.Join(f[2:], "")), 0o644)
			}
			err = errors.Join(err, os.Chown(at, uid, gid), unix.Chmod(at, uint32(mode)))
		}
		if err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
	}
}

// start starts a container in the world.
func (w *world) start(s start) ended {
	w.t.Helper()
	s.Root = w.root
	if s.UID == 0 {
		s.UID = 1000700000
	}
	spec, err := json.Marshal(s)
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.CommandContext(w.t.Context(), "/proc/self/exe")
	cmd.Env = []string{stageEnv + "=" + string(spec)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var e ended
	err = cmd.Run()
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &e)
	}
	if err != nil || e.Broken != "" {
		w.t.Fatalf("the start: %v %s\n%s", err, e.Broken, errs.String())
	}
	e.stderr = errs.String()
	return e
}

// good fails the test where a start refused or said something.
func (e ended) good(t *testing.T) {
	t.Helper()
	if e.Refusal != "" || e.Err != "" || e.stderr != "" {
		t.Errorf("refused %q, failed %q, said %q", e.Refusal, e.Err, e.stderr)
	}
}

// refuses fails the test where a start did not refuse with all of these words.
func (e ended) refuses(t *testing.T, words ...string) {
	t.Helper()
	if e.Refusal == "" || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(e.Refusal, w) }) {
		t.Errorf("refused %q, failed %q, said %q; want %q in it", e.Refusal, e.Err, e.stderr, words)
	}
}

// has fails the test where the user does not own a file with this mode and content.
func (e ended) has(t *testing.T, path, want string) {
	t.Helper()
	if got, ok := e.Files[path]; !ok || got != want {
		t.Errorf("%s is %q (there: %v), want %q", path, got, ok, want)
	}
}
