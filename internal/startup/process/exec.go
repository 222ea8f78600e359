//go:build linux

package process

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"unroot/internal/startup"
)

// usualPath is searched where the environment has no PATH: what the engines set, and musl's execvp searches.
const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// shell executes what has no "#!" line, as execvp(3) has it.
const shell = "/bin/sh"

// Exec becomes the program: argv[0] is looked up as execvp(3) does, in the PATH of env. Signals that
// were ignored when this process started are ignored again. It returns only where that fails.
func Exec(argv, env []string) *Failure {
	list, failure := candidates(argv, env)
	if failure != nil {
		return failure
	}
	restoreIgnored()
	return attempt(argv, list, pathOf(env), func(path string, argv []string) error {
		return syscall.Exec(path, argv, env)
	})
}

// Look gives the file that Exec would execute for a program's name, without executing it.
func Look(name string, env []string) (string, *Failure) {
	list, failure := candidates([]string{name}, env)
	if failure != nil {
		return "", failure
	}
	var found string
	failure = attempt([]string{name}, list, pathOf(env), func(path string, _ []string) error {
		if err := usable(path); err != nil {
			return err
		}
		found = path
		return nil
	})
	return found, failure
}

// candidates is the files that a name may stand for, in the order in which they are tried.
func candidates(argv, env []string) ([]string, *Failure) {
	if len(argv) == 0 || argv[0] == "" {
		return nil, &Failure{Code: startup.ExitNotFound, Text: "starting the program: it has no name", Hint: "name a program as the first argument", Err: syscall.ENOENT}
	}
	name := argv[0]
	if strings.ContainsRune(name, '/') {
		return []string{name}, nil
	}
	var list []string
	for dir := range strings.SplitSeq(pathOf(env), ":") {
		if dir == "" {
			dir = "." // as POSIX has it of an empty prefix (XBD 8.3)
		}
		list = append(list, strings.TrimSuffix(dir, "/")+"/"+name)
	}
	return list, nil
}

func pathOf(env []string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			return value
		}
	}
	return usualPath
}

// attempt tries one file after the other, and goes on where execvp(3) goes on: where a file is not
// there, and, remembering it, where it may not be executed.
func attempt(argv, list []string, path string, start func(path string, argv []string) error) *Failure {
	name := argv[0]
	var refused *Failure
	for _, file := range list {
		err := start(file, argv)
		if err == error(syscall.ENOEXEC) && foreign(file) == "" && usable(file) == nil {
			if other := start(shell, append([]string{shell, file}, argv[1:]...)); other == nil {
				err = nil
			}
		}
		if err == nil {
			return nil
		}
		errno, plain := err.(syscall.Errno)
		if !plain { // not what execve(2) said, but what somebody did before
			return &Failure{Code: startup.ExitOwn, Text: "starting " + file + ": " + err.Error(), Err: err}
		}
		f := explain(name, file, errno)
		switch {
		case len(list) == 1, !passable(errno):
			return f
		case f.Code != startup.ExitNotFound && refused == nil:
			refused = f
		}
	}
	if refused != nil {
		return refused
	}
	return notInPath(name, path)
}

// passable are the errors after which the next directory of PATH is tried (glibc's posix/execvpe.c and
// musl's src/process/execvp.c agree on them).
func passable(errno syscall.Errno) bool {
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES, syscall.ESTALE, syscall.ENODEV, syscall.ETIMEDOUT:
		return true
	}
	return false
}

// usable tells what execve(2) would say of a file, as far as its inode tells.
func usable(path string) error {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG || !executable(path) || noexec(path) {
		return syscall.EACCES
	}
	return nil
}

func executable(path string) bool {
	// Mode bits of whoever is effective, which faccessat(2) without AT_EACCESS does not look at.
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil
}
