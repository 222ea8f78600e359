package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/wire"
)

// A keeper is a process that removes what a killed front cannot: the folder for big images and
// the control group. It lives as long as the front, and a moment longer.

const keeperStage = "unroot-keeper"

func init() { launch.Register(keeperStage, keeperMain) }

// keeperOrder asks for directories to be made, and to be removed at the end.
type keeperOrder struct {
	Folder string `json:"folder,omitempty"` // removed with everything in it
	Group  string `json:"group,omitempty"`  // a control group, removed when it is empty
}

// keeperAnswer tells whether it was done.
type keeperAnswer struct {
	Error string `json:"error,omitempty"`
}

// keeperMain is the stage: file 3 is the front.
func keeperMain() {
	unix.CloseOnExec(3)
	conn := wire.New(os.NewFile(3, "front"))
	var done keeperOrder
	for {
		kind, payload, err := conn.Receive()
		if err != nil || kind != wire.Ready {
			break
		}
		var order keeperOrder
		var answer keeperAnswer
		if err := errors.Join(wire.Decode(payload, &order), order.make(&done)); err != nil {
			answer.Error = err.Error()
		}
		if conn.SendJSON(wire.Ready, answer) != nil {
			break
		}
	}
	done.remove()
}

// make makes what is asked for, and notes in done what was made.
func (o keeperOrder) make(done *keeperOrder) error {
	if o.Group != "" {
		if err := os.Mkdir(o.Group, 0o755); err != nil {
			return err
		}
		done.Group = o.Group
	}
	if o.Folder == "" {
		return nil
	}
	done.Folder = o.Folder // the front has made it
	return nil
}

// remove removes what was made. The processes that use it are ending by themselves at that time.
func (o keeperOrder) remove() {
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
		if err := unix.Rmdir(o.Group); o.Group == "" || err == nil || errors.Is(err, unix.ENOENT) {
			o.Group = ""
		}
		if o.Folder != "" && os.RemoveAll(o.Folder) == nil {
			o.Folder = ""
		}
		if o.Group == "" && o.Folder == "" {
			return
		}
	}
}

// keeper is the front's side.
type keeper struct {
	conn    *wire.Conn
	sock    *os.File
	exited  chan struct{}
	room    int64         // bytes that images may take of the folder
	made    *cgroup       // the control group
	pending chan struct{} // closed when made is decided; nil where none was asked for
}

// startKeeper gives a keeper. Where control groups can be had, its process is started, beside
// what the caller does; else not before a folder is needed.
func startKeeper() *keeper {
	k := &keeper{}
	if os.Geteuid() != 0 {
		return k
	}
	group := findCgroup()
	if group == nil {
		return k
	}
	k.pending = make(chan struct{})
	go func() {
		defer close(k.pending)
		if k.start(nil) == nil && k.order(keeperOrder{Group: group.dir}) == nil {
			k.made = group
		}
	}()
	return k
}

// group gives the control group for the process, which is moved into it; nil where there is none.
func (k *keeper) group(pid int) *cgroup {
	if k.pending == nil {
		return nil
	}
	<-k.pending
	if k.made == nil || k.made.add(pid) != nil {
		return nil
	}
	return k.made
}

// start starts the process, with the ids of a lab where they are needed to remove its files.
func (k *keeper) start(ids *[2][]extent) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(pair[1]), "front")
	defer theirs.Close()
	k.sock = os.NewFile(uintptr(pair[0]), "keeper")
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	sys := &syscall.SysProcAttr{Setsid: true}
	if ids != nil {
		// It stays the user outside, and has the rights of root over the ids inside: both are needed.
		sys.Cloneflags, sys.AmbientCaps = unix.CLONE_NEWUSER, allCaps()
	}
	p, err := startSelf(keeperStage, &os.ProcAttr{Files: []*os.File{null, null, null, theirs}, Env: []string{"GOMAXPROCS=1"}, Sys: sys})
	if err != nil {
		k.sock.Close()
		return err
	}
	k.exited = make(chan struct{})
	go func() {
		_, _ = p.Wait()
		close(k.exited)
	}()
	k.conn = wire.New(k.sock)
	if ids != nil {
		return giveIDs(p.Pid, *ids)
	}
	return nil
}

func (k *keeper) order(o keeperOrder) error {
	if err := k.conn.SendJSON(wire.Ready, o); err != nil {
		return err
	}
	_, payload, err := k.conn.Receive()
	if err != nil {
		return err
	}
	var answer keeperAnswer
	if err := wire.Decode(payload, &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// folder makes the folder for big images where the plan is to have one, and gives the directory in it
// that the lab's root may write; "" where there is none. Nobody else can come by it: the folder is closed to others.
func (k *keeper) folder(p plan, ids [2][]extent) (string, error) {
	if !p.folder {
		return "", nil
	}
	if k.pending != nil {
		<-k.pending
	}
	if k.conn == nil {
		owners := &ids
		if os.Geteuid() == 0 {
			owners = nil
		}
		if err := k.start(owners); err != nil {
			return "", fmt.Errorf("making a folder for the image: %w", err)
		}
	}
	dir, err := os.MkdirTemp(folderParent(p.dir), "unroot-")
	if err != nil {
		return "", fmt.Errorf("making a folder for the image: %w", err)
	}
	if err := k.order(keeperOrder{Folder: dir}); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("making a folder for the image: %w", err)
	}
	inner := filepath.Join(dir, "i")
	if err := errors.Join(os.Mkdir(inner, 0o755), os.Chmod(inner, 0o777)); err != nil {
		return "", fmt.Errorf("making a folder for the image: %w", err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(inner, &fs); err != nil {
		return "", fmt.Errorf("looking at the folder for the image: %w", err)
	}
	k.room = int64(fs.Bavail) * fs.Bsize / 2
	return inner, nil
}

// folderParent is where folders are made: not in memory, as that is what they are to spare.
func folderParent(dir string) string {
	if dir != "" {
		return dir
	}
	var fs unix.Statfs_t
	if tmp := os.TempDir(); unix.Statfs(tmp, &fs) != nil || fs.Type != unix.TMPFS_MAGIC {
		return tmp
	}
	return "/var/tmp"
}

// close has the keeper remove everything, and waits for that.
func (k *keeper) close() {
	if k.pending != nil {
		<-k.pending
	}
	if k.sock == nil {
		return
	}
	k.sock.Close()
	if k.exited != nil {
		<-k.exited
	}
}
