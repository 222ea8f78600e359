package prepare

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unroot/internal/oracle"
)

var app = Who{Name: "app"}

func TestHome(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		world  []string
		mounts []string
		env    string
		args   []string
		home   string
		mode   string // of a home that was made
		says   string
	}{
		{name: "kept where it can be written", world: []string{"/home/ 0775 5:0"}, env: "HOME=/home", home: "/home"},
		{name: "an engine's default", env: "HOME=/", home: "/run/unroot/home", mode: "0700"},
		{name: "the root directory though it can be written", world: []string{"/ 0777 0:0"}, env: "HOME=//.", home: "/run/unroot/home", mode: "0700"},
		{name: "unset", home: "/run/unroot/home", mode: "0700"},
		{name: "somebody else's", world: []string{"/root/ 0700 0:0"}, env: "HOME=/root", home: "/run/unroot/home", mode: "0700"},
		{name: "a file", world: []string{"/h 0666 0:0 x"}, env: "HOME=/h", home: "/run/unroot/home", mode: "0700"},
		{name: "relative", env: "HOME=tmp", home: "/run/unroot/home", mode: "0700"},
		{name: "the order's", world: []string{"/srv/app/ 0770 0:0"}, env: "HOME=/", args: []string{"--home=/srv/app"}, home: "/srv/app"},
		{name: "the order's, made", world: []string{"/srv/ 0770 0:0"}, args: []string{"--home=/srv/a/b"}, home: "/srv/a/b", mode: "0700"},
		{name: "no private directory", mounts: []string{"ro /", "tmpfs /tmp mode=1777"}, home: "/tmp/unroot-home-1000700000", mode: "0700"},
		{name: "a name that was taken", world: []string{"/tmp/unroot-home-1000700000 -> /etc"}, mounts: []string{"tmpfs /run mode=0755"},
			home: "/tmp/unroot-home-1000700000-1", mode: "0700"},
		{name: "a directory of somebody else", world: []string{"/tmp/unroot-home-1000700000/ 0777 7:7"}, mounts: []string{"tmpfs /run mode=0755"},
			home: "/tmp/unroot-home-1000700000-1", mode: "0700"},
		{name: "a tmpfs over run that group 0 can write", mounts: []string{"tmpfs /run mode=0775"}, home: "/run/unroot/home", mode: "0700"},
		{name: "nowhere", mounts: []string{"ro /"}, env: "HOME=/root", home: "/root", says: "HOME is not one"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.world...)
			args := test.args
			if args == nil {
				args = []string{"--names=nscd"}
			}
			var env []string
			if test.env != "" {
				env = []string{test.env}
			}
			e := w.start(start{Mounts: test.mounts, Args: args, Env: env, Who: app})
			if e.Refusal != "" || e.Err != "" || !strings.Contains(e.stderr, test.says) || test.says == "" && e.stderr != "" {
				t.Errorf("refused %q, failed %q, said %q", e.Refusal, e.Err, e.stderr)
			}
			if got := value(e.Env, "HOME"); got != test.home {
				t.Errorf("HOME is %q, want %q", got, test.home)
			}
			if got := e.Files[test.home]; got != test.mode {
				t.Errorf("the home has mode %q, want %q", got, test.mode)
			}
			if value(e.Env, "USER") != "app" || value(e.Env, "LOGNAME") != "app" {
				t.Errorf("environment %q", e.Env)
			}
		})
	}
}

// keyWorld is an image with a private file.
func keyWorld(t *testing.T) *world {
	return newWorld(t, "/etc/monit/monitrc -> /run/unroot/etc/monit/monitrc", "/usr/share/unroot-init/etc/monit/monitrc 0640 0:0 secret")
}

const keyCopy = "/run/unroot/etc/monit/monitrc"

var keyStart = start{Args: []string{"--private-file=0600:/etc/monit/monitrc"}, Who: app, Env: []string{"HOME=/tmp"}}

