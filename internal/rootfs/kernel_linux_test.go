package rootfs

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
	"unroot/internal/account"
	"unroot/internal/oracle"
)

var kernelSeed = flag.Uint64("kernel-seed", 1, "seed of the trees that the kernel judges")

// TestKernelAgrees builds random trees on disk and asks the kernel, as processes without any
// capability, what May and its sisters say.
func TestKernelAgrees(t *testing.T) {
	oracle.Root(t)
	trees, deadline := 3500, time.Now().Add(40*time.Second)
	if testing.Short() {
		trees = 300
	}
	k := newKernel(t)
	start := time.Now()
	for i := range trees {
		if time.Now().After(deadline) {
			t.Logf("stopped after %d of %d trees: slow machine", i, trees)
			break
		}
		k.judgeTree(rand.New(rand.NewPCG(*kernelSeed, uint64(i))), i)
		if t.Failed() {
			t.Fatalf("tree %d of seed %d", i, *kernelSeed)
		}
	}
	t.Logf("%d questions in %v: %v", k.asked, time.Since(start).Round(time.Millisecond), k.outcomes)
	for _, errno := range []unix.Errno{0, unix.EACCES, unix.EPERM, unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENAMETOOLONG, unix.EEXIST, unix.EISDIR, unix.EBUSY} {
		if k.outcomes[errno] == 0 {
			t.Errorf("no question had the outcome %q: the trees do not test it", errno)
		}
	}
}

// kernel is the judge, and what it was asked.
type kernel struct {
	t        *testing.T
	base     string
	host     host
	asked    int
	outcomes map[unix.Errno]int
}

func newKernel(t *testing.T) *kernel {
	k := &kernel{t: t, base: fastDir(t), outcomes: map[unix.Errno]int{}}
	k.host.protectedSymlinks = sysctl("fs/protected_symlinks") != "0"
	regular, fifos := sysctl("fs/protected_regular"), sysctl("fs/protected_fifos")
	k.host.protectedFiles = regular != "0"
	if regular != fifos || regular == "2" {
		t.Logf("fs.protected_regular=%s and fs.protected_fifos=%s: opening with O_CREAT in sticky directories is not compared", regular, fifos)
	}
	return k
}

// fastDir is a folder in memory where there is one that lets files be executed.
func fastDir(t *testing.T) string {
	var fs unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &fs); err != nil || fs.Flags&unix.ST_NOEXEC != 0 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "rootfs")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func sysctl(name string) string {
	b, _ := os.ReadFile("/proc/sys/" + name)
	return strings.TrimSpace(string(b))
}

func (k *kernel) judgeTree(r *rand.Rand, i int) {
	tree, err := Merge(randomTree(r))
	if err != nil {
		k.t.Fatal(err)
	}
	root := filepath.Join(k.base, fmt.Sprint(i))
	k.check(buildTree(root, tree))
	for range 2 {
		id := randomIdentity(r)
		questions := make([]question, 30)
		for j := range questions {
			questions[j] = k.randomQuestion(r, tree, id)
		}
		k.check(asIdentity(root, id, func() {
			for j := range questions {
				questions[j].ask()
			}
		}))
		for _, q := range questions {
			k.compare(tree, id, q)
			k.compareFile(root, q)
		}
	}
	k.check(os.RemoveAll(root))
}

func (k *kernel) check(err error) {
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *kernel) compare(tree *Tree, id account.Identity, q question) {
	k.asked++
	k.outcomes[q.kernel]++
	if q.undo != nil {
		k.t.Errorf("undoing %s %q: %v", q.op, q.path, q.undo)
	}
	if want := errnoOf(q.ours); want != q.kernel {
		k.t.Errorf("%s %q as %v %v: the kernel says %q, we say %q (%v)\n%s", q.op, q.path, id, id.Groups, q.kernel, want, q.ours, strings.Join(listing(tree), "\n"))
	}
}

