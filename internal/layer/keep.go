package layer

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"

	"unroot/internal/rootfs"
	"unroot/internal/startup/libc"
)

// What is known to matter only later must be kept now. These tables say which contents are; "*"
// stands for one component of the path.
var (
	// keptFolders hold configuration: all text in them is kept.
	keptFolders = []string{"/etc", "/usr/local/etc", "/opt/*/etc", "/opt/*/conf"}

	// bulkFolders are below keptFolders, large, and never configuration.
	bulkFolders = []string{"/etc/ssl/certs", "/etc/ca-certificates/extracted", "/etc/pki/ca-trust/extracted"}

	// keptFiles are kept though they are in none of the folders: /etc/os-release is a link to it.
	keptFiles = []string{"/usr/lib/os-release"}

	// keptSuffixes are those of configuration files, wherever they are.
	keptSuffixes = []string{
		".conf", ".cfg", ".cnf", ".ini", ".yaml", ".yml", ".toml", ".json", ".properties", ".xml",
		".env", ".sh", ".envsh",
	}

	// skippedFolders hold files with such names that configure no service.
	skippedFolders = []string{
		"/usr/share", "/usr/include", "/var/lib/dpkg", "/proc", "/sys",
		"/usr/lib/python*", "/usr/lib64/python*", "/usr/local/lib/python*",
	}

	// skippedNames are folders of that kind anywhere.
	skippedNames = []string{"/node_modules/", "/site-packages/", "/dist-packages/"}
)

const (
	keptFileBytes = 256 << 10 // no larger file is kept
	textBytes     = 8 << 10   // a file without a NUL in so many first bytes is text
	probeBytes    = 256       // what the kernel reads to find out how to run a file (BINPRM_BUF_SIZE)
)

// interest is how much a file's content may matter by its path.
type interest uint8

const (
	uninteresting interest = iota
	perhaps                // configuration by its suffix
	surely                 // configuration by its folder
)

// interestIn judges a path.
func interestIn(name string) interest {
	for _, f := range keptFolders {
		if below(name, f) {
			return unless(surely, name, bulkFolders)
		}
	}
	for _, f := range keptFiles {
		if name == f {
			return surely
		}
	}
	for _, s := range keptSuffixes {
		if strings.HasSuffix(name, s) {
			return unless(perhaps, name, skippedFolders)
		}
	}
	return uninteresting
}

// unless takes the interest back for what is below one of the folders.
func unless(i interest, name string, folders []string) interest {
	for _, f := range folders {
		if below(name, f) {
			return uninteresting
		}
	}
	if i == surely {
		return i
	}
	for _, n := range skippedNames {
		if strings.Contains(name, n) {
			return uninteresting
		}
	}
	return i
}

// below tells whether an absolute path is inside a folder of the tables. A "*" stands for the rest
// of one component.
func below(name, folder string) bool {
	for {
		star := strings.IndexByte(folder, '*')
		if star < 0 {
			return len(name) > len(folder) && name[len(folder)] == '/' && name[:len(folder)] == folder
		}
		if len(name) < star || name[:star] != folder[:star] {
			return false
		}
		name, folder = name[star:], folder[star+1:]
		slash := strings.IndexByte(name, '/')
		if slash < 0 {
			return false
		}
		name = name[slash:]
	}
}

// keeper reads the files of one layer and keeps what may matter of them, up to a number of bytes.
type keeper struct {
	left      int64 // bytes that may still be kept
	reserve   int64 // of them, for files that surely matter
	truncated bool
	buf       []byte // head of a file, then the window of mentions
	mentions  mentionScan
}

func newKeeper(limit int64) *keeper {
	return &keeper{left: limit, reserve: limit / 4, buf: make([]byte, windowBytes)}
}

// spend takes n bytes of what may be kept; false if they are not there.
func (k *keeper) spend(n int64, i interest) bool {
	room := k.left
	if i != surely {
		room -= k.reserve
	}
	if n > room {
		k.truncated = true
		return false
	}
	k.left -= n
	return true
}

