package rootfs

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// maxLinks is how many symbolic links one path may go through, MAXSYMLINKS of the kernel.
const maxLinks = 40

// descent is one way through a tree that is being built: containerd's fs.RootPath. Unlike the
// kernel's way it may go through names that are not there yet.
type descent struct {
	at      *Node    // the deepest directory that is there
	missing []string // names below it that are not there
	links   []*Node  // symbolic links gone through
}

var errTooManySteps = fmt.Errorf("links through links: %w", ErrTooLarge)

// descend goes to the directory p, following symbolic links inside the root. A file on the way
// counts as missing: what to do then is the caller's to say.
func (m *merger) descend(p string) (descent, error) {
	d := descent{at: m.root}
	rest := p
	for rest != "" {
		name, tail, _ := strings.Cut(rest, "/")
		rest = tail
		if m.steps++; m.steps > maxSteps {
			return d, errTooManySteps
		}
		if name == "" || name == "." {
			continue
		}
		link := d.step(name)
		if link == nil {
			continue
		}
		if len(d.links) == maxLinks {
			return d, fmt.Errorf("%.200q: %w", link.Path(), ErrLoop)
		}
		d.links = append(d.links, link)
		if path.IsAbs(link.entry.Link) {
			d.at = m.root
		}
		rest = link.entry.Link + "/" + rest
	}
	return d, nil
}

// step takes one component, or gives the symbolic link that it is.
func (d *descent) step(name string) (link *Node) {
	if name == ".." {
		if n := len(d.missing); n > 0 {
			d.missing = d.missing[:n-1]
		} else {
			d.at = d.at.parent
		}
		return nil
	}
	if len(d.missing) > 0 {
		d.missing = append(d.missing, name)
		return nil
	}
	child := d.at.Child(name)
	switch {
	case child == nil, child.Kind() != Dir && child.Kind() != Symlink:
		d.missing = append(d.missing, name)
	case child.Kind() == Symlink:
		return child
	default:
		d.at = child
	}
	return nil
}

// lookup gives the node at p, its parent path resolved inside the root, or nil.
func (m *merger) lookup(p string) (*Node, error) {
	d, err := m.descend(path.Dir(p))
	if err != nil || len(d.missing) > 0 {
		return nil, err
	}
	if p == "/" {
		return m.root, nil
	}
	return d.at.Child(path.Base(p)), nil
}

// parentFor gives the directory that p's last component goes into, made where it is missing, and
// whether p is free of links, so that it is the node's own path.
func (m *merger) parentFor(p string) (at *Node, direct bool, err error) {
	dirname := path.Dir(p)
	d, err := m.descend(dirname)
	if err != nil {
		return nil, false, err
	}
	m.note(p, d.links)
	direct = len(d.links) == 0
	if len(d.missing) == 0 {
		return d.at, direct, nil
	}
	if !direct {
		dirname = path.Join(d.at.Path(), strings.Join(d.missing, "/"))
		if m.made += len(dirname); m.made > maxMade {
			return nil, false, errTooManySteps
		}
	}
	at, err = m.makeDirs(d, dirname)
	return at, direct, err
}

// makeDirs makes the missing directories; p is the path of the deepest, and each Entry's path is a
// part of it.
func (m *merger) makeDirs(d descent, p string) (*Node, error) {
	at := d.at
	for i, name := range d.missing {
		if err := m.checkInTheWay(at.Child(name)); err != nil {
			return nil, err
		}
		n, err := m.put(at, name, &Entry{Path: prefix(p, len(d.missing)-1-i), Kind: Dir, Mode: 0o755})
		if err != nil {
			return nil, err
		}
		n.asWritten = true
		at = n
	}
	return at, nil
}

// prefix gives p without its last n components, as a substring.
func prefix(p string, n int) string {
	for range n {
		p = p[:strings.LastIndexByte(p, '/')]
	}
	return p
}

// checkInTheWay judges a file where a directory is needed. One of a lower layer gives way, as it
// does on overlay engines, which do not see it when they unpack; one of the same layer stops every
// engine.
func (m *merger) checkInTheWay(n *Node) error {
	if n == nil || n.layer < m.layer {
		return nil
	}
	return fmt.Errorf("its parent %.200q is a file of the same layer: %w", n.Path(), ErrNotDir)
}

// note keeps a record of an entry that goes through links of lower layers.
func (m *merger) note(p string, links []*Node) {
	for _, link := range links {
		if link.layer < m.layer && len(m.redirects) < maxRedirects {
			m.redirects = append(m.redirects, Redirect{Path: p, Link: link.Path(), Layer: int(m.layer)})
			return
		}
	}
}

// hide applies the whiteouts and opaque directories of a layer to the layers below.
func (m *merger) hide(entries []Entry, fail func(*Entry, error) error) error {
	own := ownPaths{entries: entries}
	for j := range entries {
		e := &entries[j]
		if e.Kind != Whiteout && e.Kind != Opaque {
			continue
		}
		dirname := e.Path
		if e.Kind == Whiteout {
			dirname = path.Dir(e.Path)
		}
		d, err := m.descend(dirname)
		switch {
		case errors.Is(err, ErrLoop), err == nil && len(d.missing) > 0:
			continue // nothing is there
		case err != nil:
			return fail(e, err)
		case own.replaceAny(d.links):
			continue
		case e.Kind == Opaque:
			d.at.dir.clear()
		default:
			d.at.dir.remove(path.Base(e.Path))
		}
	}
	return nil
}

// ownPaths knows which names a layer gives or removes itself. Overlay file systems mark a directory
// that replaces a link as opaque; that must not empty the directory that the link went to.
type ownPaths struct {
	entries []Entry
	set     map[string]struct{} // made when first needed: whiteouts behind links are rare
	known   map[*Node]bool      // whether a link's path is in the set
}

func (o *ownPaths) replaceAny(links []*Node) bool {
	if len(links) == 0 {
		return false
	}
	if o.set == nil {
		o.known = map[*Node]bool{}
		o.set = make(map[string]struct{}, len(o.entries))
		for i := range o.entries {
			if o.entries[i].Kind != Opaque {
				o.set[o.entries[i].Path] = struct{}{}
			}
		}
	}
	for _, link := range links {
		replaced, ok := o.known[link]
		if !ok {
			_, replaced = o.set[link.Path()]
			o.known[link] = replaced
		}
		if replaced {
			return true
		}
	}
	return false
}
