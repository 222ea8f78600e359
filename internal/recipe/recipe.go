// Package recipe finds, by dialects kept as data, the bytes of configuration files that name ports, users, paths and chroots.
package recipe

import (
	"bytes"
	"cmp"
	"slices"
)

// MaxContent is the largest file, in bytes, that is read; a larger one has no dialect. No program
// of the field ships a configuration near this size, and it bounds the memory for a hostile one.
const MaxContent = 1 << 20

// Role is what a directive does to the process that reads it.
type Role string

// The roles. Those that hold a path hold it as it stands in the file: relative to whatever the
// program says, with globs and variables where the language has them.
const (
	Listen    Role = "listen"     // an address or port that is bound
	User      Role = "user"       // a user that the program switches to
	Group     Role = "group"      // a group that it switches to, or gives a socket to
	Chroot    Role = "chroot"     // a directory that becomes its root
	PidFile   Role = "pid-file"   // a file that is created and written
	Socket    Role = "socket"     // a Unix socket that is created
	Log       Role = "log"        // a log file or directory that is created and written
	StateDir  Role = "state-dir"  // a directory that is written
	StateFile Role = "state-file" // any other file that is created and written
	Include   Role = "include"    // further configuration: a file, a glob or a directory
	Daemonize Role = "daemonize"  // the program leaves the foreground
	TLSKey    Role = "tls-key"    // a secret file that is read
	Document  Role = "document"   // a directory whose files are served, only read
	Command   Role = "command"    // a command line that the program starts

	// Reference is a place that repeats a port without binding it; only References gives it.
	Reference Role = "reference"
)

// Directive is one place in a configuration file that matters for a regular user. All offsets are
// bytes of the content, half-open.
type Directive struct {
	Dialect string `json:"dialect"`
	Role    Role   `json:"role"`
	Key     string `json:"key"`               // the directive's name as the file spells it
	Path    string `json:"path"`              // the file
	Line    int    `json:"line"`              // 1-based line of Start
	Section string `json:"section,omitempty"` // innermost section as written: "server", "frontend web", "[mysqld]", "<VirtualHost *:80>"

	Start int `json:"start"` // whole directive, with its terminator (";") but without the newline
	End   int `json:"end"`

	Value      string `json:"value"` // unquoted bytes of the value
	ValueStart int    `json:"valueStart"`
	ValueEnd   int    `json:"valueEnd"`
	Dir        bool   `json:"dir,omitempty"`     // the value is the path of a directory, not of a file
	Partial    bool   `json:"partial,omitempty"` // the value goes on with a variable: Value is its fixed beginning

	Host      string `json:"host,omitempty"`     // Listen: address part, "" where none is written
	Port      uint16 `json:"port,omitempty"`     // Listen: the port; 0 where it is a variable, implied or elsewhere
	PortLast  uint16 `json:"portLast,omitempty"` // Listen: last port of a range, else 0
	PortStart int    `json:"portStart,omitempty"`
	PortEnd   int    `json:"portEnd,omitempty"`
	Proto     string `json:"proto,omitempty"` // Listen: "tcp" or "udp" (the main one where a program binds both)

	// Implied is the port that holds because the file names none: then Port is 0, PortStart is
	// where a port would be written, and Insert what would be written ("{port}" stands for it).
	// Where even the directive is missing, Start and End are that place too.
	Implied uint16 `json:"implied,omitempty"`
	Insert  string `json:"insert,omitempty"`

	// Instead is what Remove writes in the value's place, where absence would mean a default that
	// needs root. "{user}" and "{group}" are the names of the account that the program will run as:
	// Remove does not know them and changes nothing, SetValue does it.
	Instead string `json:"instead,omitempty"`

	Drop    bool `json:"drop,omitempty"`    // must go for a regular user: fatal or noisy; false: ignored or harmless
	Fatal   bool `json:"fatal,omitempty"`   // the program stops on it when it is not root and not already that user
	Absent  bool `json:"absent,omitempty"`  // the file does not have it, and that has an effect: Remove inserts what takes the effect away
	Hint    bool `json:"hint,omitempty"`    // Absent: that it holds is known only where the port is exposed, or seen bound
	Generic bool `json:"generic,omitempty"` // found by a generic key only: evidence, not knowledge
}

