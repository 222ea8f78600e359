// Package rewrite carries a plan out: as one layer and a patched config, or as a Dockerfile.
package rewrite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/opencontainers/go-digest"

	"unroot/internal/finding"
	"unroot/internal/image"
	"unroot/internal/layer"
	"unroot/internal/plan"
	"unroot/internal/rootfs"
	"unroot/internal/survey"
)

// maxRepeated limits the bytes of all files that one conversion repeats.
const maxRepeated = 1 << 30

// delta collects what a plan changes in the tree, by path.
type delta struct {
	view    *image.View
	created int64 // seconds; the time of what is new, so that it does not depend on the clock
	entries map[string]*change
	costs   []int64
	cost    int64 // of the operation at hand
}

// change is one path of the layer to be.
type change struct {
	entry   rootfs.Entry
	from    string // where its content is read in the image, if not at its own path
	edits   []finding.Edit
	content []byte // nil: to be read from the image
}

// Delta lowers the plan's effects on the tree to one layer. It reads files whose content must be
// repeated and was not kept.
func Delta(ctx context.Context, v *image.View, p plan.Plan, created int64) (layer.Delta, error) {
	d := newDelta(v, created)
	for _, op := range p.Operations {
		if err := d.add(op.Effect); err != nil {
			return layer.Delta{}, err
		}
	}
	if err := d.read(ctx); err != nil {
		return layer.Delta{}, err
	}
	return d.lower()
}

// Costs is the bytes that each operation of the plan adds to the layer's archive, uncompressed. A
// file counts with the first operation that repeats it. Operations on the config cost nothing here.
func Costs(v *image.View, p plan.Plan) ([]int64, error) {
	d := newDelta(v, 0)
	for _, op := range p.Operations {
		if err := d.add(op.Effect); err != nil {
			return nil, err
		}
	}
	return d.costs, nil
}

func newDelta(v *image.View, created int64) *delta {
	return &delta{view: v, created: created, entries: map[string]*change{}}
}

func (d *delta) add(e plan.Effect) error {
	d.cost = 0
	err := d.apply(e)
	d.costs = append(d.costs, d.cost)
	return err
}

// apply changes the tree to be. Effects on the config change nothing here.
func (d *delta) apply(e plan.Effect) error {
	switch e := e.(type) {
	case plan.MakeDir:
		d.put(rootfs.Entry{Path: e.Path, Kind: rootfs.Dir, MTime: d.created}, e.Attr, nil)
	case plan.WriteFile:
		d.put(rootfs.Entry{Path: e.Path, Kind: rootfs.File, Size: int64(len(e.Content)), MTime: d.created}, e.Attr, e.Content)
	case plan.AddProgram:
		return d.addProgram(e)
	case plan.Keep:
		return d.keep(e)
	case plan.Link:
		d.put(rootfs.Entry{Path: e.Path, Kind: rootfs.Symlink, Link: e.To, MTime: d.created}, plan.Attr{Mode: 0o777}, nil)
	case plan.Remove:
		d.put(rootfs.Entry{Path: e.Path, Kind: rootfs.Whiteout}, plan.Attr{}, nil)
	case plan.Grant:
		return d.repeat(e.Path, &e.To, nil, false)
	case plan.GrantFile:
		return d.repeat(e.Path, &e.To, nil, false)
	case plan.Strip:
		return d.repeat(e.Path, &e.To, nil, e.Caps)
	case plan.EditFile:
		return d.edit(e.Path, e.Edits)
	}
	return nil
}

func (d *delta) put(entry rootfs.Entry, attr plan.Attr, content []byte) {
	entry.UID, entry.GID, entry.Mode = attr.UID, attr.GID, attr.Mode
	d.entries[entry.Path] = &change{entry: entry, content: content}
	d.cost += layer.Cost(entry)
	d.addParents(entry.Path)
}

// addParents takes the directories above a path into the layer, as they are: Docker makes those that
// a layer does not name with mode 0755 and owner root, which hides what the layers below say
// (opencontainers/image-spec issue 1221).
func (d *delta) addParents(p string) {
	for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
		if _, ok := d.entries[dir]; ok {
			return // with its parents
		}
		node, err := d.view.Tree.Lookup(dir)
		if err != nil {
			continue // made by an operation of the plan
		}
		entry := *node.Entry()
		entry.Path = dir
		d.entries[dir] = &change{entry: entry}
		d.cost += layer.Cost(entry)
	}
}

