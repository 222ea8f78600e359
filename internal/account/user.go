package account

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxArgID is the highest number that runtimes take in USER and --user, although the kernel and the
// account files go to MaxID (github.com/moby/sys/user, parseNumeric).
const maxArgID = 1<<31 - 1

// ErrRange is the error for a number in USER that runtimes refuse, in their words.
var ErrRange = fmt.Errorf("uids and gids must be in range 0-%d", maxArgID)

// NoEntryError is the error for a name that the account files do not have. A container with it does
// not start.
type NoEntryError struct {
	Kind string // "user" or "group"
	Name string
}

// Error uses the words that Docker, containerd and runc print.
func (e *NoEntryError) Error() string {
	file := "passwd"
	if e.Kind == "group" {
		file = "group"
	}
	return fmt.Sprintf("unable to find %s %s: no matching entries in %s file", e.Kind, e.Name, file)
}

// User is the value of an image config's User field and of --user: "user", "user:group", each a
// name or a number, each may be empty.
type User struct {
	User     string // before the first colon
	Group    string // behind it
	HasGroup bool   // there is a colon; "1000:" has one and still names no group
}

// ParseUser splits a USER value as runtimes do: at the first colon, nothing trimmed. It fails with
// ErrRange on a number that runtimes refuse; whether a name exists is for Resolve.
func ParseUser(s string) (User, error) {
	var u User
	u.User, u.Group, u.HasGroup = strings.Cut(s, ":")
	if _, err := parseArg(u.User); err != nil {
		return u, fmt.Errorf("parsing user %q: %w", s, err)
	}
	if _, err := parseArg(u.Group); err != nil {
		return u, fmt.Errorf("parsing user %q: %w", s, err)
	}
	return u, nil
}

// String is the value as it was written.
func (u User) String() string {
	if u.HasGroup || u.Group != "" {
		return u.User + ":" + u.Group
	}
	return u.User
}

// Numeric reports whether the user part is a number that is written out: what the kubelet wants
// to see with runAsNonRoot. The empty user is root by default and not numeric.
func (u User) Numeric() bool {
	arg, err := parseArg(u.User)
	return err == nil && arg.numeric
}

// arg is one half of a USER value.
type arg struct {
	text    string // empty: not given
	id      int64
	numeric bool // id counts; what looks like a number is never taken as a name
}

// fits reports whether an account file's line is the one that is meant: by number or by name, not
// by both.
func (a arg) fits(l runtimeLine) bool {
	if a.numeric {
		return l.id == a.id
	}
	return l.name == a.text
}

// parseArg takes a number in every spelling that Go's Atoi takes, so "00", "+0" and "-0" are 0 too.
func parseArg(s string) (arg, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && (id < 0 || id > maxArgID):
		return arg{}, ErrRange
	case err != nil:
		return arg{text: s}, nil
	}
	return arg{text: s, id: id, numeric: true}, nil
}
