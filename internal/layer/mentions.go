package layer

import (
	"bytes"
	"io"
	"strings"
)

// mentionRoots are the folders of state and configuration whose paths a program's strings may name.
var mentionRoots = []string{
	"/run/", "/var/run/", "/var/log/", "/var/lib/", "/var/cache/", "/var/spool/", "/var/lock/",
	"/var/tmp/", "/etc/",
}

const (
	maxMentions     = 256 // of one file
	maxMentionBytes = 256 // a longer run of path characters is no path
	windowBytes     = 128 << 10
	overlapBytes    = elfHeadBytes + maxInterpBytes // more than a mention, and a whole interpreter's name
)

// pathBytes are the characters that a mention goes on with; "%" for formats such as "/run/%s.pid".
var pathBytes = func() (set [256]bool) {
	for c := range set {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80
		set[c] = letter || '0' <= c && c <= '9' || strings.IndexByte("._+@%/-", byte(c)) >= 0
	}
	return set
}()

// mentionScan searches a file's content, in windows that overlap, for absolute paths. It takes what
// strings(1) would show: literals that a compiler moved into instructions or that a linker packed
// without a separator (Go's string table) are not found.
type mentionScan struct {
	buf   []byte
	n     int    // bytes in buf
	begin uint64 // of buf in the file
	from  int    // where the search goes on in buf
	done  bool
	seen  map[string]struct{}
	found []string
	err   error
}

// start begins a file, of which buf holds the first n bytes.
func (m *mentionScan) start(buf []byte, n int) {
	*m = mentionScan{buf: buf, n: n}
}

// window is what the scan holds of the file, and where it begins.
func (m *mentionScan) window() ([]byte, uint64) { return m.buf[:m.n], m.begin }

// more reads the next window from r and searches it; false after the end or a failure. size is that
// of the whole file.
func (m *mentionScan) more(r io.Reader, size int64) bool {
	if m.done || m.err != nil {
		return false
	}
	if m.n > overlapBytes {
		m.shift(m.n - overlapBytes)
	}
	want := min(int64(len(m.buf)-m.n), size-int64(m.begin)-int64(m.n))
	if _, m.err = io.ReadFull(r, m.buf[m.n:m.n+int(want)]); m.err != nil {
		return false
	}
	m.n += int(want)
	m.done = int64(m.begin)+int64(m.n) >= size
	m.search()
	if len(m.found) >= maxMentions {
		m.done = true
	}
	return true
}

// shift forgets the first bytes of the window.
func (m *mentionScan) shift(n int) {
	copy(m.buf, m.buf[n:m.n])
	m.n -= n
	m.begin += uint64(n)
	m.from = max(m.from-n, 0)
}

// search looks at every slash that begins a run of path characters. A run that may go on behind the
// window is left for the next one.
func (m *mentionScan) search() {
	b := m.buf[:m.n]
	end := m.n
	if !m.done {
		end -= maxMentionBytes + 1
	}
	for m.from < end && len(m.found) < maxMentions {
		i := bytes.IndexByte(b[m.from:end], '/')
		if i < 0 {
			m.from = end
			return
		}
		i += m.from
		m.from = i + 1
		if i > 0 && pathBytes[b[i-1]] || i == 0 && m.begin > 0 {
			continue
		}
		if length := mentionAt(b[i:]); length > 0 {
			m.add(b[i : i+length])
			m.from = i + length
		}
	}
}

// mentionAt gives the length of the path at the beginning of b, or 0.
func mentionAt(b []byte) int {
	if len(b) < len("/run/x") || b[1] != 'v' && b[1] != 'e' && b[1] != 'r' {
		return 0
	}
	root := 0
	for _, r := range mentionRoots {
		if len(b) > len(r) && string(b[:len(r)]) == r {
			root = len(r)
			break
		}
	}
	if root == 0 {
		return 0
	}
	n := root
	for n < len(b) && pathBytes[b[n]] {
		if n++; n > maxMentionBytes {
			return 0
		}
	}
	for n > root && b[n-1] == '.' { // the end of a sentence
		n--
	}
	if n == root {
		return 0
	}
	return n
}

// add keeps a path once.
func (m *mentionScan) add(found []byte) {
	if _, ok := m.seen[string(found)]; ok {
		return
	}
	if m.seen == nil {
		m.seen = map[string]struct{}{}
	}
	s := string(found)
	m.seen[s] = struct{}{}
	m.found = append(m.found, s)
}