// PortRef is a place that repeats the number of a bound port and must follow it.
type PortRef struct {
	Dialect string `json:"dialect"`
	Key     string `json:"key"`
	Line    int    `json:"line"`
	Value   string `json:"value"` // the address or URL as written
	Port    uint16 `json:"port"`
	Start   int    `json:"start"` // the digits of the port
	End     int    `json:"end"`
}

// Recognise gives the names of the dialects that fit the content, best first. It goes by grammar
// and keywords; the path only orders dialects that fit equally well, by its suffix. Generic
// dialects are named only where no other fits. Content that is binary or over MaxContent fits none.
func Recognise(path string, content []byte) []string {
	fits := newReading(path, content).recognise()
	names := make([]string, len(fits))
	for i, f := range fits {
		names[i] = f.dialect.Name
	}
	return names
}

// Read gives all directives of the best dialect, in the order of the file; a file that no
// dialect knows is read for generic port and listen forms. It never gives a commented directive.
func Read(path string, content []byte) []Directive {
	r := newReading(path, content)
	fits := r.recognise()
	if len(fits) == 0 {
		return nil
	}
	return r.directives(path, fits[0].dialect)
}

// References gives the other places that name the port from and must follow when it moves, in the
// order of the file, under one dialect: sections bound to a port (Apache's VirtualHost) and
// loopback addresses and URLs of the same container. An unknown dialect gives none.
func References(content []byte, dialect string, from uint16) []PortRef {
	d := dialects().byName[dialect]
	if d == nil || from == 0 {
		return nil
	}
	r := newReading("", content)
	doc := r.lexed(d.grammarName)
	var refs []PortRef
	for i := range doc.statements {
		st := &doc.statements[i]
		for _, rule := range d.rulesFor(doc, st, true) {
			for _, found := range r.apply(doc, st, rule) {
				if found.Port == from && found.PortLast == 0 {
					refs = append(refs, PortRef{
						Dialect: dialect, Key: found.Key, Line: doc.lineAt(found.PortStart), Value: found.Value,
						Port: from, Start: found.PortStart, End: found.PortEnd,
					})
				}
			}
		}
	}
	slices.SortStableFunc(refs, func(a, b PortRef) int { return cmp.Compare(a.Start, b.Start) })
	return slices.CompactFunc(refs, func(a, b PortRef) bool { return a.Start == b.Start })
}

// reading is one file under all grammars that were asked for; each grammar reads it at most once.
type reading struct {
	suffix  string
	content []byte
	lower   []byte // for the cheap test whether a sign can occur at all
	docs    map[string]*document
}

func newReading(path string, content []byte) *reading {
	r := &reading{suffix: suffixOf(path), content: content, docs: map[string]*document{}}
	if len(content) > MaxContent || bytes.IndexByte(content, 0) >= 0 {
		r.content = nil
	}
	r.lower = asciiLower(r.content)
	return r
}

func (r *reading) lexed(grammar string) *document {
	if d := r.docs[grammar]; d != nil {
		return d
	}
	d := lex(dialects().grammars[grammar], r.content)
	r.docs[grammar] = d
	return d
}

// directives applies one dialect's rules to the file.
func (r *reading) directives(path string, d *dialect) []Directive {
	doc := r.lexed(d.grammarName)
	var out []Directive
	for i := range doc.statements {
		st := &doc.statements[i]
		for _, rule := range d.rulesFor(doc, st, false) {
			out = append(out, r.apply(doc, st, rule)...)
		}
	}
	out = append(out, r.missing(doc, d)...)
	for i := range out {
		out[i].Dialect, out[i].Path, out[i].Generic = d.Name, path, d.Generic
	}
	slices.SortStableFunc(out, func(a, b Directive) int { return cmp.Compare(a.Start, b.Start) })
	return out
}

// suffixOf gives the part of the file's name from its last dot, "" without one.
func suffixOf(path string) string {
	for i := len(path) - 1; i >= 0 && path[i] != '/'; i-- {
		if path[i] == '.' {
			return path[i:]
		}
	}
	return ""
}

// asciiLower folds only ASCII, so that offsets stay the same.
func asciiLower(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	return out
}
