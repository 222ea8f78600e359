//go:build linux

// Package prepare makes the world ready in which the program of an image starts: environment, files of its own, and volumes that are told of before they bite.
package prepare

import (
	"golang.org/x/sys/unix"

	"unroot/internal/startup"
)

// Who is the user who runs, as far as accounts say it.
type Who struct {
	Name  string // login name: the account file's for the uid, else the one that stands in for it
	Known bool   // getpwuid finds the uid: it has an entry, or somebody is going to answer for it
}

// Refusal is the reason why the start must not go on. The program ends with startup.ExitVolume and
// has said Text.
type Refusal struct {
	Text string // lines, without the program's name before them and without a newline at the end
}

func (r *Refusal) Error() string { return r.Text }

// Prepare does what an order asks of the moment before the start, as the running user and never as
// anybody else: the umask, which is the whole process's and is inherited; what directories lack of
// their content in the image; private files; a home; and the test of what must be writable. It gives
// the environment with HOME. The error is a *Refusal where the start must not go on. What is worth a
// word and stops nothing goes to standard error.
func Prepare(o startup.Order, env []string) ([]string, error) {
	return newSession(env).prepare(o, env)
}

// Named gives an environment that names who runs: USER and LOGNAME, where they are missing or empty,
// and for an order with Java, where getpwuid does not know the uid, the home and the name in
// JAVA_TOOL_OPTIONS. It wants the environment that Prepare gave; whoever answers for the uid may be
// started between the two, since it must know HOME.
func Named(o startup.Order, env []string, who Who) []string {
	return environment(env, settings{name: who.Name, java: o.Java && !who.Known})
}

// session is one start: who runs, where things stand, and what did not hold.
type session struct {
	seed, run string // startup.Seed and startup.Run
	tmp       []string
	id        identity
	warn      bool         // startup.VolumesEnv says so
	tell      func(string) // says what stops nothing
	troubles  []trouble
	remarks   []trouble // these only warn
	table     []mount   // of /proc/self/mountinfo, once it was read
	tableRead bool
}

func newSession(env []string) *session {
	return &session{
		seed: startup.Seed, run: startup.Run, tmp: []string{"/tmp", "/var/tmp", "/dev/shm"},
		id: running(), warn: value(env, startup.VolumesEnv) == "warn", tell: toStderr,
	}
}

func running() identity {
	id := identity{uid: uint32(unix.Geteuid()), gid: uint32(unix.Getegid())}
	groups, _ := unix.Getgroups() // no list: fewer words in a message
	for _, g := range groups {
		if uint32(g) != id.gid {
			id.groups = append(id.groups, uint32(g))
		}
	}
	return id
}

func toStderr(text string) {
	_, _ = unix.Write(2, []byte("unroot-init: "+text+"\n")) // there is nobody else to tell
}

func (s *session) prepare(o startup.Order, env []string) ([]string, error) {
	mask := unix.Umask(0o022)
	if o.Umask != nil {
		mask = int(*o.Umask)
	}
	unix.Umask(mask &^ 0o700) // what is made now must be the running user's to use
	defer unix.Umask(mask)
	for _, dir := range o.Fill {
		if err := s.fill(dir); err != nil {
			return nil, err
		}
	}
	for _, p := range o.Private {
		if err := s.private(p); err != nil {
			return nil, err
		}
	}
	for _, path := range o.Writable {
		s.writable(path)
	}
	home := s.home(value(env, "HOME"), o.Home)
	if len(s.remarks) > 0 {
		s.tell(message(s.remarks, s.circumstances(env)))
	}
	if len(s.troubles) > 0 {
		text := message(s.troubles, s.circumstances(env))
		if !s.warn {
			return nil, &Refusal{text}
		}
		s.tell(text)
	}
	return environment(env, settings{home: home}), nil
}
