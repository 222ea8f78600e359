package survey

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"unroot/internal/finding"
	"unroot/internal/image"
	"unroot/internal/recipe"
	"unroot/internal/rootfs"
	"unroot/internal/trace"
)

// Seen is what runs of the image have shown. The zero value is an image that nobody has run.
type Seen struct {
	Needs    []trace.Need      // what the original did as root
	Opened   []trace.Need      // what the programs of the original that stay opened for reading
	Denials  []SeenDenial      // what candidates were denied, and did not do without
	Wanted   []trace.Need      // of Needs, what programs wrote that candidates did not get to
	Lookups  []trace.Need      // programs that looked the running uid up, and ended where it had no entry
	Strict   []string          // files that were refused for their owner or mode
	Emptied  []string          // directories whose content in the image was missed under a tmpfs
	Contents map[string][]byte // of files among Opened whose content the view did not keep, by real path
}

// SeenDenial is a denial and the run that showed it.
type SeenDenial struct {
	Run string // such as "round 2, fixed"
	trace.Denial
}

// baselineRun is how evidence calls the run of the original.
const baselineRun = "baseline"

// NeedEvidence is what a need of the original shows.
func NeedEvidence(n trace.Need) Evidence {
	return seenEvidence(baselineRun, n.Seq, n.Exe, n.Call, n.Path, n.Target, n.Addr, "")
}

// DenialEvidence is what a denial shows.
func DenialEvidence(d SeenDenial) Evidence {
	return seenEvidence(d.Run, d.Seq, d.Exe, d.Call, d.Path, d.Target, d.Addr, d.Errno)
}

func seenEvidence(run string, seq uint64, exe, call, p, target, addr string, errno trace.Errno) Evidence {
	words := []string{call}
	for _, w := range []string{p, target, addr} {
		if w != "" {
			words = append(words, w)
		}
	}
	text := strings.Join(words, " ")
	if exe != "" {
		text = exe + ": " + text
	}
	if errno != "" {
		text += ": " + string(errno)
	}
	return Evidence{Source: "run", Where: fmt.Sprintf("%s, event %d", run, seq), Text: text}
}

