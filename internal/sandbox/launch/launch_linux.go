package launch

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func init() { Register(stageName, stageMain) }

// stageMain is the stage: argv[1] is the number of the socket to Start, and of files before it.
func stageMain() {
	files, err := strconv.Atoi(os.Args[1])
	if err != nil || files < 0 {
		os.Exit(125)
	}
	sock := os.NewFile(uintptr(files), "launcher")
	err = carryOut(sock, files)
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Setup, err.Error()}
	}
	text, _ := json.Marshal(e)
	sock.Write(append([]byte{wordError}, text...))
	os.Exit(Status(err))
}

// carryOut does everything, and returns only with an error.
func carryOut(sock *os.File, files int) error {
	// Nothing but the standard streams reaches the program. close_range(2), Linux 5.11.
	if err := unix.CloseRange(uint(files), 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("closing files: %w", err)
	}
	in := bufio.NewReader(io.LimitReader(sock, maxSpec))
	text, err := in.ReadBytes(0)
	if err != nil {
		return fmt.Errorf("reading what to start: %w", err)
	}
	var spec Spec
	if err := json.Unmarshal(text[:len(text)-1], &spec); err != nil {
		return fmt.Errorf("reading what to start: %w", err)
	}
	if err := spec.enter(files + 1); err != nil {
		return err
	}
	if spec.SetIdentity {
		if err := handOver(files, spec.UID, spec.GID); err != nil {
			return err
		}
	}
	if err := spec.become(); err != nil {
		return err
	}
	// The program is looked up before the filter is there, so that a tracer sees its execve and
	// next to nothing of ours.
	file, err := spec.program()
	if err != nil {
		return err
	}
	if _, err := sock.Write([]byte{wordReady}); err != nil {
		return err
	}
	if word, err := in.ReadByte(); err != nil || word != wordGo {
		return errors.New("given up before it was started")
	}
	if err := spec.confine(); err != nil {
		return err
	}
	return spec.execute(file)
}

// enter goes to where the program runs, and to its working directory.
func (s *Spec) enter(pidfd int) error {
	unix.Umask(0o022) // engines' default; the launcher's own must not matter
	unix.Setsid()     // fails where the process leads a group, which does no harm
	if s.Root != nil || s.Join != 0 {
		// As runc: the launcher's session keyring is not the program's. Kernels may have none.
		unix.KeyctlJoinSessionKeyring("_ses.unroot")
	}
	for _, l := range s.Limits {
		limit := unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		if err := unix.Prlimit(0, l.Resource, &limit, nil); err != nil {
			return fmt.Errorf("setting the resource limit %d: %w", l.Resource, err)
		}
	}
	if s.OOMScore != 0 {
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(s.OOMScore)), 0); err != nil {
			return fmt.Errorf("setting oom_score_adj: %w", err)
		}
	}
	if s.Join != 0 {
		if err := join(pidfd); err != nil {
			return err
		}
	}
	if s.Root != nil {
		if err := s.Root.setUp(s.Dir); err != nil {
			return err
		}
	}
	return nil
}

// join enters the namespaces of the process that pidfd refers to, but for the pid namespace, in
// which the stage was born, and the user namespace, which is the same. The root directory becomes
// that of the mount namespace.
func join(pidfd int) error {
	// A mount namespace is entered only by who shares root and working directory with no other
	// thread: setns(2).
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("joining a run: %w", err)
	}
	const spaces = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	if err := unix.Setns(pidfd, spaces); err != nil {
		return fmt.Errorf("joining the namespaces of a run: %w", err)
	}
	return nil
}

// handOver gives the standard streams to the program's user, who could not open /dev/stdout
// otherwise. What cannot be given, such as a terminal of another user namespace, stays.
func handOver(files int, uid, gid uint32) error {
	for fd := range files {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("looking at standard stream %d: %w", fd, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
			continue // /dev/null is everybody's
		}
		err := unix.Fchown(fd, int(uid), int(gid))
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("giving standard stream %d to uid %d: %w", fd, uid, err)
		}
	}
	return nil
}