// compareFile checks that "stat" and "lstat" found the file that we found.
func (k *kernel) compareFile(root string, q question) {
	if q.node == nil || q.inode == 0 {
		return
	}
	var st unix.Stat_t
	k.check(unix.Lstat(filepath.Join(root, q.node.Path()), &st))
	if st.Ino != q.inode {
		k.t.Errorf("%s %q: we say that it is %q, the kernel finds another file", q.op, q.path, q.node.Path())
	}
}

func errnoOf(a Answer) unix.Errno {
	for ours, errno := range map[error]unix.Errno{
		ErrNotExist: unix.ENOENT, ErrNotDir: unix.ENOTDIR, ErrIsDir: unix.EISDIR, ErrLoop: unix.ELOOP,
		ErrNameTooLong: unix.ENAMETOOLONG, ErrExist: unix.EEXIST, ErrBusy: unix.EBUSY,
	} {
		if errors.Is(a.Err, ours) {
			return errno
		}
	}
	switch {
	case a.OK:
		return 0
	case a.Rule == BySticky, a.Rule == ByOwner:
		return unix.EPERM
	}
	return unix.EACCES
}

// question is one system call, our answer and the kernel's.
type question struct {
	op     string
	path   string
	access uint32 // of "access"
	mode   uint32 // of "chmod": the mode that the file has
	real   string // real path of what the call makes or moves
	aside  string // of "remove": where the file is moved to and back from
	node   *Node  // of "stat" and "lstat": what we found
	inode  uint64 // of "stat" and "lstat": what the kernel found
	ours   Answer
	kernel unix.Errno
	undo   error
}

func (k *kernel) randomQuestion(r *rand.Rand, tree *Tree, id account.Identity) question {
	q := question{path: askedPath(r, tree)}
	switch n := r.IntN(12); {
	case n >= 10:
		q.op = pick(r, []string{"stat", "lstat"})
		w := walker{root: tree.root, path: q.path, follow: q.op == "stat", id: &id, host: k.host}
		node, err := w.find()
		if q.node, q.ours = node, (Answer{OK: true}); err != nil {
			q.node, q.ours = nil, w.ended(err)
		}
	case n < 4:
		q.op, q.access = "access", uint32(r.IntN(8))
		q.ours = k.host.may(tree, id, q.path, Access(q.access))
	case n < 6:
		q.op, q.ours = "mkdir", tree.MayCreate(id, q.path)
	case n < 8:
		q.op, q.ours = "remove", tree.MayRemove(id, q.path)
		dir, name, err := tree.ResolveParent(q.path)
		switch {
		case err == nil:
			q.real, q.aside = filepath.Join(dir.Path(), name), filepath.Join(dir.Path(), "aside")
		case errors.Is(err, ErrExist):
			q.aside = "/" // no directory is searched for it, as none is for a path "/"
		default:
			q.aside = "/aside"
		}
	case n < 9:
		q.op, q.ours = "chmod", k.host.mayChmod(tree, id, q.path)
		if n, err := tree.Resolve(q.path); err == nil {
			q.mode = uint32(n.Entry().Mode)
		}
	default:
		q.op, q.ours = "open", k.host.mayWrite(tree, id, q.path)
		w := walker{root: tree.root, path: q.path, follow: true, end: endAtMissing}
		if dir, err := w.find(); err == nil && w.last != "" {
			q.real = filepath.Join(dir.Path(), w.last)
		}
		if level := sysctl("fs/protected_regular"); level != sysctl("fs/protected_fifos") || level == "2" {
			return k.randomQuestion(r, tree, id)
		}
	}
	return q
}

// askedPath is that of a file of the tree, near one, or any.
func askedPath(r *rand.Rand, tree *Tree) string {
	if r.IntN(2) == 0 {
		return randomPath(r, 5)
	}
	var paths []string
	for n := range tree.Walk("/") {
		paths = append(paths, n.Path())
	}
	return pick(r, paths) + pick(r, []string{"", "", "", "", "/", "/.", "/new", "/a", "/../b"})
}

