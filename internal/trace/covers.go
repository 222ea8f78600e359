package trace

import (
	"iter"
	"strings"
)

// covers is the directories that a run made itself, as a tree of names, with the key of the need that made each. A tree,
// since a hostile run may have very deep paths in very many events. Directories deeper than maxDepth cover nothing.
type covers struct {
	within map[string]*covers
	key    string // empty: not made by the run
}

const maxDepth = 128

// names gives the names of a path, from the root down.
func names(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		depth := 0
		for name := range strings.SplitSeq(path, "/") {
			if name == "" {
				continue
			}
			if depth++; depth > maxDepth || !yield(name) {
				return
			}
		}
	}
}

// above gives the key of the directory, made by the run, that covers an event; "" where none does. Giving a
// file away is not covered: only a privileged process may, wherever the file is (chown(2)).
func (c *covers) above(e Event) string {
	if c.within == nil {
		return ""
	}
	switch e.Kind {
	case Open, Make, Remove, Link, Attr, Mode:
		if e.Kind == Make && (e.Call == "mknod" || e.Call == "mknodat") {
			return "" // a device takes a privilege in any directory
		}
		return c.nearest(e.Path)
	case Bind:
		return c.nearest(socketPath(e.Addr))
	case Rename:
		from := c.nearest(e.Path)
		if c.nearest(e.Target) != "" {
			return from
		}
	}
	return ""
}

// remember keeps the directories that the run made: mkdir succeeds only where nothing was (mkdir(2), EEXIST).
func (c *covers) remember(e Event, key string) {
	switch {
	case e.Kind == Make && (e.Call == "mkdir" || e.Call == "mkdirat"):
		c.set(e.Path, key)
	case e.Kind == Remove:
		c.set(e.Path, "")
	case e.Kind == Rename && c.has(e.Path):
		c.set(e.Path, "")
		c.set(e.Target, key)
	}
}

// nearest gives the key of the nearest directory above name, or of name itself.
func (c *covers) nearest(name string) string {
	key, at := c.key, c
	for part := range names(name) {
		if at = at.within[part]; at == nil {
			break
		}
		if at.key != "" {
			key = at.key
		}
	}
	return key
}

func (c *covers) has(name string) bool {
	at := c
	for part := range names(name) {
		if at = at.within[part]; at == nil {
			return false
		}
	}
	return at.key != ""
}

// set gives name a key, or takes it away.
func (c *covers) set(name, key string) {
	if strings.Count(name, "/") > maxDepth || key == "" && !c.has(name) {
		return
	}
	at := c
	for part := range names(name) {
		next := at.within[part]
		if next == nil {
			if at.within == nil {
				at.within = map[string]*covers{}
			}
			next = &covers{}
			at.within[part] = next
		}
		at = next
	}
	at.key = key
}
