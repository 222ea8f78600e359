//go:build linux

package nscd

import (
	"bytes"

	"golang.org/x/sys/unix"

	"unroot/internal/startup/libc"
)

// others are the sources that nsswitch.conf(5) names beside the files.
type others struct {
	source
	databases []string // those with such a source
}

// has reports whether clients can ask somebody else for what the files do not have.
func (o *others) has(database string) bool {
	if o.refresh() {
		o.databases = nil
		_ = o.lines(func(line []byte) bool {
			if name, sources := switchLine(line); len(sources) > 0 && reachable(sources) {
				o.databases = append(o.databases, name)
			}
			return true
		})
	}
	for _, name := range o.databases {
		if name == database {
			return true
		}
	}
	return false
}

// switchLine reads "passwd: files [NOTFOUND=return] sss" and gives the sources that are not the files
// themselves: "compat" reads them too, and "systemd" knows users of its own manager alone, which no
// container has.
func switchLine(line []byte) (database string, sources []string) {
	line, _, _ = bytes.Cut(line, []byte{'#'})
	name, rest, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return "", nil
	}
	database = string(bytes.TrimSpace(name))
	switch database {
	case "passwd", "group", "initgroups":
	default:
		return "", nil
	}
	inside := false // of brackets
	for _, word := range bytes.Fields(rest) {
		inside = inside || word[0] == '['
		if !inside {
			switch source := string(word); source {
			case "files", "compat", "systemd":
			default:
				sources = append(sources, source)
			}
		}
		inside = inside && word[len(word)-1] != ']'
	}
	return database, sources
}

// reachable reports whether a client can ask one of the sources: its module is there, and sssd's
// client finds its server. Images of the RHEL family name sss without having either.
func reachable(sources []string) bool {
	for _, source := range sources {
		if source == "sss" && unix.Access("/var/lib/sss/pipes/nss", unix.F_OK) != nil {
			continue
		}
		if bytes.ContainsRune([]byte(source), '/') {
			continue
		}
		for _, path := range libc.ModulePaths(source) {
			if unix.Access(path, unix.F_OK) == nil {
				return true
			}
		}
	}
	return false
}
