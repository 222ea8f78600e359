//go:build linux

package process

import (
	"bytes"
	"strings"
	"syscall"
)

// What the kernel needs besides a file to execute it.
type kind int

const (
	other   kind = iota // nothing, or nobody knows
	script              // the interpreter of its first line
	dynamic             // the loader that its program header names
)

const (
	maxHead   = 4096 // of a file that is looked at; the kernel looks at 256 bytes of a script (BINPRM_BUF_SIZE) and at a page of program headers
	maxInterp = 4096 // PATH_MAX, as fs/binfmt_elf.c has it
)

// interpreter gives the path that the file needs the kernel to find.
func interpreter(path string) (string, kind) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", other
	}
	defer syscall.Close(fd)
	return interpreterOf(func(buf []byte, at int64) int {
		n, err := syscall.Pread(fd, buf, at)
		if err != nil {
			return 0
		}
		return n
	})
}

// interpreterOf reads through pread, which gives how many bytes there were.
func interpreterOf(pread func(buf []byte, at int64) int) (string, kind) {
	head := make([]byte, maxHead)
	head = head[:pread(head, 0)]
	if line, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		return shebang(line)
	}
	h, ok := readHeader(head)
	if !ok {
		return "", other
	}
	at, size := h.interp(head)
	if size <= 1 || size > maxInterp {
		return "", other
	}
	name := make([]byte, size)
	name = name[:pread(name, at)]
	name, _, _ = bytes.Cut(name, []byte{0})
	if len(name) == 0 {
		return "", other
	}
	return string(name), dynamic
}

// shebang gives the interpreter of a script's first line: from the first byte that is no blank to the
// next blank (fs/binfmt_script.c). A carriage return is no blank.
func shebang(line []byte) (string, kind) {
	line, _, _ = bytes.Cut(line, []byte("\n"))
	line, _, _ = bytes.Cut(line, []byte{0})
	name := strings.TrimLeft(string(line), " \t")
	if i := strings.IndexAny(name, " \t"); i >= 0 {
		name = name[:i]
	}
	if name == "" {
		return "", other
	}
	return name, script
}

// header is of an ELF file what tells its machine and its program headers (elf(5)).
type header struct {
	big     bool // big-endian
	wide    bool // 64 bits
	machine uint16
	phoff   uint64
	phsize  int
	phnum   int
}

// number reads one in the file's byte order; encoding/binary would bring reflection with it.
func (h header) number(field []byte) (n uint64) {
	for i := range field {
		if h.big {
			n = n<<8 | uint64(field[i])
		} else {
			n |= uint64(field[i]) << (8 * i)
		}
	}
	return n
}

func readHeader(head []byte) (h header, ok bool) {
	if len(head) < 52 || string(head[:4]) != "\x7fELF" {
		return h, false
	}
	h.big = head[5] == 2
	h.machine = uint16(h.number(head[18:20]))
	h.wide = head[4] == 2
	if !h.wide {
		h.phoff, h.phsize, h.phnum = h.number(head[28:32]), int(h.number(head[42:44])), int(h.number(head[44:46]))
		return h, h.phsize >= 32
	}
	if len(head) < 64 {
		return h, false
	}
	h.phoff, h.phsize, h.phnum = h.number(head[32:40]), int(h.number(head[54:56])), int(h.number(head[56:58]))
	return h, h.phsize >= 56
}

// interp gives where the name of the loader stands (PT_INTERP), as far as the head of the file tells.
func (h header) interp(head []byte) (at int64, size uint64) {
	const ptInterp = 3
	for i := range h.phnum {
		from := h.phoff + uint64(i)*uint64(h.phsize)
		if from > uint64(len(head)) || from+uint64(h.phsize) > uint64(len(head)) {
			return 0, 0
		}
		p := head[from:]
		if h.number(p[:4]) != ptInterp {
			continue
		}
		if h.wide {
			return int64(h.number(p[8:16])), h.number(p[32:40])
		}
		return int64(h.number(p[4:8])), h.number(p[16:20])
	}
	return 0, 0
}

// machines that images are made for, by e_machine (elf.h).
func machineName(n uint16) string {
	switch n {
	case 3:
		return "386"
	case 8:
		return "mips"
	case 21:
		return "ppc64"
	case 22:
		return "s390x"
	case 40:
		return "arm"
	case 62:
		return "amd64"
	case 183:
		return "arm64"
	case 243:
		return "riscv64"
	case 258:
		return "loong64"
	}
	return "ELF machine " + number(uint32(n))
}

// foreign names the machine of a program that is not for this one; "" where it is, or is no ELF file.
func foreign(path string) string {
	var own, its header
	var ok bool
	if its, ok = headerOf(path); !ok {
		return ""
	}
	if own, ok = headerOf("/proc/self/exe"); ok && own.machine == its.machine && own.wide == its.wide && own.big == its.big {
		return ""
	}
	return machineName(its.machine)
}

func headerOf(path string) (header, bool) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return header{}, false
	}
	defer syscall.Close(fd)
	head := make([]byte, 64)
	n, err := syscall.Pread(fd, head, 0)
	if err != nil {
		return header{}, false
	}
	return readHeader(head[:n])
}
