//go:build linux

package prepare

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// home gives the directory for HOME: the one that is set, where the running user can write it; else
// the order's, else one in the private directory, else one of its own in a directory for temporary
// files. It is never "/": programs would leave their files in the root directory. "" where no
// directory can be written; that is told, and stops nothing: few programs need one.
func (s *session) home(present, ordered string) string {
	if usable(present) && tryDir(present) == nil {
		return present
	}
	if usable(ordered) && (tryDir(ordered) == nil || makeHome(ordered)) {
		return ordered
	}
	if s.homeInRun() {
		return s.run + "/home"
	}
	for _, dir := range s.tmp {
		if path, ok := s.homeIn(dir); ok {
			return path
		}
	}
	s.tell("there is no directory that user " + s.id.words() + " can write, so HOME is not one\n" +
		"give the container one: a tmpfs on /tmp, or HOME=/a/directory/that/can/be/written")
	return ""
}

// usable reports whether a path can be a home by its name.
func usable(path string) bool {
	return strings.HasPrefix(path, "/") && strings.Trim(path, "/.") != ""
}

// makeHome makes a directory with its parents.
func makeHome(path string) bool {
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			_ = unix.Mkdir(path[:i], 0o777) // the last one tells
		}
	}
	return unix.Mkdir(path, 0o700) == nil && tryDir(path) == nil
}

// homeInRun makes the home in the private directory.
func (s *session) homeInRun() bool {
	run, err := s.openRun()
	if err != nil {
		return false
	}
	defer unix.Close(run)
	home, err := s.ownDir(run, "home")
	if err != nil {
		return false
	}
	defer unix.Close(home)
	return tryDir(s.run+"/home") == nil
}

// homeIn makes a home in a directory in which anybody may make things: whoever guesses the name can
// be there before us, and then another name is taken.
func (s *session) homeIn(dir string) (string, bool) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	name := "unroot-home-" + strconv.Itoa(int(s.id.uid))
	for i := range 100 {
		try := name
		if i > 0 {
			try += "-" + strconv.Itoa(i)
		}
		home, err := s.ownDir(fd, try)
		if err == nil {
			unix.Close(home)
			path := strings.TrimSuffix(dir, "/") + "/" + try
			return path, tryDir(path) == nil
		}
		if err == unix.EACCES || err == unix.EROFS || err == unix.ENOSPC || err == unix.EDQUOT {
			return "", false
		}
	}
	return "", false
}