// boundPorts is the ports below 1024 that the original bound, in the order in which it did.
func (s *Survey) boundPorts() []image.Port {
	var ports []image.Port
	for _, n := range s.Seen.Needs {
		proto, number, ok := trace.Port(n.Addr)
		p := image.Port{Number: number, Proto: proto}
		if n.Kind == trace.Bind && ok && Low(number) && !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	return ports
}

// listensSeen looks for ports that the original bound and that the image does not expose, in the
// places where exposed ones are looked for.
func (s *Survey) listensSeen() []Listen {
	var found []Listen
	for _, p := range s.boundPorts() {
		if slices.ContainsFunc(s.Exposed, func(e image.Port) bool { return e.Number == p.Number }) {
			continue
		}
		found = append(found, s.listensOf(p)...)
	}
	return found
}

// portSetting is what stands before a port in a configuration whose language is not known: a word that speaks
// of a port or of an address to listen on, and perhaps the host.
const portSetting = `(?i)(?:^|[^a-z])(?:port|listen|bind|accept|addr|address|endpoint)s?["']?[\s=:({\["']+(?:[a-z]+://)?(?:[^\s"',;]*:)?(%d)\b`

// listensOpened looks for ports that the original bound and that are found nowhere else, in the files that
// their program had opened before: the number alone would say little, that it was bound says the rest.
func (s *Survey) listensOpened(known []Listen) []Listen {
	var found []Listen
	for _, p := range s.boundPorts() {
		if slices.ContainsFunc(known, func(l Listen) bool { return l.Port == p.Number }) ||
			slices.ContainsFunc(found, func(l Listen) bool { return l.Port == p.Number }) {
			continue
		}
		setting := regexp.MustCompile(fmt.Sprintf(portSetting, p.Number))
		for i := range s.Configs {
			f := &s.Configs[i]
			if edits := settings(f.Content, setting); edits != nil && s.wasOpened(f.Path) {
				found = append(found, Listen{Port: p.Number, Proto: "", Script: f.Path, Content: f.Content, Edits: edits,
					Why: Evidence{"directive", f.Path, fmt.Sprintf("names port %d, which was bound after it was opened", p.Number)}})
			}
		}
	}
	return found
}

// settings is the places of the port in lines that are no comments.
func settings(content []byte, setting *regexp.Regexp) []finding.Edit {
	var edits []finding.Edit
	at := 0
	for line := range bytes.Lines(content) {
		if text := bytes.TrimSpace(line); len(text) > 0 && text[0] != '#' && text[0] != ';' {
			for _, m := range setting.FindAllSubmatchIndex(line, -1) {
				edits = append(edits, finding.Edit{Start: at + m[2], End: at + m[3]})
			}
		}
		at += len(line)
	}
	return edits
}

func (s *Survey) wasOpened(p string) bool {
	return slices.ContainsFunc(s.Seen.Opened, func(n trace.Need) bool {
		node, err := s.View.Tree.Resolve(n.Path)
		return err == nil && node.Path() == p
	})
}

// maxUnread is the largest file, in bytes, that is read because a run opened it.
const maxUnread = 256 << 10

// Unread is the real paths of the files that could be configuration, among those that were opened,
// and whose content the view did not keep.
func Unread(view *image.View, opened []trace.Need) []string {
	var unread []string
	for _, o := range opened {
		node, err := view.Tree.Resolve(o.Path)
		if err != nil || !mayConfigure(o.Path) || isSharedConfig(o.Path) || node.Entry().Kind != rootfs.File {
			continue
		}
		facts, size := node.Entry().Facts, node.Entry().Size
		known := facts != nil && (facts.Content != nil || facts.ELF)
		if !known && 0 < size && size <= maxUnread && !slices.Contains(unread, node.Path()) {
			unread = append(unread, node.Path())
		}
	}
	return unread
}

// mayConfigure reports whether a file that was opened could be configuration, by its place or its name:
// also one that is generated where programs keep their state.
func mayConfigure(p string) bool { return isConfigName(p) || strings.Contains(path.Base(p), "conf") }

// fromRuns takes the configuration files that a program opened: a file of a language that is known,
// or one that names a port that the program bound.
func (c *configs) fromRuns() {
	for _, opened := range c.survey.Seen.Opened {
		if !mayConfigure(opened.Path) || isSharedConfig(opened.Path) {
			continue
		}
		before := len(c.files)
		c.add(opened.Path, NeedEvidence(opened))
		if len(c.files) > before {
			f := &c.files[before]
			f.Directives = slices.DeleteFunc(f.Directives, func(d recipe.Directive) bool { return d.Generic && !c.bound(d) })
		}
	}
}

func (c *configs) bound(d recipe.Directive) bool {
	return slices.ContainsFunc(c.survey.boundPorts(), func(p image.Port) bool { return d.Role == recipe.Listen && d.Port == p.Number })
}

// isSharedConfig tells files that libraries read.
func isSharedConfig(p string) bool {
	rest, ok := strings.CutPrefix(p, "/etc/")
	first, _, dir := strings.Cut(rest, "/")
	return ok && (dir && slices.Contains(sharedConfigs, first) || !dir && path.Ext(first) == "")
}

// fromRuns takes what candidates were denied to write.
func (n *needs) fromRuns() {
	for _, d := range n.survey.Seen.Denials {
		if Mendable(n.survey.View.Tree, d.Denial) {
			n.written(d.Denial, DenialEvidence(d))
		}
	}
	for _, w := range n.survey.Seen.Wanted {
		d := trace.Denial{Kind: w.Kind, Call: w.Call, Path: w.Path, Target: w.Target, Want: w.Want, Addr: w.Addr}
		if Mendable(n.survey.View.Tree, d) {
			n.written(d, NeedEvidence(w))
		}
	}
}

func (n *needs) written(d trace.Denial, why Evidence) {
	for _, p := range writtenPaths(d) {
		made := d.Kind == trace.Make && strings.HasPrefix(d.Call, "mkdir")
		n.add(p.Path, Need{Dir: p.Dir, Sure: true, Made: made, Why: why})
	}
}

// Mendable reports whether an image can do something about a denial of a write: not where a file is to be
// made in a directory that is never opened as a whole. Of other denials it is not said.
func Mendable(t *rootfs.Tree, d trace.Denial) bool {
	written := writtenPaths(d)
	for _, w := range written {
		if at, ok := Locate(t, w.Path); ok && opens(t, at, w.Dir) {
			return true
		}
	}
	return len(written) == 0
}

// opens reports whether a plan would make the place writable.
func opens(t *rootfs.Tree, at Place, dir bool) bool {
	switch {
	case at.Exists && !dir: // what is executed stays as it is
		e := at.Node.Entry()
		return e.Kind != rootfs.File || e.Mode&0o111 == 0
	case dir:
		return !Closed(at.Path)
	}
	parent := path.Dir(at.Path)
	_, err := t.Lookup(parent)
	missingInClosed := err != nil && Closed(path.Dir(parent)) && !strings.HasPrefix(parent, "/var/lib/")
	return !Closed(parent) && !missingInClosed
}

// Variable reports whether the path lies where programs keep what changes and nothing else (FHS 3.0, chapters
// 3.15 and 5): in /srv there are programs too.
func Variable(p string) bool {
	root, _, ok := stateRoot(p)
	return ok && root != "/srv"
}

// writtenPaths is what must be writable for the call to be allowed: the file itself, or the
// directory whose entries the call changes.
func writtenPaths(d trace.Denial) []Need {
	switch d.Kind {
	case trace.Open:
		if strings.ContainsAny(d.Want, "wct") {
			return []Need{{Path: d.Path}}
		}
	case trace.Look: // programs ask whether they may write without a wish to: it counts where things are written
		if strings.Contains(d.Want, "w") && Variable(d.Path) {
			return []Need{{Path: d.Path}}
		}
	case trace.Make:
		return []Need{{Path: d.Path, Dir: strings.HasPrefix(d.Call, "mkdir")}}
	case trace.Mode, trace.Owner, trace.Attr:
		return []Need{{Path: d.Path}}
	case trace.Remove, trace.Link:
		return []Need{{Path: path.Dir(d.Path), Dir: true}}
	case trace.Rename:
		return []Need{{Path: path.Dir(d.Path), Dir: true}, {Path: path.Dir(d.Target), Dir: true}}
	case trace.Bind:
		if p, ok := strings.CutPrefix(d.Addr, "unix /"); ok {
			return []Need{{Path: path.Dir("/" + p), Dir: true}}
		}
	}
	return nil
}

// readsSeen is what candidates were denied to read, to search or to execute.
func (s *Survey) readsSeen() []Read {
	var reads []Read
	for _, d := range s.Seen.Denials {
		if want, ok := readWant(d.Denial); ok {
			reads = append(reads, Read{Path: d.Path, Want: want, Why: DenialEvidence(d)})
		}
	}
	return reads
}

// readWant is the access that a reading call was denied. ok is false for calls that write.
func readWant(d trace.Denial) (want rootfs.Access, ok bool) {
	switch d.Kind {
	case trace.Open, trace.Look:
		if strings.ContainsAny(d.Want, "wct") {
			return 0, false
		}
		if strings.Contains(d.Want, "r") {
			want |= rootfs.Read
		}
		if strings.Contains(d.Want, "x") {
			want |= rootfs.Exec
		}
		return want, true
	case trace.Exec:
		return rootfs.Exec, d.Errno == "EACCES"
	case trace.Chdir:
		return rootfs.Exec, true
	}
	return 0, false
}

// BoundProtos is the protocols with which the original was seen to bind a port below 1024.
func (s *Survey) BoundProtos(port uint16) []string {
	var protos []string
	for _, p := range s.boundPorts() {
		if p.Number == port {
			protos = append(protos, p.Proto)
		}
	}
	return protos
}
