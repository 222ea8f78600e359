//go:build linux

package nscd

import (
	"golang.org/x/sys/unix"

	"unroot/internal/startup"
	"unroot/internal/startup/libc"
)

// Needed decides who is to answer for the uid of this process: nobody where passwd has an account for
// it or names are off; who the order names; and for NamesAuto a responder where a C library of the
// image asks one, a wrapper where none does and it is there, nobody where neither is, and a responder
// where there is no C library: programs that are linked statically are not looked at. It fails where
// the order wants a wrapper that is not there, with a *Failure.
func Needed(o startup.Order) (startup.Names, error) {
	return needed(o.Names, uint32(unix.Geteuid()), "")
}

// needed is Needed for the image whose root directory is at root.
func needed(names startup.Names, uid uint32, root string) (startup.Names, error) {
	if names == startup.NamesOff {
		return startup.NamesOff, nil
	}
	if _, known := Account(root+"/etc/passwd", uid); known {
		return startup.NamesOff, nil
	}
	switch names {
	case startup.NamesWrapper:
		if _, err := wrapperPath(root); err != nil {
			return startup.NamesOff, err
		}
	case startup.NamesAuto:
		return probe(root), nil
	}
	return names, nil
}

// Account gives the name of the first account that a passwd file has for the uid, as glibc reads it.
// A file that is not there or cannot be read has none.
func Account(passwd string, uid uint32) (name string, known bool) {
	s := source{path: passwd}
	s.refresh()
	_ = s.lines(func(line []byte) bool {
		e, ok := readAccount(line)
		if known = ok && e.uid == uid; known {
			name = string(e.name)
		}
		return !known
	})
	return name, known
}

// probe looks at the C libraries of an image.
func probe(root string) startup.Names {
	libraries := 0
	for _, path := range libc.Paths() {
		fd, err := openFile(root + path)
		if err != nil {
			continue
		}
		libraries++
		asks := asksNscd(fd)
		unix.Close(fd)
		if asks {
			return startup.NamesNscd
		}
	}
	if libraries == 0 {
		return startup.NamesNscd
	}
	if _, err := wrapperPath(root); err != nil {
		return startup.NamesOff
	}
	return startup.NamesWrapper
}

// asksNscd reads a file in pieces that overlap.
func asksNscd(fd int) bool {
	buf := make([]byte, 4*readLen)
	for held := 0; ; {
		n, err := read(fd, buf[held:])
		if err != nil || n == 0 {
			return false
		}
		piece := buf[:held+n]
		if libc.AsksNscd(piece) {
			return true
		}
		held = copy(buf, piece[max(0, len(piece)-libc.MaxMark+1):])
	}
}

func wrapperPath(root string) (string, error) {
	for _, path := range libc.WrapperPaths() {
		if unix.Access(root+path, unix.R_OK) == nil {
			return path, nil
		}
	}
	return "", &Failure{
		Text: "answering by a wrapper: libnss_wrapper.so is not in the image",
		Hint: "install nss_wrapper (libnss-wrapper on Debian), or use --names=nscd",
	}
}
