//go:build amd64 || arm64

package tracer

import (
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// locate reads which file a call means: its path in the run's root.
func (t *Tracer) locate(k *task, w *where, args *[6]uint64) (string, bool) {
	dir := int32(unix.AT_FDCWD)
	if w.dir != none {
		dir = int32(args[w.dir])
	}
	if w.path == none {
		return t.ofDescriptor(k, dir), true
	}
	addr := args[w.path]
	text, ok := t.mem.text(k.tid, addr, maxPath)
	if !ok && addr == 0 && dir != unix.AT_FDCWD {
		return t.ofDescriptor(k, dir), true // utimensat(2) and statx(2) with NULL
	}
	if !ok {
		return "", false
	}
	if len(text) == 0 {
		if dir == unix.AT_FDCWD {
			return "", true // ENOENT, or AT_EMPTY_PATH of the working directory
		}
		return t.ofDescriptor(k, dir), true
	}
	return t.inRoot(k, dir, t.intern(text)), true
}

// inRoot makes a name a path in the run's root: "." and ".." are removed as written, as for a person
// who reads the name; symlinks stay.
func (t *Tracer) inRoot(k *task, dir int32, name string) string {
	if strings.HasPrefix(name, "/") {
		if !t.chroots {
			return path.Clean(name)
		}
		own, _ := t.readlink(t.ofThread(k) + "/root")
		return path.Join(t.belowRoot(own), name)
	}
	base := ""
	if dir == unix.AT_FDCWD {
		if text, ok := t.readlink(t.ofThread(k) + "/cwd"); ok {
			base = t.belowRoot(text)
		}
	} else {
		base = t.ofDescriptor(k, dir)
	}
	if base == "" {
		return name // nobody knows where: the descriptor is closed, or no directory
	}
	return path.Join(base, name)
}

// ofDescriptor is the path that a descriptor was opened by; "" where it has none.
func (t *Tracer) ofDescriptor(k *task, fd int32) string {
	text, ok := t.readlink(t.ofThread(k) + "/fd/" + strconv.Itoa(int(fd)))
	if !ok || !strings.HasPrefix(text, "/") {
		return ""
	}
	return t.belowRoot(text)
}

// gone is what the kernel puts after the path of a file that has been removed: d_path of fs/d_path.c.
const gone = " (deleted)"

// belowRoot turns a path that the kernel printed for the tracer into one in the run's root. It prints
// from the root of the process's mount namespace on; the run's root may be below of that.
func (t *Tracer) belowRoot(p string) string {
	p = strings.TrimSuffix(p, gone)
	if t.rootIs == nil {
		root := "/"
		if t.o.Root != nil {
			root = t.o.Root()
			if strings.HasPrefix(root, t.proc) {
				text, ok := t.readlink(root)
				if !ok {
					return p
				}
				root = text
			}
		}
		t.rootIs = &root
	}
	root := *t.rootIs
	if root == "/" || root == "" {
		return p
	}
	if rest, ok := strings.CutPrefix(p, root); ok && (rest == "" || rest[0] == '/') {
		return "/" + strings.TrimPrefix(rest, "/")
	}
	return p
}

// ofThread is a thread's directory in proc: threads that clone(2) made without CLONE_FS or CLONE_FILES
// have a working directory, a root and descriptors of their own.
func (t *Tracer) ofThread(k *task) string { return t.proc + "/" + strconv.Itoa(k.tid) }

func (t *Tracer) readlink(name string) (string, bool) {
	n, err := unix.Readlink(name, t.link[:])
	if err != nil || n <= 0 {
		return "", false
	}
	return t.intern(t.link[:n]), true
}

// maxInterned bounds the texts that are kept to be used again.
const maxInterned = 16384

// intern gives a text that was seen before without making it again.
func (t *Tracer) intern(b []byte) string {
	if s, ok := t.texts[string(b)]; ok {
		return s
	}
	if len(t.texts) >= maxInterned {
		clear(t.texts)
	}
	s := string(b)
	t.texts[s] = s
	return s
}
