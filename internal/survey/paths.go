package survey

import (
	"path"
	"slices"
	"strings"

	"unroot/internal/rootfs"
)

// stateRoots are the folders of the Filesystem Hierarchy Standard (3.0, chapters 3.15 and 5) in
// which programs keep what they write, and whether it must outlive the container.
var stateRoots = []struct {
	path       string
	persistent bool
}{
	{"/run", false},
	{"/var/run", false},
	{"/var/lock", false},
	{"/var/log", false},
	{"/var/cache", false},
	{"/var/tmp", false},
	{"/tmp", false},
	{"/dev/shm", false},
	{"/var/lib", true},
	{"/var/spool", true},
	{"/var/opt", true},
	{"/var/mail", true},
	{"/srv", true},
}

// appStateNames are the names under which an application that lives in a folder of its own, such as
// /opt/app or /usr/local/app, keeps what it writes.
var appStateNames = []string{"logs", "log", "run", "tmp", "temp", "work", "data", "var", "cache", "pid", "pids"}

// sharedDirs belong to no one application: a program may be let in by the group, but they are
// never handed over to its user.
var sharedDirs = []string{"/run", "/run/lock", "/var/log", "/var/cache", "/var/spool", "/var/opt", "/srv", "/tmp", "/var/tmp", "/var/lock"}

// closedDirs are never made writable as a whole: who can write there can replace what others run
// or trust, such as /etc/passwd by a rename.
var closedDirs = []string{
	"/", "/bin", "/boot", "/dev", "/dev/shm", "/etc", "/home", "/lib", "/lib32", "/lib64", "/libx32", "/media", "/mnt", "/opt", "/proc", "/root",
	"/sbin", "/sys", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/local", "/usr/local/bin", "/usr/local/etc",
	"/usr/local/lib", "/usr/local/sbin", "/usr/local/share", "/usr/sbin", "/usr/share", "/var", "/var/lib",
}

// Shared reports whether the directory belongs to no one application.
func Shared(dir string) bool { return slices.Contains(sharedDirs, dir) }

// Closed reports whether the directory must not become writable as a whole.
func Closed(dir string) bool {
	return slices.Contains(closedDirs, dir) || below(dir, "/proc") || below(dir, "/sys") || below(dir, "/dev")
}

// mountPoints are closed directories in which no system keeps anything: an image that declares one a
// volume means that volume.
var mountPoints = []string{"/home", "/media", "/mnt", "/opt"}

// MountPoint reports whether the image declares the directory itself a volume, and it is one that may
// be handed over as such.
func (s *Survey) MountPoint(dir string) bool {
	return slices.Contains(mountPoints, dir) && slices.ContainsFunc(s.View.Config.Volumes(), func(v string) bool { return path.Clean("/"+v) == dir })
}

// below reports whether p is dir or lies in it.
func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// stateRoot is the state root that p lies in, and whether what is there must outlive the container.
func stateRoot(p string) (root string, persistent, ok bool) {
	for _, r := range stateRoots {
		if below(p, r.path) {
			return r.path, r.persistent, true
		}
	}
	return "", false, false
}

// Ephemeral reports whether what is written at p may be lost with the container.
func Ephemeral(p string) bool {
	_, persistent, ok := stateRoot(p)
	return ok && !persistent
}

// Place is where a path would be, with the symlinks of its existing part resolved.
type Place struct {
	Path   string       // real path
	Node   *rootfs.Node // the file there; the zero Node where there is none
	Exists bool
}

// Locate resolves a path that need not exist: the part that does is resolved as the kernel would,
// the rest is taken as it is. ok is false where the path leads nowhere, such as in a loop of links
// or through a file.
func Locate(t *rootfs.Tree, p string) (Place, bool) { return locate(t, p, maxLinks) }

// maxLinks is how many links one look-up follows, as in the kernel (MAXSYMLINKS in linux/namei.h).
const maxLinks = 40

func locate(t *rootfs.Tree, p string, links int) (Place, bool) {
	p = path.Clean("/" + p)
	node, err := t.Resolve(p)
	if err == nil {
		return Place{Path: node.Path(), Node: node, Exists: true}, true
	}
	if p == "/" {
		return Place{}, false
	}
	if link, err := t.Lookup(p); err == nil && link.Entry().Kind == rootfs.Symlink {
		if links == 0 {
			return Place{}, false
		}
		return locate(t, target(link.Path(), link.Entry().Link), links-1)
	}
	parent, ok := locate(t, path.Dir(p), links)
	if !ok || parent.Exists && parent.Node.Entry().Kind != rootfs.Dir {
		return Place{}, false
	}
	return Place{Path: path.Join(parent.Path, path.Base(p))}, true
}

// target is the path that a dangling symlink at the real path p points to.
func target(p, link string) string {
	if path.IsAbs(link) {
		return link
	}
	return path.Join(path.Dir(p), link)
}

// stems are the names by which a program's folders are found: "redis-server" → "redis-server" and
// "redis"; "php-fpm8.2" → also "php-fpm" and "php"; "mariadbd" → also "mariadb".
func stems(program string) []string {
	base := strings.TrimRight(path.Base(program), "0123456789.")
	names := []string{path.Base(program), base, strings.TrimSuffix(base, "d")}
	if i := strings.IndexAny(base, "-_"); i > 2 {
		names = append(names, base[:i])
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(n string) bool { return len(n) < 3 })
}

// related reports whether a folder's name belongs to one of the stems: "nginx", "redis", "apache2"
// for "apache", "postgresql" for "postgres".
func related(name string, stems []string) bool {
	name = strings.TrimRight(name, "0123456789.-")
	return slices.ContainsFunc(stems, func(s string) bool {
		return name == s || len(s) >= 5 && strings.HasPrefix(name, s)
	})
}