func TestPrivateFile(t *testing.T) {
	t.Parallel()
	w := keyWorld(t)
	e := w.start(keyStart)
	e.good(t)
	e.has(t, keyCopy, "0600 secret")
	e.has(t, "/run/unroot/etc", "0700")

	// What the program wrote stays over a restart, whatever became of the mode.
	w.make(keyCopy + " 0666 1000700000:0 written by the program")
	e = w.start(keyStart)
	e.good(t)
	e.has(t, keyCopy, "0600 written by the program")

	// Another image, with the same private directory.
	w.make("/usr/share/unroot-init/etc/monit/monitrc 0640 0:0 next version")
	e = w.start(keyStart)
	e.good(t)
	e.has(t, keyCopy, "0600 next version")

	// What a crash left.
	w.make(keyCopy + " 0600 1000700000:0 ")
	e = w.start(keyStart)
	e.good(t)
	e.has(t, keyCopy, "0600 next version")

	// Somebody else's file in our own directory is replaced.
	w.make(keyCopy + " 0666 7:7 planted")
	e = w.start(keyStart)
	e.good(t)
	e.has(t, keyCopy, "0600 next version")
	for path := range e.Files {
		if strings.Contains(path, ".unroot-init-") {
			t.Errorf("left behind: %s", path)
		}
	}
}

func TestPrivateFileWhere(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		world   []string
		remove  string
		mounts  []string
		refuses []string
		says    string
		there   bool
	}{
		{name: "a tmpfs over run that group 0 can write", mounts: []string{"tmpfs /run mode=0775"}, there: true},
		{name: "a tmpfs over run that anybody can write", mounts: []string{"tmpfs /run mode=1777"}, there: true},
		{name: "a tmpfs over run that only root can write", mounts: []string{"tmpfs /run mode=0755"},
			refuses: []string{"/run has owner 0:0, mode 0755", "private copy of /etc/monit/monitrc", "--tmpfs /run:uid=1000700000"}},
		{name: "read-only", mounts: []string{"ro /"}, refuses: []string{"/run/unroot: owner 65532:0", "read-only", "--tmpfs /run:"}},
		{name: "the private directory is a link", world: []string{"/else/ 0777 1000700000:0"}, remove: "/run/unroot", refuses: []string{"/run/unroot"}},
		{name: "the private directory is somebody else's", world: []string{"/run/unroot/ 0777 7:7"}, refuses: []string{"has owner 7:7 and mode 0777"}},
		{name: "a planted link", world: []string{"/run/unroot/etc -> /tmp"}, refuses: []string{"/run/unroot/etc", "is not a directory"}},
		{name: "a planted directory", world: []string{"/run/unroot/etc/ 0777 7:0"}, refuses: []string{"/run/unroot/etc", "has owner 7:0"}},
		{name: "a planted link at the end", world: []string{"/run/unroot/etc/ 0700 1000700000:0", "/run/unroot/etc/monit/ 0700 1000700000:0", "/run/unroot/etc/monit/monitrc -> /tmp/victim"}, there: true},
		{name: "no room", mounts: []string{"tmpfs /run mode=0775 nr_inodes=4"}, refuses: []string{"copying /etc/monit/monitrc into /run/unroot: no space left on device", "make room"}},
		{name: "no seed", remove: "/usr/share/unroot-init/etc", refuses: []string{"/usr/share/unroot-init/etc/monit/monitrc", "mount nothing over"}},
		{name: "the user's own, good", world: []string{"/mine 0600 1000700000:0 mine", "/run/unroot/etc/monit/monitrc 0644 0:0"}, mounts: []string{"bind /mine /run/unroot/etc/monit/monitrc"}},
		{name: "the user's own, root's", world: []string{"/mine 0644 0:0 mine", "/run/unroot/etc/monit/monitrc 0644 0:0"}, mounts: []string{"bind /mine /run/unroot/etc/monit/monitrc"},
			says: "has owner 0:0 and mode 0644"},
		{name: "the user's own directory", world: []string{"/mine/monitrc 0644 0:0 mine"}, mounts: []string{"bind /mine /etc/monit"}, says: "has owner 0:0 and mode 0644"},
		{name: "the user's own directory without it", world: []string{"/mine/ 0755 0:0"}, mounts: []string{"bind /mine /etc/monit"}, says: "is not there: what is mounted over /etc/monit hides it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := keyWorld(t)
			w.make(test.world...)
			if test.remove != "" {
				if err := os.RemoveAll(filepath.Join(w.root, test.remove)); err != nil {
					t.Fatal(err)
				}
				if test.remove == "/run/unroot" {
					w.make("/run/unroot -> /else")
				}
			}
			s := keyStart
			s.Mounts = test.mounts
			e := w.start(s)
			switch {
			case test.refuses != nil:
				e.refuses(t, test.refuses...)
			case test.says != "":
				if e.Refusal != "" || !strings.Contains(e.stderr, test.says) {
					t.Errorf("refused %q, said %q", e.Refusal, e.stderr)
				}
			default:
				e.good(t)
			}
			if got := e.Files[keyCopy]; test.there && got != "0600 secret" {
				t.Errorf("the copy is %q", got)
			}
			if _, err := os.Lstat(filepath.Join(w.root, "/tmp/victim")); err == nil {
				t.Error("a link was followed")
			}
		})
	}
}

