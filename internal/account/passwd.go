package account

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// PasswdEntry is one account of a passwd file, passwd(5).
type PasswdEntry struct {
	Name     string // login name
	Password string // "x" where the password is in the shadow file
	UID      uint32
	GID      uint32 // primary group
	Comment  string // the GECOS field
	Home     string // home directory
	Shell    string // login shell
}

// NewPasswdEntry gives an account without a password of its own ("x": see the shadow file).
// It fails on a name or a field that the file cannot hold.
func NewPasswdEntry(name string, uid, gid uint32, comment, home, shell string) (PasswdEntry, error) {
	e := PasswdEntry{Name: name, Password: "x", UID: uid, GID: gid, Comment: comment, Home: home, Shell: shell}
	return e, e.check()
}

func (e PasswdEntry) check() error {
	return errors.Join(
		checkName("user", e.Name), checkField("password", e.Password),
		checkID("uid", e.UID), checkID("gid", e.GID),
		checkField("comment", e.Comment), checkField("home", e.Home), checkField("shell", e.Shell),
	)
}

// String is the entry as a line of the file, without the newline.
func (e PasswdEntry) String() string {
	return fmt.Sprintf("%s:%s:%d:%d:%s:%s:%s", e.Name, e.Password, e.UID, e.GID, e.Comment, e.Home, e.Shell)
}

// Passwd is a passwd file: its bytes as they came and the accounts in them. The zero value is an
// empty (or missing) file. Values do not change; With gives a new one.
type Passwd struct{ t table[PasswdEntry] }

// ParsePasswd reads a passwd file as leniently as glibc does (nss/nss_files/files-pwd.c): blank
// lines, comments, NIS lines and lines it cannot read are skipped by lookups and kept in the bytes;
// the fields after the gid may be missing; spaces around a line and a "\r" at its end do not count.
func ParsePasswd(b []byte) Passwd { return Passwd{parseTable(b, parsePasswdLine)} }

func parsePasswdLine(line string) (PasswdEntry, error) {
	fields := strings.SplitN(line, ":", 7)
	if len(fields) < 4 {
		return PasswdEntry{}, fmt.Errorf("%d fields, want 7", len(fields))
	}
	if fields[0] == "" {
		return PasswdEntry{}, errors.New("user name is empty")
	}
	uid, err := parseID("uid", fields[2])
	if err != nil {
		return PasswdEntry{}, err
	}
	gid, err := parseID("gid", fields[3])
	if err != nil {
		return PasswdEntry{}, err
	}
	fields = append(fields, "", "", "")
	return PasswdEntry{fields[0], fields[1], uid, gid, fields[4], fields[5], fields[6]}, nil
}

// Bytes is the file: exactly the bytes that were parsed, and what With added. The caller owns it.
func (p Passwd) Bytes() []byte { return []byte(p.t.text) }

// All gives the accounts in file order.
func (p Passwd) All() iter.Seq[PasswdEntry] { return p.t.all() }

// Malformed gives the lines that lookups skip although they are no comment; at most 100.
func (p Passwd) Malformed() []Malformed { return p.t.malformed }

// ByName gives the first account of that name, as getpwnam(3) does.
func (p Passwd) ByName(name string) (PasswdEntry, bool) {
	return p.t.find(func(e PasswdEntry) bool { return e.Name == name })
}

// ByUID gives the first account with that uid, as getpwuid(3) does.
func (p Passwd) ByUID(uid uint32) (PasswdEntry, bool) {
	return p.t.find(func(e PasswdEntry) bool { return e.UID == uid })
}

// With gives the file with one more line: at the end, but before NIS lines. A file that has an
// account of that name already is given back as it is: a second one would never be found. It fails
// on an entry that the file cannot hold.
func (p Passwd) With(e PasswdEntry) (Passwd, error) {
	if err := e.check(); err != nil {
		return p, fmt.Errorf("adding user %q: %w", e.Name, err)
	}
	if _, ok := p.ByName(e.Name); ok {
		return p, nil
	}
	with := ParsePasswd([]byte(withLine(p.t.text, e.String())))
	if _, ok := with.ByName(e.Name); !ok {
		return p, fmt.Errorf("adding user %q: %w", e.Name, errTooLarge)
	}
	return with, nil
}