// ask puts the question to the kernel and leaves the tree as it was. ELOOP is believed when it is
// said again and again: a walk without locks that meets somebody's rename or mount starts anew, and
// counts the links of both tries (filename_lookup in fs/namei.c resets everything but the count).
func (q *question) ask() {
	for range 20 {
		if q.kernel = q.askOnce(); q.kernel != unix.ELOOP {
			return
		}
	}
}

func (q *question) askOnce() (errno unix.Errno) {
	var err error
	switch q.op {
	case "stat", "lstat":
		q.inode, err = inodeOf(q.path, q.op == "stat")
	case "access":
		err = unix.Faccessat(unix.AT_FDCWD, q.path, q.access, unix.AT_EACCESS)
	case "mkdir":
		if err = unix.Mkdir(q.path, 0o700); err == nil {
			q.undo = unix.Rmdir(q.path)
		}
	case "remove":
		// Renaming within the directory asks for the same rights as removing (may_delete), and can
		// be undone.
		if err = unix.Rename(q.path, q.aside); err == nil {
			q.undo = unix.Rename(q.aside, q.real)
		}
	case "chmod":
		err = unix.Chmod(q.path, q.mode)
	case "open":
		var fd int
		fd, err = unix.Open(q.path, unix.O_WRONLY|unix.O_CREAT|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		if err == nil {
			unix.Close(fd)
			if q.real != "" {
				q.undo = unix.Unlink(q.real)
			}
		}
		if err == unix.ENXIO { // a fifo without a reader, behind the check
			err = nil
		}
	}
	errors.As(err, &errno)
	return errno
}

func inodeOf(p string, follow bool) (uint64, error) {
	var st unix.Stat_t
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	err := unix.Fstatat(unix.AT_FDCWD, p, &st, flags)
	return st.Ino, err
}

// asIdentity runs f on a thread of its own that has its root directory at root, the ids of id, and
// no capability. The thread ends with it.
func asIdentity(root string, id account.Identity, f func()) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		err := become(root, id)
		if err == nil {
			f()
		}
		done <- err
	}()
	return <-done
}