func TestPrivateDir(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		world   []string
		mounts  []string
		mode    string
		refuses []string
	}{
		{name: "missing", world: []string{"/data/ 0775 0:0"}, mode: "0700"},
		{name: "the group's bits, as fsGroup gives them", world: []string{"/data/pg/ 2770 1000700000:0"}, mode: "0700"},
		{name: "right", world: []string{"/data/pg/ 0700 1000700000:0"}, mode: "0700"},
		{name: "the image's, empty", world: []string{"/data/ 0775 0:0", "/data/pg/ 0770 65532:0"}, mode: "0700"},
		{name: "the image's, not empty", world: []string{"/data/ 0775 0:0", "/data/pg/ 0770 65532:0", "/data/pg/x 0660 65532:0"}, refuses: []string{"must belong to"}},
		{name: "an empty mount", world: []string{"/data/ 0775 0:0", "/data/pg/ 0770 65532:0"}, mounts: []string{"tmpfs /data/pg mode=0777"}, refuses: []string{"must belong to", "a tmpfs"}},
		{name: "closed", world: []string{"/data/pg/ 0000 1000700000:0"}, mode: "0700"},
		{name: "somebody else's, though it can be written", world: []string{"/data/pg/ 0777 999:0"}, refuses: []string{"must belong to", "owner 999:0, mode 0777"}},
		{name: "missing where nothing can be made", world: []string{"/data/ 0755 0:0"}, refuses: []string{"/data/pg: not there; /data has owner 0:0"}},
		{name: "read-only", world: []string{"/data/pg/ 0750 1000700000:0"}, mounts: []string{"bind /data/pg /data/pg", "ro /data/pg"}, refuses: []string{"mounted read-only"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.world...)
			e := w.start(start{Mounts: test.mounts, Args: []string{"--private-dir=0700:/data/pg"}, Env: []string{"HOME=/tmp"}, Who: app})
			if test.refuses != nil {
				e.refuses(t, test.refuses...)
				return
			}
			e.good(t)
			e.has(t, "/data/pg", test.mode)
		})
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	w := newWorld(t,
		"/usr/share/unroot-init/var/app/ 0755 0:0", "/usr/share/unroot-init/var/app/sub/ 1775 0:0", "/usr/share/unroot-init/var/app/sub/file 0640 0:0 content",
		"/usr/share/unroot-init/var/app/kept 0644 0:0 the image's", "/usr/share/unroot-init/var/app/link -> sub/file", "/usr/share/unroot-init/var/app/out -> /etc",
		"/usr/share/unroot-init/var/app/taken/below 0644 0:0 x", "/usr/share/unroot-init/var/app/name\n\x1bwith\"odd 0600 1000700000:0 odd",
		"/var/app/ 0775 0:0", "/vol/ 0775 0:0", "/vol/kept 0600 1000700000:0 mine", "/vol/taken -> /tmp")
	s := start{Args: []string{"--fill=/var/app"}, Env: []string{"HOME=/tmp"}, Who: app}
	e := w.start(s)
	e.good(t)
	if _, there := e.Files["/var/app/sub"]; there {
		t.Error("filled though nothing is mounted")
	}
	for _, mounts := range [][]string{{"bind /vol /var/app"}, {"bind /vol /var/app"}, {"tmpfs /var/app mode=0775"}} {
		s.Mounts = mounts
		e = w.start(s)
		e.good(t)
		e.has(t, "/var/app/sub", "1775")
		e.has(t, "/var/app/sub/file", "0640 content")
		e.has(t, "/var/app/link", "-> sub/file")
		e.has(t, "/var/app/out", "-> /etc")
		e.has(t, "/var/app/name\n\x1bwith\"odd", "0600 odd")
		if mounts[0][0] == 'b' {
			e.has(t, "/var/app/kept", "0600 mine")
		}
	}
	if _, err := os.Lstat(filepath.Join(w.root, "/tmp/below")); err == nil {
		t.Error("a link was followed")
	}
	s.Mounts = []string{"tmpfs /var/app mode=0755"}
	w.start(s).refuses(t, "/var/app: owner 0:0, mode 0755: empty and root's", "it lacks \"/var/app/", "--tmpfs /var/app:uid=1000700000")
	s.Mounts = []string{"tmpfs /var/app mode=0775 nr_inodes=3"}
	w.start(s).refuses(t, "no space left on device", "needs room")
	s.Mounts = []string{"tmpfs /usr/share mode=0755", "tmpfs /var/app mode=0775"}
	w.start(s).refuses(t, "mount nothing over it")
}

