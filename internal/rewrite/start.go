package rewrite

import (
	"fmt"
	"path"
	"strings"

	"unroot/internal/finding"
	"unroot/internal/plan"
	"unroot/internal/rootfs"
	"unroot/internal/startup/program"
)

// addProgram adds unroot-init as it is built for the image's platform.
func (d *delta) addProgram(e plan.AddProgram) error {
	content, err := programFor(d.view.Config.Platform())
	if err != nil {
		return err
	}
	d.put(rootfs.Entry{Path: e.Path, Kind: rootfs.File, Size: int64(len(content)), MTime: d.created}, plan.Attr{Mode: 0o755}, content)
	return nil
}

func programFor(platform string) ([]byte, error) {
	parts := append(strings.SplitN(platform, "/", 3), "", "")
	content, ok, err := program.For(parts[0], parts[1], parts[2])
	if err == nil && !ok {
		err = fmt.Errorf("[internal error] a plan adds unroot-init, which is not built for %q", platform)
	}
	return content, err
}

// keep copies a file, or what is below a directory, to where unroot-init takes it from. Whoever runs
// may read it and no more.
func (d *delta) keep(e plan.Keep) error {
	top, err := d.view.Tree.Lookup(e.Path)
	if err != nil {
		return fmt.Errorf("[internal error] a plan keeps %q: %w", e.Path, err)
	}
	d.putParents(e.To)
	if !top.IsDir() {
		d.keepOne(top, e.To, e.GID)
		return nil
	}
	for node := range d.view.Tree.Walk(e.Path) {
		d.keepOne(node, e.To+strings.TrimPrefix(node.Path(), e.Path), e.GID)
	}
	return nil
}

func (d *delta) keepOne(node *rootfs.Node, to string, gid uint32) {
	entry := *node.Entry()
	attr := plan.Attr{GID: gid, Mode: entry.Mode & 0o777}
	entry.Path, entry.Facts = to, nil
	switch entry.Kind {
	case rootfs.Dir:
		attr.Mode |= 0o050
	case rootfs.File:
		attr.Mode |= 0o040
		entry.Link = "" // a hard link's name: what is kept is a file of its own
	case rootfs.Symlink:
	default:
		return // devices and their like are not copied at start
	}
	d.put(entry, attr, nil)
	if entry.Kind == rootfs.File {
		d.entries[to].from = node.Path()
	}
}

// edit changes a file where it stands, and where it is kept for the start: one that a link stands for is
// only there.
func (d *delta) edit(p string, edits []finding.Edit) error {
	for _, c := range d.entries {
		if c.from == p {
			c.edits = append(c.edits, edits...)
		}
	}
	if c := d.entries[p]; c != nil && c.entry.Kind == rootfs.Symlink {
		return nil
	}
	return d.repeat(p, nil, edits, false)
}

// putParents makes the directories above a path that are in neither the image nor the layer.
func (d *delta) putParents(p string) {
	dir := path.Dir(p)
	if _, made := d.entries[dir]; made || dir == "/" {
		return
	}
	if _, err := d.view.Tree.Lookup(dir); err == nil {
		return
	}
	d.putParents(dir)
	d.put(rootfs.Entry{Path: dir, Kind: rootfs.Dir, MTime: d.created}, plan.Attr{Mode: 0o755}, nil)
}
