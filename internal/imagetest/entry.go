package imagetest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/layer"
	"unroot/internal/rootfs"
	"unroot/internal/survey"
)

// entryOf reads one line of a layer:
//
//	d 0755 0:0 /dir           a directory
//	f 0644 0:0 4096 /file     a file of so many bytes
//	l /link target            a symbolic link
//	h /name /file             a hard link to a file of the same layer
//	p 0644 0:0 /fifo          a fifo
//	w /path                   a whiteout
//	o /dir                    an opaque directory
func entryOf(words []string) (layer.DeltaEntry, error) {
	kinds := map[string]struct {
		kind  rootfs.Kind
		words int
	}{
		"d": {rootfs.Dir, 4}, "f": {rootfs.File, 5}, "l": {rootfs.Symlink, 3}, "h": {rootfs.Hardlink, 3},
		"p": {rootfs.Fifo, 4}, "w": {rootfs.Whiteout, 2}, "o": {rootfs.Opaque, 2},
	}
	k, ok := kinds[words[0]]
	if !ok || len(words) != k.words {
		return layer.DeltaEntry{}, errForm
	}
	e := rootfs.Entry{Kind: k.kind, Path: words[len(words)-1]}
	switch k.kind {
	case rootfs.Symlink, rootfs.Hardlink:
		e.Path, e.Link = words[1], words[2]
		if k.kind == rootfs.Symlink {
			e.Mode = 0o777
		}
		return layer.DeltaEntry{Entry: e}, nil
	case rootfs.Whiteout, rootfs.Opaque:
		return layer.DeltaEntry{Entry: e}, nil
	}
	if err := attributes(&e, words[1:3]); err != nil {
		return layer.DeltaEntry{}, err
	}
	if k.kind != rootfs.File {
		return layer.DeltaEntry{Entry: e}, nil
	}
	size, err := strconv.Atoi(words[3])
	e.Size = int64(size)
	return layer.DeltaEntry{Entry: e, Content: bytes.Repeat([]byte("\x00binary\n"), size/8+1)[:size]}, err
}

// attributes reads "0755" and "0:0".
func attributes(e *rootfs.Entry, words []string) error {
	for _, w := range words {
		if uid, gid, ok := strings.Cut(w, ":"); ok {
			u, errU := strconv.ParseUint(uid, 10, 32)
			g, errG := strconv.ParseUint(gid, 10, 32)
			if errU != nil || errG != nil {
				return fmt.Errorf("owner %q: %w", w, errForm)
			}
			e.UID, e.GID = uint32(u), uint32(g)
			continue
		}
		mode, err := strconv.ParseUint(w, 8, 12)
		if err != nil {
			return fmt.Errorf("mode %q: %w", w, errForm)
		}
		e.Mode = uint16(mode)
	}
	return nil
}

// file reads a section that is a file.
func (b *builder) file(f txtar.File) error {
	words := strings.Fields(f.Name)
	e := rootfs.Entry{Kind: rootfs.File, Path: words[0], Mode: 0o644}
	content := f.Data
	for _, w := range words[1:] {
		switch w {
		case "elf":
			content = program(f.Data)
		case "cap+ep", "cap+p":
			e.Facts = &rootfs.Facts{Xattrs: map[string]string{survey.CapabilityXattr: capability(w == "cap+ep")}}
		default:
			if err := attributes(&e, []string{w}); err != nil {
				return err
			}
		}
	}
	e.Size = int64(len(content))
	b.add(layer.DeltaEntry{Entry: e, Content: content})
	return nil
}

// program is the header of a static ELF program, and the lines as its strings.
func program(lines []byte) []byte {
	var out bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Ehsize: 64}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	_ = binary.Write(&out, binary.LittleEndian, header) // a buffer takes everything
	out.Write(bytes.ReplaceAll(lines, []byte("\n"), []byte{0}))
	return out.Bytes()
}

// capability is a struct vfs_cap_data of revision 2 with CAP_NET_BIND_SERVICE (linux/capability.h).
func capability(effective bool) string {
	const revision2, netBindService = 0x02000000, 10
	magic := uint32(revision2)
	if effective {
		magic |= 1
	}
	b := binary.LittleEndian.AppendUint32(nil, magic)
	b = binary.LittleEndian.AppendUint32(b, 1<<netBindService)
	return string(append(b, make([]byte, 12)...))
}