// file reads the content of a file from r, as far as it matters, and sets the entry's facts.
//
// Programs with a setuid bit or file capabilities are not kept: they may be large, and ReadFiles
// can fetch them. A sparse file's content is not searched, because its holes may be endless.
func (k *keeper) file(e *rootfs.Entry, sparse bool, r io.Reader) error {
	head, err := k.head(r, nil, min(e.Size, probeBytes))
	if err != nil {
		return err
	}
	wanted := interestIn(e.Path)
	switch {
	case bytes.HasPrefix(head, []byte("#!")):
		facts(e).Interp = shebang(head)
		return k.script(e, max(wanted, perhaps), head, r)
	case isELF(head):
		return k.elf(e, sparse, head, r)
	case wanted != uninteresting:
		return k.text(e, wanted, head, r)
	}
	return nil
}

// head reads on until the buffer holds the first n bytes of a file. head is what it holds already.
func (k *keeper) head(r io.Reader, head []byte, n int64) ([]byte, error) {
	_, err := io.ReadFull(r, k.buf[len(head):n])
	return k.buf[:n], err
}

// script keeps a file that begins with "#!".
func (k *keeper) script(e *rootfs.Entry, i interest, head []byte, r io.Reader) error {
	if e.Size > keptFileBytes || !k.spend(e.Size, i) {
		return nil
	}
	return keepContent(e, head, r)
}

// text keeps a file if it is small and text.
func (k *keeper) text(e *rootfs.Entry, i interest, head []byte, r io.Reader) error {
	if e.Size > keptFileBytes {
		return nil
	}
	head, err := k.head(r, head, min(e.Size, textBytes))
	if err != nil {
		return err
	}
	if bytes.IndexByte(head, 0) >= 0 || !k.spend(e.Size, i) {
		return nil
	}
	return keepContent(e, head, r)
}

// keepContent reads the rest of a file after head.
func keepContent(e *rootfs.Entry, head []byte, r io.Reader) error {
	content := make([]byte, e.Size)
	n := copy(content, head)
	if _, err := io.ReadFull(r, content[n:]); err != nil {
		return err
	}
	facts(e).Content = content
	return nil
}

// elf keeps what an ELF file's own bytes say: its interpreter, and the paths that a program names.
func (k *keeper) elf(e *rootfs.Entry, sparse bool, head []byte, r io.Reader) error {
	head, err := k.head(r, head, min(e.Size, elfHeadBytes))
	if err != nil {
		return err
	}
	f := facts(e)
	f.ELF = true
	interp := elfInterp(head)
	f.Interp = interp.within(head, 0)
	switch {
	case sparse:
		return nil
	case libc.Is(path.Base(e.Path)):
		return k.libc(e, head, r)
	case !isProgram(e):
		return nil
	}
	k.mentions.start(k.buf, len(head))
	for k.mentions.more(r, e.Size) {
		if f.Interp == "" {
			f.Interp = interp.within(k.mentions.window())
		}
	}
	if k.mentions.err != nil {
		return fmt.Errorf("content of %q: %w", e.Path, k.mentions.err)
	}
	f.Mentions = k.afford(k.mentions.found)
	return nil
}

// libc keeps whether a C library asks a name service cache daemon, as a mention of the daemon's socket: the
// path itself may be in pieces.
func (k *keeper) libc(e *rootfs.Entry, head []byte, r io.Reader) error {
	k.mentions.start(k.buf, len(head))
	for more := true; more; more = k.mentions.more(r, e.Size) {
		if window, _ := k.mentions.window(); libc.AsksNscd(window) {
			e.Facts.Mentions = []string{libc.Socket}
			break
		}
	}
	if k.mentions.err != nil {
		return fmt.Errorf("content of %q: %w", e.Path, k.mentions.err)
	}
	return nil
}

// afford gives as many of the mentions as may be kept.
func (k *keeper) afford(found []string) []string {
	for n, m := range found {
		if !k.spend(int64(len(m)), perhaps) {
			return found[:n:n]
		}
	}
	return found
}

// isProgram tells a program from a library: it may be executed and is not named like one. Some
// distributions give libraries the bit too, so that it does not tell.
func isProgram(e *rootfs.Entry) bool {
	base := path.Base(e.Path)
	return e.Mode&0o111 != 0 && !strings.HasSuffix(base, ".so") && !strings.Contains(base, ".so.")
}

// shebang gives the interpreter and its argument as the kernel finds them: up to the first newline
// or NUL of the first 256 bytes, without blanks around it (fs/binfmt_script.c).
func shebang(head []byte) string {
	line := head[len("#!"):]
	if end := bytes.IndexAny(line, "\n\x00"); end >= 0 {
		line = line[:end]
	}
	return string(bytes.Trim(line, " \t"))
}