func become(root string, id account.Identity) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Chroot(root); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("chdir: %w", err)
	}
	// Raw calls: the wrappers of package syscall change every thread.
	var groups unsafe.Pointer
	if len(id.Groups) > 0 {
		groups = unsafe.Pointer(&id.Groups[0])
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(id.Groups)), uintptr(groups), 0); e != 0 {
		return fmt.Errorf("setgroups: %w", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(id.GID), uintptr(id.GID), uintptr(id.GID)); e != 0 {
		return fmt.Errorf("setresgid: %w", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(id.UID), uintptr(id.UID), uintptr(id.UID)); e != 0 {
		return fmt.Errorf("setresuid: %w", e)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}

// buildTree makes the tree on disk.
func buildTree(root string, tree *Tree) error {
	made := map[*Entry]string{}
	for n := range tree.Walk("/") {
		e, p := n.Entry(), filepath.Join(root, n.Path())
		if first, ok := made[e]; ok {
			if err := os.Link(first, p); err != nil {
				return err
			}
			continue
		}
		made[e] = p
		var err error
		switch e.Kind {
		case Dir:
			err = unix.Mkdir(p, 0o755)
		case Symlink:
			err = unix.Symlink(e.Link, p)
		case Fifo:
			err = unix.Mkfifo(p, 0o600)
		default:
			err = os.WriteFile(p, nil, 0o600)
		}
		if err == nil {
			err = unix.Lchown(p, int(e.UID), int(e.GID))
		}
		if err == nil && e.Kind != Symlink {
			err = unix.Chmod(p, uint32(e.Mode)) // after chown, which takes setuid and setgid away
		}
		if err != nil {
			return fmt.Errorf("making %q: %w", p, err)
		}
	}
	return nil
}

// The few names and ids make paths meet files often.
var (
	someNames = []string{"a", "b", "c", "d"}
	someIDs   = []uint32{0, 1, 2, 4294967294}
)

func pick[E any](r *rand.Rand, from []E) E { return from[r.IntN(len(from))] }

func randomIdentity(r *rand.Rand) account.Identity {
	id := account.Identity{UID: pick(r, someIDs), GID: pick(r, someIDs)}
	for range r.IntN(3) {
		id.Groups = append(id.Groups, pick(r, someIDs))
	}
	return id
}

// randomTree gives one layer: directories first, so that most files have a place.
func randomTree(r *rand.Rand) []Entry {
	entries := []Entry{randomEntry(r, "/", Dir)}
	if r.IntN(8) > 0 {
		entries[0].Mode |= 0o111 // else few questions get further than the root directory
	}
	dirs := []string{"/"}
	used := map[string]bool{}
	var files []string
	for i := range 6 + r.IntN(20) {
		p := filepath.Join(pick(r, dirs), pick(r, someNames))
		if used[p] {
			continue
		}
		used[p] = true
		switch n := r.IntN(10); {
		case i < 5 || n < 2:
			entries = append(entries, randomEntry(r, p, Dir))
			dirs = append(dirs, p)
		case n < 6:
			link := randomEntry(r, p, Symlink)
			link.Mode, link.Link = 0o777, randomPath(r, 4)
			if len(link.Link) > maxPath {
				continue // cannot be made
			}
			entries = append(entries, link)
		case n < 8 && len(files) > 0:
			entries = append(entries, hardEntry(p, pick(r, files)))
		case n < 9:
			entries = append(entries, randomEntry(r, p, Fifo))
		default:
			entries = append(entries, randomEntry(r, p, File))
			files = append(files, p)
		}
	}
	if r.IntN(20) == 0 {
		entries = append(entries, linkChain(r)...)
	}
	return entries
}

// linkChain gives links that lead through about as many links as the kernel follows.
func linkChain(r *rand.Rand) []Entry {
	chain := []Entry{linkEntry("/d", "/")}
	for i, n := 0, maxLinks-3+r.IntN(4); i < n; i++ {
		chain = append(chain, linkEntry(fmt.Sprintf("/chain%d", i), fmt.Sprintf("chain%d", i+1)))
	}
	chain = append(chain, linkEntry(fmt.Sprintf("/chain%d", len(chain)-1), pick(r, someNames)))
	return append(chain, linkEntry("/c", "chain0"), linkEntry("/b", "/chain0/"))
}

func randomEntry(r *rand.Rand, p string, kind Kind) Entry {
	modes := []uint16{0o755, 0o777, 0o1777, 0o711, 0o750, 0o770, 0o1770, 0o2775, 0o644}
	e := Entry{Path: p, Kind: kind, UID: pick(r, someIDs), GID: pick(r, someIDs), Mode: pick(r, modes)}
	if r.IntN(3) == 0 {
		e.Mode = uint16(r.IntN(0o10000))
		if kind == Dir && r.IntN(2) == 0 {
			e.Mode |= 0o111
		}
	}
	return e
}

// randomPath gives absolute and relative paths with all that makes paths hard.
func randomPath(r *rand.Rand, parts int) string {
	switch r.IntN(60) {
	case 0:
		return "/" + strings.Repeat("n", maxName+r.IntN(2)) + pick(r, []string{"", "/", "/a", "/.."})
	case 1:
		return strings.Repeat("/", maxPath-1) + pick(r, []string{"", "a", ".", "aa", "/a"})
	case 2:
		return strings.Repeat("./", maxPath/2-1) + pick(r, []string{"a", "a/", "b"})
	}
	var b strings.Builder
	b.WriteString(pick(r, []string{"", "/", "/", "//"}))
	for i := range 1 + r.IntN(parts) {
		if i > 0 {
			b.WriteString(pick(r, []string{"/", "/", "/", "//"}))
		}
		if r.IntN(8) == 0 {
			b.WriteString(pick(r, []string{".", "..", "../.."}))
		} else {
			b.WriteString(pick(r, someNames))
		}
	}
	if r.IntN(8) == 0 {
		b.WriteString(pick(r, []string{"/", "//", "/.", "/.."}))
	}
	return b.String()
}
