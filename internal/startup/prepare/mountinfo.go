package prepare

import (
	"strconv"
	"strings"
)

// mount is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	id, parent int
	device     string // major:minor
	root       string // directory of its file system that is mounted, as that file system names it
	point      string // where it is mounted
	options    string // of this mount, comma between
	fstype     string
	source     string // what was mounted, as the file system has it
	super      string // options of the file system
}

// Limits on what is read: a container may have tens of thousands of mounts, a start has no time for them.
const (
	maxMountInfo = 4 << 20
	maxMounts    = 20000
	maxMountLine = 64 << 10
)

// parseMounts reads mountinfo. Lines that are not understood are left out: what is said of a mount
// helps, and nothing depends on it.
func parseMounts(b []byte) []mount {
	var out []mount
	for line := range strings.Lines(string(b)) {
		if len(out) == maxMounts {
			break
		}
		if m, ok := parseMount(strings.TrimSuffix(line, "\n")); ok && len(line) <= maxMountLine {
			out = append(out, m)
		}
	}
	return out
}

// parseMount reads "id parent major:minor root point options [tags] - type source super".
func parseMount(line string) (mount, bool) {
	front, back, ok := strings.Cut(line, " - ")
	f, g := strings.Split(front, " "), strings.Split(back, " ")
	if !ok || len(f) < 6 || len(g) < 2 {
		return mount{}, false
	}
	id, err := strconv.Atoi(f[0])
	parent, err2 := strconv.Atoi(f[1])
	if err != nil || err2 != nil {
		return mount{}, false
	}
	m := mount{
		id: id, parent: parent, device: f[2], root: unescape(f[3]), point: unescape(f[4]), options: f[5],
		fstype: unescape(g[0]), source: unescape(g[1]), super: strings.Join(g[2:], " "),
	}
	return m, strings.HasPrefix(m.point, "/")
}

// unescape undoes the octal escapes of the kernel (fs/seq_file.c, mangle_path: space, tab, newline,
// backslash, and "#").
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// has reports whether a list of options, comma between, has one.
func has(options, name string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == name {
			return true
		}
	}
	return false
}

// readOnly says that nobody can write: this mount, or the file system wherever it is mounted.
func (m mount) readOnly() bool { return has(m.options, "ro") || has(m.super, "ro") }

// over gives the mount that a path without symbolic links is on: the longest point above it, and of
// mounts at one point the last.
func over(table []mount, path string) (mount, bool) {
	best, found := mount{}, false
	for _, m := range table {
		if _, ok := below(path, m.point); ok && (!found || len(m.point) >= len(best.point)) {
			best, found = m, true
		}
	}
	return best, found
}

// below gives what of a path is below a directory: "" for the directory itself, else "/rest".
func below(path, dir string) (string, bool) {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	return strings.TrimSuffix(rest, "/"), ok && (rest == "" || rest[0] == '/')
}