func TestFillLimits(t *testing.T) {
	t.Parallel()
	deep := "/usr/share/unroot-init/var/app/" + strings.Repeat("d/", maxFillDepth+2)
	w := newWorld(t, deep+" 0755 0:0", "/var/app/ 0775 0:0")
	s := start{Args: []string{"--fill=/var/app"}, Env: []string{"HOME=/tmp"}, Who: app, Mounts: []string{"tmpfs /var/app mode=0775"}}
	w.start(s).refuses(t, "directories in one another")
	w = newWorld(t, "/usr/share/unroot-init/var/app/secret 0600 0:0 x", "/var/app/ 0775 0:0")
	w.start(s).refuses(t, "/usr/share/unroot-init/var/app/secret: permission denied", "convert the image again")
	w = newWorld(t, "/usr/share/unroot-init/var/app/big 0644 0:0 x", "/var/app/ 0775 0:0")
	if err := os.Truncate(filepath.Join(w.root, "usr/share/unroot-init/var/app/big"), maxFillBytes+1); err != nil {
		t.Fatal(err)
	}
	w.start(s).refuses(t, "more than")
}

func TestWritable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		world   []string
		mounts  []string
		paths   []string
		env     string
		refuses []string
		says    string
	}{
		{name: "good", world: []string{"/a/ 0770 5:0", "/f 0660 5:0 x", "/l -> a"}, paths: []string{"/a", "/f", "/l", "/a/missing/below"}},
		{name: "a directory", world: []string{"/a/ 0755 0:0"}, paths: []string{"/a"}, refuses: []string{"/a cannot be written", "owner 0:0, mode 0755: empty and root's", "not mounted"}},
		{name: "a file", world: []string{"/f 0644 0:0 x"}, paths: []string{"/f"}, refuses: []string{"/f: owner 0:0, mode 0644"}},
		{name: "a link", world: []string{"/a/ 0755 0:0", "/l -> a"}, paths: []string{"/l"}, refuses: []string{"/l: at /a, owner 0:0"}},
		{name: "a link to nothing", world: []string{"/a/ 0755 0:0", "/l -> a/none"}, paths: []string{"/l"}, refuses: []string{"/l cannot be written"}},
		{name: "a loop", world: []string{"/l -> l"}, paths: []string{"/l"}, refuses: []string{"too many levels of symbolic links"}},
		{name: "behind a closed door", world: []string{"/a/ 0700 7:7", "/a/b/ 0777 0:0"}, paths: []string{"/a/b"}, refuses: []string{"/a has owner 7:7, mode 0700"}},
		{name: "read-only", world: []string{"/a/ 0770 0:0"}, mounts: []string{"bind /a /a", "ro /a"}, paths: []string{"/a"}, refuses: []string{"mounted read-only"}},
		{name: "read-only root", mounts: []string{"ro /"}, paths: []string{"/tmp"}, refuses: []string{"the container's own root file system, which is read-only", "--tmpfs /tmp"}},
		{name: "a tmpfs", world: []string{"/a/ 0770 0:0"}, mounts: []string{"tmpfs /a mode=0755"}, paths: []string{"/a"}, refuses: []string{"a tmpfs", "--tmpfs /a:uid=1000700000,gid=0"}},
		{name: "old data on a volume", world: []string{"/v/x 0644 0:0 x", "/a/ 0770 0:0"}, mounts: []string{"bind /v /a"}, paths: []string{"/a"}, refuses: []string{"owner 0:0, mode 0755: root's"}},
		{name: "two", world: []string{"/a/ 0755 0:0", "/b/ 0755 7:7"}, paths: []string{"/a", "/b"}, refuses: []string{"2 paths cannot", "/a: owner 0:0", "/b: owner 7:7"}},
		{name: "warned", world: []string{"/a/ 0755 0:0"}, paths: []string{"/a"}, env: "UNROOT_VOLUMES=warn", says: "unroot-init: /a cannot be written"},
		{name: "old data in a volume that was given away", world: []string{"/v/ 0777 0:0", "/v/db 0640 0:0 x", "/v/mine 0640 1000700000:0 x", "/a/ 0770 0:0"}, mounts: []string{"bind /v /a"}, paths: []string{"/a"},
			says: "/a holds what cannot be written"},
		{name: "what the image has so", world: []string{"/a/ 0770 0:0", "/a/conf 0644 0:0 x"}, paths: []string{"/a"}},
		{name: "a file mounted in a volume", world: []string{"/v/ 0777 0:0", "/v/conf 0644 0:0 x", "/a/ 0770 0:0"}, mounts: []string{"bind /v /a", "bind /etc /etc", "bind /v/conf /a/conf"}, paths: []string{"/a"}},
		{name: "full", world: []string{"/a/ 0770 0:0"}, mounts: []string{"tmpfs /a mode=0777 nr_inodes=1"}, paths: []string{"/a"}, says: "/a is full"},
		{name: "the file of a new volume", world: []string{"/v/lost+found/ 0700 0:0", "/a/ 0770 0:0"}, mounts: []string{"bind /v /a"}, paths: []string{"/a"}, refuses: []string{"empty and root's"}},
		{name: "odd names", world: []string{"/a\n\x1b[2J/ 0755 0:0"}, paths: []string{"/a\n\x1b[2J"}, refuses: []string{`"/a\n\x1b[2J" cannot`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.world...)
			s := start{Mounts: test.mounts, Env: []string{"HOME=/tmp", test.env}, Who: app}
			if test.name == "read-only root" {
				s.Env = []string{"HOME=/nowhere"}
			}
			for _, p := range test.paths {
				s.Args = append(s.Args, "--writable="+p)
			}
			e := w.start(s)
			switch {
			case test.refuses != nil:
				e.refuses(t, test.refuses...)
			case test.says != "":
				if e.Refusal != "" || !strings.Contains(e.stderr, test.says) {
					t.Errorf("refused %q, said %q", e.Refusal, e.stderr)
				}
			default:
				e.good(t)
			}
			for path := range e.Files {
				if strings.Contains(path, ".unroot-init-") {
					t.Errorf("left behind: %s", path)
				}
			}
		})
	}
}

