package nscd

import (
	"bytes"
	"iter"
)

// account is a line of passwd as glibc reads it; the texts are the line's bytes.
type account struct {
	name, password       []byte
	uid, gid             uint32
	comment, home, shell []byte
}

// group is a line of group as glibc reads it; the texts are the line's bytes.
type group struct {
	name, password []byte
	gid            uint32
	members        []byte // as they stand in the line
}

// readAccount reads a line of passwd, without its newline, byte for byte as glibc's "files" do
// (nss/nss_files/files-parse.c, pwd/fgetpwent_r.c): spaces before it do not count and those behind it
// do, fields after the gid may be missing, and what belongs to NIS is no account.
func readAccount(line []byte) (e account, ok bool) {
	line, ok = payload(line)
	if !ok {
		return account{}, false
	}
	e.name, line = field(line)
	e.password, line = field(line)
	if e.uid, line, ok = id(line); !ok {
		return account{}, false
	}
	if e.gid, line, ok = id(line); !ok {
		return account{}, false
	}
	e.comment, line = field(line)
	e.home, e.shell = field(line)
	return e, true
}

// readGroup reads a line of group, likewise (grp/fgetgrent_r.c).
func readGroup(line []byte) (e group, ok bool) {
	line, ok = payload(line)
	if !ok {
		return group{}, false
	}
	return groupOf(line)
}

// readMembership reads a line of group as glibc does where it wants to know who is in it
// (nss/nss_files/files-initgroups.c): comments and lines of NIS count, and the latter may lack a gid,
// which is 0 then.
func readMembership(line []byte) (e group, ok bool) {
	e, ok = groupOf(untilZero(line))
	if ok || len(e.name) == 0 || e.name[0] != '+' && e.name[0] != '-' {
		return e, ok
	}
	empty, members := field(e.members)
	return group{name: e.name, password: e.password, members: members}, len(empty) == 0 && len(e.members) > 0
}

// groupOf splits a line. Where the gid is no number, the members are what follows the password.
func groupOf(line []byte) (e group, ok bool) {
	e.name, line = field(line)
	e.password, line = field(line)
	gid, members, ok := id(line)
	if !ok {
		members = line
	}
	e.gid, e.members = gid, members
	return e, ok
}

// all gives the members: spaces before a name do not count, and neither do empty names.
func (e group) all() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := e.members; len(rest) > 0; {
			member := skipSpace(rest)
			end := bytes.IndexByte(member, ',')
			if end < 0 {
				rest, end = nil, len(member)
			} else {
				rest = member[end+1:]
			}
			if end > 0 && !yield(member[:end]) {
				return
			}
		}
	}
}

// payload gives what counts of a line; false where it is blank, a comment, or of NIS ("+", "-name").
// A zero byte ends it: libc keeps lines as C strings.
func payload(line []byte) ([]byte, bool) {
	line = skipSpace(line)
	if len(line) == 0 || line[0] == '#' || line[0] == '+' || line[0] == '-' {
		return nil, false
	}
	line = untilZero(line)
	return line, len(line) > 0
}

func untilZero(line []byte) []byte {
	if end := bytes.IndexByte(line, 0); end >= 0 {
		return line[:end]
	}
	return line
}

func field(line []byte) (first, rest []byte) {
	if i := bytes.IndexByte(line, ':'); i >= 0 {
		return line[:i], line[i+1:]
	}
	return line, nil
}

// id reads a field as strtoul(3) does; numbers that are no uint32 are refused.
func id(line []byte) (n uint32, rest []byte, ok bool) {
	digits := skipSpace(line)
	negative := false
	if len(digits) > 0 && (digits[0] == '+' || digits[0] == '-') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	i, value := 0, uint64(0)
	for ; i < len(digits) && digits[i] >= '0' && digits[i] <= '9'; i++ {
		value = min(value*10+uint64(digits[i]-'0'), 1<<32)
	}
	switch {
	case i == 0, value >= 1<<32, negative && value > 0:
		return 0, nil, false
	case i < len(digits) && digits[i] == ':':
		rest = digits[i+1:]
	case i < len(digits):
		return 0, nil, false
	}
	return uint32(value), rest, true
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] >= '\t' && b[0] <= '\r') {
		b = b[1:]
	}
	return b
}
