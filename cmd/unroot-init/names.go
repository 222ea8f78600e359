//go:build linux

package main

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"unroot/internal/startup"
	"unroot/internal/startup/nscd"
	"unroot/internal/startup/prepare"
)

// name finds who runs, and has somebody answer for a uid that passwd does not know. Where nobody can
// be made to answer the error says why, and the user has a name in the environment alone.
func (s *one) name() (prepare.Who, error) {
	if name := s.account(); name != "" {
		return prepare.Who{Name: name, Known: true}, nil
	}
	facts := nscd.Own(lookup(s.env, "USER"), lookup(s.env, "HOME"))
	unknown := prepare.Who{Name: nscd.Name(facts)}
	way, err := nscd.Needed(s.order)
	if err != nil {
		return unknown, err
	}
	switch way {
	case startup.NamesNscd:
		server, err := nscd.Listen(facts)
		if err != nil {
			return unknown, err
		}
		s.server = server
		return prepare.Who{Name: server.Name(), Known: true}, nil
	case startup.NamesWrapper:
		return s.wrap(unknown)
	}
	return unknown, nil
}

// wrap has the image's nss_wrapper answer, from files in a directory of this user.
func (s *one) wrap(unknown prepare.Who) (prepare.Who, error) {
	dir, err := ownDirectory()
	if err != nil {
		return unknown, err
	}
	env, err := nscd.Wrapper(dir, s.env)
	if err != nil {
		return unknown, err
	}
	s.env = env
	return prepare.Who{Name: unknown.Name, Known: true}, nil
}

// ownDirectory makes a directory that nobody else can write to, or finds the one of the start before.
func ownDirectory() (string, error) {
	_ = os.Mkdir(startup.Run, 0o700) // most images have it
	tail := "unroot-names-" + strconv.Itoa(os.Geteuid())
	var failed error
	for _, dir := range []string{startup.Run + "/names", "/tmp/" + tail, "/dev/shm/" + tail} {
		err := os.Mkdir(dir, 0o700)
		if err == nil {
			return dir, nil
		}
		if failed == nil {
			failed = err
		}
		var st syscall.Stat_t
		if syscall.Lstat(dir, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR && int(st.Uid) == os.Geteuid() && st.Mode&0o022 == 0 {
			return dir, nil
		}
	}
	return "", failed
}

// tell says what stops nothing.
func tell(err error) {
	if f := (*nscd.Failure)(nil); errors.As(err, &f) {
		say(0, f.Text, f.Hint)
		return
	}
	say(0, err.Error(), "")
}

func lookup(env []string, name string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// accountOf gives the name of a uid in the image's own account file, "" where it has none.
func accountOf(uid int) string {
	name, _ := nscd.Account("/etc/passwd", uint32(uid))
	return name
}
