package layer

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// elfHeadBytes is how much of an ELF file is read to find its program headers: linkers put them
// right behind the file's header.
const elfHeadBytes = 4 << 10

// maxInterpBytes is the longest interpreter that the kernel takes (fs/binfmt_elf.c: PATH_MAX).
const maxInterpBytes = 4096

// span is a range of a file's bytes; empty where length is 0.
type span struct{ offset, length uint64 }

// within gives the string at the span, up to its NUL, if part holds all of it. part begins at start
// in the file.
func (s span) within(part []byte, start uint64) string {
	size := uint64(len(part))
	if s.length == 0 || s.offset < start || s.offset-start > size || s.length > size-(s.offset-start) {
		return ""
	}
	text := part[s.offset-start:][:s.length]
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	return string(text)
}

func isELF(head []byte) bool { return bytes.HasPrefix(head, []byte(elf.ELFMAG)) }

// elfInterp finds where the name of a program's interpreter is (PT_INTERP). It is empty for
// static programs and libraries, for damaged headers, and where the program headers are not in head.
// debug/elf is of no use here: it wants the section headers, which are at the file's end.
func elfInterp(head []byte) span {
	if len(head) < elf.EI_NIDENT {
		return span{}
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	switch elf.Class(head[elf.EI_CLASS]) {
	case elf.ELFCLASS64:
		return findInterp(head, order, layout64)
	case elf.ELFCLASS32:
		return findInterp(head, order, layout32)
	}
	return span{}
}

// elfLayout says where the fields are that differ between the classes (elf(5)).
type elfLayout struct {
	word                       int // bytes of an offset or size
	phoff, phentsize, phnum    int // in the file's header
	entry, entryOffset, filesz int // size of a program header, and fields in it
}

var (
	layout64 = elfLayout{word: 8, phoff: 32, phentsize: 54, phnum: 56, entry: 56, entryOffset: 8, filesz: 32}
	layout32 = elfLayout{word: 4, phoff: 28, phentsize: 42, phnum: 44, entry: 32, entryOffset: 4, filesz: 16}
)

func (l elfLayout) read(b []byte, order binary.ByteOrder) uint64 {
	if l.word == 8 {
		return order.Uint64(b)
	}
	return uint64(order.Uint32(b))
}

// findInterp walks the program headers. Like the kernel it wants them to have their usual size.
func findInterp(head []byte, order binary.ByteOrder, l elfLayout) span {
	if len(head) < l.phnum+2 || int(order.Uint16(head[l.phentsize:])) != l.entry {
		return span{}
	}
	at := l.read(head[l.phoff:], order)
	for range order.Uint16(head[l.phnum:]) {
		if at > uint64(len(head)) || uint64(len(head))-at < uint64(l.entry) {
			return span{}
		}
		p := head[at:]
		if elf.ProgType(order.Uint32(p)) == elf.PT_INTERP {
			s := span{l.read(p[l.entryOffset:], order), l.read(p[l.filesz:], order)}
			if s.length > maxInterpBytes {
				return span{}
			}
			return s
		}
		at += uint64(l.entry)
	}
	return span{}
}
