package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Executable is the program that is started as a stage: this one. Whoever runs images makes it a
// copy that processes of an image cannot write through /proc/PID/exe (CVE-2019-5736).
var Executable = "/proc/self/exe"

// stageName is argv[0] of the stage that becomes the program of a run.
const stageName = "unroot-launch"

// Held is a process of a run that is about to become its program, and waits for leave.
type Held struct {
	pid  int
	sock *os.File
}

// words on the socket between Start and the stage.
const (
	wordReady = 'R' // stage: everything up to the filter is done
	wordGo    = 'G' // to the stage: install the filter and execute
	wordError = 'E' // stage: JSON of an Error follows, up to the end
)

const maxSpec = 16 << 20

// Start starts the stage that carries spec out. attr gives the standard streams, the environment
// of the stage itself where it needs one, and the attributes of the process, such as namespaces to
// make. Nobody waits for the process: it is the caller's child, and the caller's to reap.
func Start(spec Spec, attr *os.ProcAttr) (*Held, error) {
	if !dispatches {
		return nil, errors.New("[internal error] starting a process: this program does not call launch.Stage")
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("starting a process: %w", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("starting a process: %w", err)
	}
	// The wait for the stage is a blocking read: the file is not handed to the poller, as setting
	// that up costs more than the few reads.
	h := &Held{sock: os.NewFile(uintptr(pair[0]), "stage")}
	h.pid, err = startStage(spec.Join, pair[1], attr)
	unix.Close(pair[1])
	if err != nil {
		h.sock.Close()
		return nil, fmt.Errorf("starting a process: %w", err)
	}
	// A stage that has ended says why to Ready; the broken pipe here says less.
	if _, err := h.sock.Write(append(text, 0)); err != nil && !errors.Is(err, syscall.EPIPE) {
		h.sock.Close()
		return nil, fmt.Errorf("starting a process: %w", err)
	}
	return h, nil
}

// startStage forks and executes. syscall.ForkExec is used because os.StartProcess may wait for
// helper processes of its own, which a tracer's wait4(-1) would take away from it.
func startStage(join, sock int, attr *os.ProcAttr) (int, error) {
	sys := &syscall.ProcAttr{Dir: attr.Dir, Env: attr.Env, Sys: attr.Sys}
	if sys.Env == nil {
		// A stage lives for milliseconds: it needs no collector and no second thread of Go code.
		sys.Env = []string{"GOGC=off", "GOMAXPROCS=1"}
	}
	for _, f := range attr.Files {
		sys.Files = append(sys.Files, f.Fd())
	}
	args := []string{stageName, strconv.Itoa(len(attr.Files))}
	sys.Files = append(sys.Files, uintptr(sock))
	if join == 0 {
		return syscall.ForkExec(Executable, args, sys)
	}
	pidfd, err := unix.PidfdOpen(join, 0)
	if err != nil {
		return 0, fmt.Errorf("joining process %d: %w", join, err)
	}
	defer unix.Close(pidfd)
	sys.Files = append(sys.Files, uintptr(pidfd))
	return forkInto(pidfd, func() (int, error) { return syscall.ForkExec(Executable, args, sys) })
}

// forkInto runs fork on a thread whose children are born in the pid namespace of the process. A
// process cannot change its own pid namespace, only that of its children (pid_namespaces(7)). The
// thread stays locked all the while: one that is not could be asked for a new thread by the Go
// runtime, which the kernel refuses in this state (clone(2), EINVAL for CLONE_THREAD).
func forkInto(pidfd int, fork func() (int, error)) (pid int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		own, e := unix.Open("/proc/thread-self/ns/pid", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if e != nil {
			err = e
			return
		}
		defer unix.Close(own)
		if e := unix.Setns(pidfd, unix.CLONE_NEWPID); e != nil {
			runtime.UnlockOSThread()
			err = fmt.Errorf("joining the pid namespace: %w", e)
			return
		}
		pid, err = fork()
		if unix.Setns(own, unix.CLONE_NEWPID) == nil {
			runtime.UnlockOSThread()
		} // else the thread ends with the goroutine
	}()
	<-done
	return pid, err
}

// PID is the process as the caller's pid namespace numbers it.
func (h *Held) PID() int { return h.pid }

// Ready returns when the stage has done everything but the filter and waits for Release. Its own
// failures are an *Error.
func (h *Held) Ready() error {
	var word [1]byte
	if _, err := io.ReadFull(h.sock, word[:]); err != nil {
		h.Close()
		return &Error{Setup, "starting a process: it ended before it was ready"}
	}
	if word[0] == wordReady {
		return nil
	}
	return h.failure(word[0])
}

// Release lets the stage install the filter and execute the program. It returns nil when the
// program runs: the stage's end of the socket is closed by execve then.
func (h *Held) Release() error {
	defer h.Close()
	if _, err := h.sock.Write([]byte{wordGo}); err != nil {
		return &Error{Setup, "starting a process: it ended while it waited"}
	}
	var word [1]byte
	if n, _ := h.sock.Read(word[:]); n == 0 {
		return nil
	}
	return h.failure(word[0])
}

// failure reads what the stage says for its end.
func (h *Held) failure(word byte) error {
	defer h.Close()
	said, err := io.ReadAll(io.LimitReader(h.sock, 64<<10))
	var e Error
	if word != wordError || err != nil || json.Unmarshal(said, &e) != nil {
		return &Error{Setup, "[internal error] the stage of a process said something else"}
	}
	return &e
}

// Close gives the process up: one that waits ends.
func (h *Held) Close() { h.sock.Close() }
