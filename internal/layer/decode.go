package layer

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/opencontainers/go-digest"

	"unroot/internal/rootfs"
)

// minRowBytes is the least that a row of an entry takes: it bounds the memory of Decode by what is
// really there.
const minRowBytes = 8

// Decode reads what Encode wrote. The contents of files are parts of b, which must not change any
// more; all strings share one copy. It fails with ErrIndex for anything that is damaged or of
// another version; it uses memory in proportion to len(b) only.
func Decode(b []byte) (*Index, error) {
	if len(b) < len(indexMagic)+checksumBytes || string(b[:len(indexMagic)]) != indexMagic {
		return nil, fmt.Errorf("%w: it does not begin as one", ErrIndex)
	}
	body, sum := b[:len(b)-checksumBytes], b[len(b)-checksumBytes:]
	if xxhash.Sum64(body) != binary.LittleEndian.Uint64(sum) {
		return nil, fmt.Errorf("%w: the checksum is wrong", ErrIndex)
	}
	d := decoder{rows: body[len(indexMagic):]}
	x := d.index()
	if d.wrong != "" {
		return nil, fmt.Errorf("%w: %s", ErrIndex, d.wrong)
	}
	return x, nil
}

// decoder takes an encoded index apart. After the first fault every read gives zero.
type decoder struct {
	rows     []byte // what is left of them; before the header is read, of everything
	texts    string // what is left
	contents []byte // what is left
	facts    []rootfs.Facts
	mentions []string
	lastTime int64
	wrong    string
}

func (d *decoder) fail(what string) {
	if d.wrong == "" {
		d.wrong = what
	}
	d.rows, d.texts, d.contents = nil, "", nil
}

// index reads the header, then the rows.
func (d *decoder) index() *Index {
	x := &Index{Size: int64(d.number(math.MaxInt64)), Truncated: d.number(1) == 1}
	rest := uint64(len(d.rows))
	entries := d.number(rest / minRowBytes)
	facts := d.number(entries)
	mentions := d.number(rest)
	diffID, rows, texts, contents := d.number(rest), d.number(rest), d.number(rest), d.number(rest)
	if diffID+rows+texts+contents != uint64(len(d.rows)) || entries > rows/minRowBytes || mentions > rows {
		d.fail("the lengths of its parts are wrong")
		return nil
	}
	x.DiffID = digest.Digest(d.rows[:diffID])
	if x.DiffID.Validate() != nil && diffID > 0 {
		d.fail("the digest is wrong")
		return nil
	}
	body := d.rows[diffID:]
	d.rows = body[:rows]
	d.texts = string(body[rows : rows+texts])
	d.contents = body[rows+texts:]
	d.facts = make([]rootfs.Facts, facts)
	d.mentions = make([]string, mentions)
	if entries > 0 {
		x.Entries = make([]rootfs.Entry, entries)
	}
	for i := range x.Entries {
		d.entry(&x.Entries[i])
	}
	if len(d.rows)+len(d.texts)+len(d.contents)+len(d.facts)+len(d.mentions) > 0 {
		d.fail("something is left over")
	}
	return x
}

// number reads one varint up to a largest value.
func (d *decoder) number(largest uint64) uint64 {
	if len(d.rows) > 0 && d.rows[0] < 0x80 && uint64(d.rows[0]) <= largest { // most of them
		n := uint64(d.rows[0])
		d.rows = d.rows[1:]
		return n
	}
	n, size := binary.Uvarint(d.rows)
	if size <= 0 || n > largest {
		d.fail("a number is wrong")
		return 0
	}
	d.rows = d.rows[size:]
	return n
}

func (d *decoder) octet() byte {
	if len(d.rows) == 0 {
		d.fail("a row is cut short")
		return 0
	}
	c := d.rows[0]
	d.rows = d.rows[1:]
	return c
}

// text reads a length and takes as much of the texts.
func (d *decoder) text() string {
	n := d.number(uint64(len(d.texts)))
	s := d.texts[:n]
	d.texts = d.texts[n:]
	return s
}

func (d *decoder) entry(e *rootfs.Entry) {
	kind := d.octet()
	e.Kind = rootfs.Kind(kind &^ factsBit)
	if e.Kind < rootfs.File || e.Kind > rootfs.Opaque {
		d.fail("a kind is wrong")
	}
	e.Mode = uint16(d.number(0o7777))
	e.Path = d.text()
	if !strings.HasPrefix(e.Path, "/") {
		d.fail("a path is wrong")
	}
	e.Link = d.text()
	e.Size = int64(d.number(math.MaxInt64))
	e.MTime = d.time()
	e.UID = uint32(d.number(math.MaxUint32))
	e.GID = uint32(d.number(math.MaxUint32))
	if kind&factsBit == 0 || d.wrong != "" {
		return
	}
	if len(d.facts) == 0 {
		d.fail("there are more facts than said")
		return
	}
	e.Facts, d.facts = &d.facts[0], d.facts[1:]
	d.fact(e.Facts)
}

// time reads the difference to the time of the row before.
func (d *decoder) time() int64 {
	delta, size := binary.Varint(d.rows)
	if size <= 0 {
		d.fail("a time is wrong")
		return 0
	}
	d.rows = d.rows[size:]
	d.lastTime += delta
	return d.lastTime
}

func (d *decoder) fact(f *rootfs.Facts) {
	bits := d.octet()
	f.ELF = bits&hasELF != 0
	if bits&hasContent != 0 {
		n := d.number(uint64(len(d.contents)))
		f.Content = d.contents[:n:n]
		d.contents = d.contents[n:]
		if f.Content == nil {
			f.Content = []byte{} // nil is "not kept", even after a fault
		}
	}
	if bits&hasInterp != 0 {
		f.Interp = d.text()
	}
	if bits&hasMentions != 0 {
		n := d.number(uint64(len(d.mentions)))
		f.Mentions = d.mentions[:n:n]
		d.mentions = d.mentions[n:]
		for i := range f.Mentions {
			f.Mentions[i] = d.text()
		}
	}
	if bits&hasXattrs != 0 {
		n := d.number(uint64(len(d.rows) / 2))
		f.Xattrs = make(map[string]string, n)
		for range n {
			k := d.text()
			f.Xattrs[k] = d.text()
		}
	}
	if bits >= hasXattrs<<1 {
		d.fail("a fact is unknown")
	}
}