// TestUmask: what is made has the mode that was asked for whatever the umask is.
func TestUmask(t *testing.T) {
	t.Parallel()
	w := keyWorld(t)
	s := keyStart
	s.Args = append([]string{"--umask=0777"}, s.Args...)
	e := w.start(s)
	e.good(t)
	e.has(t, keyCopy, "0600 secret")
	if e.Umask != 0o777 {
		t.Errorf("the program gets umask %03o", e.Umask)
	}
	w = newWorld(t, "/srv/ 0775 0:0")
	e = w.start(start{Args: []string{"--umask=0002", "--private-dir=0700:/srv/a/b"}, Env: []string{"HOME=/tmp"}, Who: app})
	e.good(t)
	e.has(t, "/srv/a", "0775")
	e.has(t, "/srv/a/b", "0700")
}

// TestGone: a file system whose server has ended is told, whatever was wanted of it.
func TestGone(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		oracle.Missing(t, "/dev/fuse: %v", err)
	}
	w := newWorld(t, "/data/ 0777 0:0", "/usr/share/unroot-init/data/x 0644 0:0 x")
	for _, arg := range []string{"--writable=/data", "--writable=/data/below", "--private-dir=0700:/data", "--fill=/data"} {
		e := w.start(start{Mounts: []string{"dead /data"}, Args: []string{arg}, Env: []string{"HOME=/data"}, Who: app})
		e.refuses(t, "/data", "gone or does not answer (transport endpoint is not connected)", "mounted: shared by the machine or the program outside (fuse)")
	}
}
