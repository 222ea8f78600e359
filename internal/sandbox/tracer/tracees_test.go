//go:build linux && (amd64 || arm64)

package tracer

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tracees is programs to be traced, which need nothing but this binary: they run under emulation, too.
var tracees = map[string]func(args []string){
	"threads": func(args []string) { failingThreads(args[0]) },
	"files":   func(args []string) { useFiles(args[0]) },
	"sockets": func([]string) { useSockets() },
	"refused": func([]string) { beRefused() },
	"tree":    func([]string) { growTree(6) },
	"drop":    func([]string) { dropRights() },
	"exit":    func([]string) { os.Exit(7) },
	"crash":   func([]string) { must(unix.Kill(os.Getpid(), unix.SIGKILL)) },
	"waits":   func([]string) { time.Sleep(time.Minute) },
	"stubborn": func([]string) {
		signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
		time.Sleep(time.Minute)
	},
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(99)
	}
}

// beNobody gives up root, so that there are files that cannot be opened.
func beNobody() {
	if os.Getuid() == 0 {
		must(syscall.Setgroups(nil))
		must(syscall.Setresgid(65534, 65534, 65534))
		must(syscall.Setresuid(65534, 65534, 65534))
	}
}

// failingThreads opens a file that may not be opened, 500 times on each of 16 threads.
func failingThreads(path string) {
	beNobody()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			runtime.LockOSThread()
			for range 500 {
				if _, err := unix.Open(path, unix.O_RDONLY, 0); err != unix.EACCES {
					must(fmt.Errorf("open: %v", err))
				}
			}
		})
	}
	all.Wait()
}

// useFiles makes calls of each kind on files in dir.
func useFiles(dir string) {
	must(os.Chdir(dir))
	fd, err := unix.Open("made", unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC, 0o600)
	must(err)
	must(unix.Fchmod(fd, 0o644))
	must(unix.Close(fd))
	must(unix.Mkdir("./sub/", 0o755))
	sub, err := unix.Open("sub", unix.O_PATH, 0)
	must(err)
	must(unix.Symlinkat("../made", sub, "link"))
	must(unix.Renameat(sub, "link", unix.AT_FDCWD, dir+"/moved"))
	must(unix.Chmod("made", 0o640))
	must(unix.Unlink("moved"))
	must(unix.Mkfifo("fifo", 0o600))
	must(unix.Rmdir("sub"))
	if _, err := unix.Openat(sub, "inside", unix.O_WRONLY|unix.O_CREAT, 0o600); err != unix.ENOENT {
		must(fmt.Errorf("open in a folder that is gone: %v", err))
	}
	if _, err := unix.Open(dir+"//no/../missing/x", unix.O_WRONLY, 0); err != unix.ENOENT {
		must(fmt.Errorf("open: %v", err))
	}
	var st unix.Stat_t
	_ = unix.Stat("absent", &st)
	beNobody()
	if err := unix.Chown("made", 0, 0); err != unix.EPERM {
		must(fmt.Errorf("chown: %v", err))
	}
	if _, err := unix.Open("locked/file", unix.O_RDONLY, 0); err != unix.EACCES {
		must(fmt.Errorf("open: %v", err))
	}
	if err := unix.Access("locked/file", unix.R_OK); err != unix.EACCES {
		must(fmt.Errorf("access: %v", err))
	}
}

// useSockets binds sockets of several families.
func useSockets() {
	tcp, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Bind(tcp, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(tcp, 5))
	udp, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)
	must(err)
	must(unix.Bind(udp, &unix.SockaddrInet6{Addr: [16]byte{15: 1}}))
	local, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Bind(local, &unix.SockaddrUnix{Name: fmt.Sprintf("@unroot-test-%d", os.Getpid())}))
	must(unix.Listen(local, 5))
	netlink, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)
	must(err)
	must(unix.Close(netlink))
	if _, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0); err == nil && os.Getuid() != 0 {
		must(fmt.Errorf("a packet socket without rights"))
	}
}

// beRefused asks for what the engines' profile refuses, and prints what it is told.
func beRefused() {
	fmt.Println(unix.Unshare(unix.CLONE_NEWUTS))
	fmt.Println(unix.Mount("x", "/", "tmpfs", 0, ""))
	_, _, e := unix.RawSyscall(unix.SYS_KEYCTL, 0, 0, 0)
	fmt.Println(e)
	_, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
	fmt.Println(err)
	fmt.Println(unix.Access("/", unix.F_OK))
}

// growTree makes a tree of processes, two children each.
func growTree(depth int) {
	if d := os.Getenv("DEPTH"); d != "" {
		depth = int(d[0] - '0')
	}
	if depth <= 0 {
		return
	}
	self, err := os.Executable()
	must(err)
	must(os.Setenv("DEPTH", fmt.Sprint(depth-1))) // set, not added: of two, the first would count
	var children []*os.Process
	for range 2 {
		p, err := os.StartProcess(self, os.Args, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, os.Stderr}})
		must(err)
		children = append(children, p)
	}
	for _, p := range children {
		_, err := p.Wait()
		must(err)
	}
}

// dropRights becomes somebody else without executing anything.
func dropRights() {
	beNobody()
	must(unix.Prctl(unix.PR_SET_KEEPCAPS, 0, 0, 0, 0))
}