// repeat takes a file or directory of the image over into the layer, with other attributes, edits,
// or without its file capabilities.
func (d *delta) repeat(p string, attr *plan.Attr, edits []finding.Edit, stripCaps bool) error {
	c, err := d.existing(p)
	if err != nil {
		return err
	}
	was := layer.Cost(c.entry)
	if attr != nil {
		c.entry.UID, c.entry.GID, c.entry.Mode = attr.UID, attr.GID, attr.Mode
	}
	if stripCaps {
		facts := *c.entry.Facts
		facts.Xattrs = maps.Clone(facts.Xattrs)
		delete(facts.Xattrs, survey.CapabilityXattr)
		c.entry.Facts = &facts
	}
	c.edits = append(c.edits, edits...)
	d.cost += layer.Cost(c.entry) - was
	return nil
}

func (d *delta) existing(p string) (*change, error) {
	if c, ok := d.entries[p]; ok {
		return c, nil
	}
	node, err := d.view.Tree.Lookup(p)
	if err != nil {
		return nil, fmt.Errorf("[internal error] a plan changes %q: %w", p, err)
	}
	entry := *node.Entry()
	entry.Path, entry.Link = p, ""
	c := &change{entry: entry}
	d.entries[p] = c
	d.cost += layer.Cost(entry)
	d.addParents(p)
	return c, nil
}

// read gets the content of the files that are repeated: what the first pass kept, and the rest in a
// second pass.
func (d *delta) read(ctx context.Context) error {
	missing := map[string][]*change{}
	for p, c := range d.entries {
		if c.entry.Kind != rootfs.File || c.content != nil {
			continue
		}
		if c.from != "" {
			p = c.from
		}
		content, err := d.view.Content(p)
		switch {
		case err == nil:
			c.content = content
		case errors.Is(err, image.ErrNotKept):
			missing[p] = append(missing[p], c)
		default:
			return err
		}
	}
	contents, err := d.view.ReadFiles(ctx, slices.Sorted(maps.Keys(missing)), maxRepeated)
	for p, content := range contents {
		for _, c := range missing[p] {
			c.content = content
		}
	}
	return err
}

func (d *delta) lower() (layer.Delta, error) {
	var out layer.Delta
	for _, p := range slices.Sorted(maps.Keys(d.entries)) {
		c := d.entries[p]
		content := c.content
		if len(c.edits) > 0 {
			var err error
			if content, err = finding.Apply(content, c.edits); err != nil {
				return layer.Delta{}, fmt.Errorf("editing %q: %w", p, err)
			}
		}
		if c.entry.Kind == rootfs.File {
			c.entry.Size = int64(len(content))
		}
		out.Entries = append(out.Entries, layer.DeltaEntry{Entry: c.entry, Content: content})
	}
	return out, nil
}

// indexOf is what reading the written layer would give, with the contents of the files at hand.
func indexOf(d layer.Delta, diffID digest.Digest) *layer.Index {
	index := &layer.Index{DiffID: diffID}
	for _, e := range d.Entries {
		entry := e.Entry
		if entry.Kind == rootfs.File {
			facts := rootfs.Facts{}
			if entry.Facts != nil {
				facts = *entry.Facts
			}
			facts.Content = e.Content
			entry.Facts = &facts
		}
		index.Entries = append(index.Entries, entry)
	}
	return index
}

// FileDiff is one file that a plan edits, before and after.
type FileDiff struct {
	Path          string
	Before, After []byte
}

// Diffs is the files whose content the plan changes, by path.
func Diffs(p plan.Plan) ([]FileDiff, error) {
	byPath := map[string]*FileDiff{}
	edits := map[string][]finding.Edit{}
	for _, op := range p.Operations {
		switch e := op.Effect.(type) {
		case plan.EditFile:
			byPath[e.Path] = &FileDiff{Path: e.Path, Before: e.Before}
			edits[e.Path] = append(edits[e.Path], e.Edits...)
		case plan.WriteFile:
			byPath[e.Path] = &FileDiff{Path: e.Path, After: e.Content}
		}
	}
	var out []FileDiff
	for _, path := range slices.Sorted(maps.Keys(byPath)) {
		d := byPath[path]
		if len(edits[path]) > 0 {
			var err error
			if d.After, err = finding.Apply(d.Before, edits[path]); err != nil {
				return nil, fmt.Errorf("editing %q: %w", path, err)
			}
		}
		if !bytes.Equal(d.Before, d.After) {
			out = append(out, *d)
		}
	}
	return out, nil
}
