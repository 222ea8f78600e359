package layer

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"unroot/internal/rootfs"
)

// The encoded form of an Index, all numbers varints (encoding/binary) unless said otherwise:
//
//	magic     8 bytes, the last one the version
//	header    size, truncated, and the numbers of entries, facts, mentions; then the lengths of
//	          the digest, of the rows, of the texts and of the contents
//	digest    of the uncompressed archive, as text
//	rows      one for each entry: see entryRow
//	texts     all strings of the rows, one behind the other in the order of the rows
//	contents  all contents, in the same order
//	checksum  8 bytes, xxhash64 of all before it, little endian
//
// A cached index guards against half-written and damaged files, not against someone who may write
// the cache: a quick checksum is enough.
const (
	indexMagic    = "unrtidx\x04"
	checksumBytes = 8
)

// Bits of the byte that says which facts a row goes on with.
const (
	hasContent = 1 << iota
	hasInterp
	hasELF
	hasMentions
	hasXattrs
)

// factsBit is set in the byte of the kind where facts follow.
const factsBit = 0x80

// encoder builds the three parts of an encoded index.
type encoder struct {
	rows, texts, contents []byte
	facts, mentions       uint64
	lastTime              int64
}

// Encode writes the index in a compact binary form that Decode reads. The same index gives the same
// bytes. It fails only where w fails.
func (x *Index) Encode(w io.Writer) error {
	var e encoder
	for i := range x.Entries {
		e.entryRow(&x.Entries[i])
	}
	truncated := uint64(0)
	if x.Truncated {
		truncated = 1
	}
	out := []byte(indexMagic)
	for _, n := range []uint64{
		uint64(x.Size), truncated, uint64(len(x.Entries)), e.facts, e.mentions,
		uint64(len(x.DiffID)), uint64(len(e.rows)), uint64(len(e.texts)), uint64(len(e.contents)),
	} {
		out = binary.AppendUvarint(out, n)
	}
	out = append(out, x.DiffID...)
	out = slices.Concat(out, e.rows, e.texts, e.contents)
	out = binary.LittleEndian.AppendUint64(out, xxhash.Sum64(out))
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("writing layer index: %w", err)
	}
	return nil
}

// entryRow: kind (a byte, with factsBit), mode, lengths of path and link, size, the difference of
// the time to the row before, uid, gid; then the facts.
func (e *encoder) entryRow(r *rootfs.Entry) {
	kind := byte(r.Kind)
	if r.Facts != nil {
		kind |= factsBit
	}
	e.rows = append(e.rows, kind)
	e.number(uint64(r.Mode))
	e.text(r.Path)
	e.text(r.Link)
	e.number(uint64(r.Size))
	e.rows = binary.AppendVarint(e.rows, r.MTime-e.lastTime)
	e.lastTime = r.MTime
	e.number(uint64(r.UID))
	e.number(uint64(r.GID))
	if r.Facts != nil {
		e.factsRow(r.Facts)
	}
}

// factsRow: the bits (a byte), then what they name: length of the content; length of the
// interpreter; number and lengths of the mentions; number of the attributes, and the lengths of
// each name and value, sorted by name.
func (e *encoder) factsRow(f *rootfs.Facts) {
	e.facts++
	e.rows = append(e.rows, factBits(f))
	if f.Content != nil {
		e.number(uint64(len(f.Content)))
		e.contents = append(e.contents, f.Content...)
	}
	if f.Interp != "" {
		e.text(f.Interp)
	}
	if len(f.Mentions) > 0 {
		e.mentions += uint64(len(f.Mentions))
		e.number(uint64(len(f.Mentions)))
		for _, m := range f.Mentions {
			e.text(m)
		}
	}
	if len(f.Xattrs) > 0 {
		e.number(uint64(len(f.Xattrs)))
		for _, k := range slices.Sorted(maps.Keys(f.Xattrs)) {
			e.text(k)
			e.text(f.Xattrs[k])
		}
	}
}

func factBits(f *rootfs.Facts) (bits byte) {
	if f.Content != nil {
		bits |= hasContent
	}
	if f.Interp != "" {
		bits |= hasInterp
	}
	if f.ELF {
		bits |= hasELF
	}
	if len(f.Mentions) > 0 {
		bits |= hasMentions
	}
	if len(f.Xattrs) > 0 {
		bits |= hasXattrs
	}
	return bits
}

func (e *encoder) number(n uint64) { e.rows = binary.AppendUvarint(e.rows, n) }

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	e.texts = append(e.texts, s...)
}
