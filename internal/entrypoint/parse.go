package entrypoint

import (
	"errors"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

const (
	maxScript = 1 << 20 // bytes of a script that is read
	maxFrames = 4000    // frames of the stack while parsing: the parser recurses with every nesting
	chunk     = 256     // bytes between two looks at the stack; each byte can nest once
)

var (
	errDeep  = errors.New("nested too deeply")
	errLarge = errors.New("larger than 1 MiB")
)

// dialect is the shell that reads a script, as far as it changes the meaning.
type dialect uint8

const (
	posix dialect = iota // sh, dash, ash
	bash
)

// source is a text that a shell reads, and where it stands in its file.
type source struct {
	path    string // of the file, or the config field, which edits are of
	host    string // the whole text of that file
	base    int    // where text starts in host
	text    string
	fixed   *span // the text is no part of host as it is: all of it stands at this range and cannot be edited
	dialect dialect
	name    string // what $0 is
	tree    *syntax.File
	err     error
	lines   *[]int // offsets of line starts in host, made when first asked
}

// span is a byte range in a source's host.
type span struct{ start, end int }

func (s *source) span(n syntax.Node) span { return s.between(n.Pos(), n.End()) }

func (s *source) between(from, to syntax.Pos) span {
	if s.fixed != nil {
		return *s.fixed
	}
	end := min(int(to.Offset()), len(s.text))
	return span{s.base + min(int(from.Offset()), end), s.base + end}
}

// raw is what stands at the range.
func (s *source) raw(at span) string { return s.host[at.start:at.end] }

// line is the 1-based line of an offset in host.
func (s *source) line(offset int) int {
	if *s.lines == nil {
		starts := []int{0}
		for i := range len(s.host) {
			if s.host[i] == '\n' {
				starts = append(starts, i+1)
			}
		}
		*s.lines = starts
	}
	n, _ := slices.BinarySearch(*s.lines, offset+1)
	return n
}

// newSource reads text, which stands at base in its host.
func newSource(file, host string, base int, text string, d dialect, name string) *source {
	s := &source{path: file, host: host, base: base, text: text, dialect: d, name: name, lines: new([]int)}
	s.tree, s.err = parse(text, d)
	return s
}

// inner is a part of s that another shell reads, such as the quoted text after -c.
func (s *source) inner(at span, d dialect, name string) *source {
	in := &source{path: s.path, host: s.host, base: at.start, text: s.host[at.start:at.end], dialect: d, name: name, lines: s.lines}
	in.tree, in.err = parse(in.text, d)
	return in
}

// made is a text that a script in s made at run time and gives to a shell at the range.
func (s *source) made(at span, text string, d dialect, name string) *source {
	in := &source{path: s.path, host: s.host, text: text, fixed: &at, dialect: d, name: name, lines: s.lines}
	in.tree, in.err = parse(text, d)
	return in
}

// parse reads a script in its own dialect, and in the other one where that fails: /bin/sh is bash on
// some systems, and dash and ash know a few words of bash.
func parse(text string, d dialect) (*syntax.File, error) {
	if len(text) > maxScript {
		return nil, errLarge
	}
	order := []syntax.LangVariant{syntax.LangPOSIX, syntax.LangBash}
	if d == bash {
		order = []syntax.LangVariant{syntax.LangBash, syntax.LangPOSIX}
	}
	tree, err := parseAs(text, order[0])
	if err == nil || errors.Is(err, errDeep) {
		return tree, err
	}
	if other, otherErr := parseAs(text, order[1]); otherErr == nil {
		return other, nil
	}
	return nil, err
}

func parseAs(text string, lang syntax.LangVariant) (*syntax.File, error) {
	return syntax.NewParser(syntax.Variant(lang)).Parse(&gauge{rest: text, base: depth()}, "")
}

// gauge hands the parser its text and stops it before its recursion fills the stack: Go ends the
// whole process at 1 GB of stack, and one byte of input can cost several frames.
type gauge struct {
	rest string
	base int
}

func (g *gauge) Read(p []byte) (int, error) {
	if g.rest == "" {
		return 0, io.EOF
	}
	var pc [1]uintptr
	if runtime.Callers(g.base+maxFrames, pc[:]) > 0 {
		return 0, errDeep
	}
	n := copy(p, g.rest[:min(len(g.rest), chunk)])
	g.rest = g.rest[n:]
	return n, nil
}

// depth is the number of frames on the stack, in steps of 64.
func depth() int {
	var pc [1]uintptr
	n := 0
	for runtime.Callers(n, pc[:]) > 0 {
		n += 64
	}
	return n
}

// shells are the programs that read shell syntax, by base name.
var shells = map[string]dialect{"sh": posix, "dash": posix, "ash": posix, "ksh": bash, "mksh": bash, "bash": bash, "rbash": bash, "busybox.sh": posix}

// shellNamed gives the dialect of an interpreter's path, following /bin/sh to what it leads to.
func shellNamed(fs FS, name string) (dialect, bool) {
	d, ok := shells[path.Base(name)]
	if ok && path.Base(name) == "sh" && strings.HasPrefix(name, "/") {
		if f, found := fs.File(name); found {
			if real, known := shells[path.Base(f.Path)]; known {
				return real, true
			}
		}
	}
	return d, ok
}
