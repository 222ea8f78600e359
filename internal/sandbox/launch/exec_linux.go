package launch

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// enginePath is the PATH of a container whose image names none. moby: pkg/containerfs, DefaultPathEnv.
const enginePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program is the path of what is to be executed.
func (s *Spec) program() (string, error) {
	if len(s.Args) == 0 || s.Args[0] == "" {
		return "", &Error{NotFound, "starting a program: no command is given"}
	}
	return lookUp(s.Args[0], s.Env)
}

// execute becomes the program. It returns only with an error, which is an *Error.
func (s *Spec) execute(file string) error {
	defaultSignals()
	// syscall.Exec restores the soft limit of open files that the Go runtime has raised.
	err := syscall.Exec(file, s.Args, s.Env)
	return &Error{kindOf(err), fmt.Sprintf("starting %q: %v", s.Args[0], err)}
}

// kindOf sorts the errors of execve(2) and chdir(2) as engines do for their exit statuses.
func kindOf(err error) Kind {
	switch {
	case errors.Is(err, unix.ENOENT):
		return NotFound
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOEXEC),
		errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return Permission
	}
	return Setup
}

// lookUp finds the program with the rights that this thread has by now. A file that is there and
// may not be executed does not end the search, as in execvp(3) and in engines.
func lookUp(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil // execve says what is wrong with it
	}
	search := enginePath
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			search = value
		}
	}
	denied := false
	for dir := range strings.SplitSeq(search, ":") {
		if dir == "" {
			dir = "."
		}
		file := path.Join(dir, name)
		if !strings.Contains(file, "/") {
			file = "./" + file
		}
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			denied = denied || errors.Is(err, unix.EACCES)
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		// AT_EACCESS is emulated before faccessat2; real and effective ids are the same here.
		if unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, 0) == nil {
			return file, nil
		}
		denied = true
	}
	if denied {
		return "", &Error{Permission, fmt.Sprintf("starting %q: permission denied in PATH %s", name, search)}
	}
	return "", &Error{NotFound, fmt.Sprintf("starting %q: executable file not found in PATH %s", name, search)}
}

// sigaction is the kernel's struct sigaction for rt_sigaction(2) on the 64-bit machines.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// defaultSignals undoes what the program would inherit: signals that were ignored when unroot was
// started, such as SIGHUP under nohup, and a mask of blocked ones. Handlers end with execve.
func defaultSignals() {
	const sigIgn = 1
	for sig := uintptr(1); sig <= 64; sig++ {
		var now, none sigaction
		if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&now)), 8, 0, 0); e == 0 && now.handler == sigIgn {
			unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&none)), 0, 8, 0, 0)
		}
	}
	unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
}
