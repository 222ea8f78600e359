//go:build linux

// Package process starts the program of an image, and stays as its first process where something has to stay.
package process

import (
	"strconv"
	"syscall"

	"unroot/internal/startup"
)

// Failure is a program that did not start.
type Failure struct {
	Code int    // exit code: startup.ExitNotFound, ExitNoExec or ExitOwn
	Text string // what is true, one line
	Hint string // what to do, one line; "" where nothing is known
	Err  error  // what the kernel said
}

func (f *Failure) Error() string { return f.Text }

// Unwrap gives what the kernel said, a syscall.Errno.
func (f *Failure) Unwrap() error { return f.Err }

// explain says why the file at path, which the program's name led to, could not be executed.
func explain(name, path string, errno syscall.Errno) *Failure {
	f := &Failure{Code: startup.ExitNoExec, Err: errno}
	about := "starting " + strconv.Quote(path) + ": "
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR:
		f.Text, f.Hint, f.Code = missing(path, errno)
	case syscall.EACCES:
		f.Text, f.Hint = denied(path)
	case syscall.ENOEXEC:
		f.Text, f.Hint = unfit(path)
	case syscall.EISDIR:
		f.Text, f.Hint = "it is a directory", "name a program in it"
	case syscall.E2BIG:
		f.Text, f.Hint = "its arguments and the environment are too long", "pass less, or in a file"
	case syscall.ETXTBSY:
		f.Text, f.Hint = "somebody has it open for writing", "start it when it has been written and closed"
	case syscall.ELOOP:
		f.Text, f.Hint = "its symbolic links, or the interpreters of its scripts, lead in a circle", "name the program itself"
	default:
		f.Text, f.Code = errno.Error(), startup.ExitOwn
	}
	f.Text = about + f.Text
	return f
}

// notInPath is a name without a slash that no directory of PATH has.
func notInPath(name, list string) *Failure {
	return &Failure{
		Code: startup.ExitNotFound,
		Text: "starting " + strconv.Quote(name) + ": no directory of PATH has it (" + list + ")",
		Hint: "name it with its whole path, or add its directory to PATH",
		Err:  syscall.ENOENT,
	}
}

// missing says what is not there: the file, or what it needs to be executed (execve(2), ENOENT).
func missing(path string, errno syscall.Errno) (text, hint string, code int) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return "there is no such file", "look at the entrypoint and the command of the image: the file is not in it, or a volume hides it", startup.ExitNotFound
	}
	needs, kind := interpreter(path)
	code = startup.ExitNoExec
	switch {
	case kind == script && len(needs) > 0 && needs[len(needs)-1] == '\r':
		return "its first line asks for " + strconv.Quote(needs) + ", which is not there", "the script has Windows line ends (CR LF): convert it, for example with dos2unix", code
	case kind == script:
		return "its interpreter " + strconv.Quote(needs) + " is not there", "install it, or name in the script's first line one that is there", code
	case kind == dynamic:
		return "its loader " + strconv.Quote(needs) + " is not there",
			"the program was linked for another C library: use a base image that has it, or a statically linked build", code
	}
	return errno.Error(), "", code
}

// denied says whose permissions are missing (execve(2), EACCES).
func denied(path string) (text, hint string) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		return "a directory on the way to it may not be searched by " + runner(), "give others execute permission on the directories above it"
	}
	switch {
	case st.Mode&syscall.S_IFMT == syscall.S_IFDIR:
		return "it is a directory", "name a program in it"
	case st.Mode&syscall.S_IFMT != syscall.S_IFREG:
		return "it is not a regular file", "name a program"
	case noexec(path):
		return "it is on a file system that is mounted noexec", "keep it elsewhere, or mount that file system with exec"
	case !executable(path):
		return "it may not be executed by " + runner() + " (owner " + number(st.Uid) + ":" + number(st.Gid) + ", mode " + octal(st.Mode&0o7777) + ")",
			"give it execute permission: chmod a+rx " + path
	}
	if needs, kind := interpreter(path); kind != other {
		return "its interpreter " + strconv.Quote(needs) + " may not be executed by " + runner(), "give it execute permission: chmod a+rx " + needs
	}
	return syscall.EACCES.Error(), ""
}

// unfit says what the file is instead of a program for this machine (execve(2), ENOEXEC).
func unfit(path string) (text, hint string) {
	if machine := foreign(path); machine != "" {
		return "it is a program for another machine (" + machine + ")", "use the image of this machine's platform"
	}
	return "it is not a program that this system can execute", "a script needs a first line such as #!/bin/sh"
}

func runner() string {
	return "uid " + strconv.Itoa(syscall.Geteuid()) + " gid " + strconv.Itoa(syscall.Getegid())
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func octal(n uint32) string {
	s := strconv.FormatUint(uint64(n), 8)
	for len(s) < 4 {
		s = "0" + s
	}
	return s
}

func noexec(path string) bool {
	const stNoexec = 0x8 // ST_NOEXEC of statfs(2)
	var fs syscall.Statfs_t
	return syscall.Statfs(path, &fs) == nil && fs.Flags&stNoexec != 0
}
