//go:build linux

package nscd

import (
	"bytes"
	"slices"
	"testing"

	accounts "unroot/internal/account"
)

// FuzzRequest answers anything: what is whole is answered in a shape that a client can read.
func FuzzRequest(f *testing.F) {
	dir := f.TempDir()
	facts := Facts{UID: testUID, Passwd: dir + "/passwd", Group: dir + "/group", Switch: dir + "/switch"}
	put(f, facts.Passwd, testPasswd)
	put(f, facts.Group, testGroup)
	n := newNames(facts)
	for k := getpwbyname; k <= getfdnetgr; k++ {
		f.Add(query(k, "root"))
	}
	f.Add(query(getpwbyuid, "1000700000"))
	f.Add(query(getgrbygid, "2001"))
	f.Add(appendNumbers(nil, version, 0, -1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok, more := readRequest(b)
		if ok && more || more && len(b) >= headLen+maxKey {
			t.Fatalf("%q: ok %v, more %v", b, ok, more)
		}
		if !ok {
			return
		}
		answer := n.answer(nil, r)
		if len(answer) == 0 {
			return
		}
		if len(answer) < 12 || number(answer) != version || number(answer[4:]) < ask || number(answer[4:]) > found {
			t.Errorf("%q: answer %q", b, answer)
		}
		if want := shape(r.kind, answer); want >= 0 && want != len(answer) {
			t.Errorf("%q: answer of %d bytes, its head says %d", b, len(answer), want)
		}
	})
}

// shape gives the length that an answer's head tells a client to read.
func shape(k kind, b []byte) int {
	at := func(i int) int { return int(number(b[4*i:])) }
	switch k {
	case getpwbyname, getpwbyuid:
		return 36 + at(2) + at(3) + at(6) + at(7) + at(8)
	case getgrbyname, getgrbygid:
		n := 24 + at(2) + at(3)
		for i := range at(5) {
			n += 4 + at(6+i)
		}
		return n
	case initgroups:
		return 12 + 4*at(2)
	}
	return -1
}

// FuzzLines reads any file through the buffer as from memory, and agrees with package account on
// lines that are plain.
func FuzzLines(f *testing.F) {
	f.Add([]byte(testPasswd))
	f.Add([]byte(testGroup))
	f.Add(bytes.Repeat([]byte("a:x:1:1:\n"), 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		for line := range bytes.SplitSeq(b, []byte{'\n'}) {
			e, ok := readAccount(line)
			readGroup(line)
			g, is := readMembership(line)
			if is && slices.ContainsFunc(slices.Collect(g.all()), func(m []byte) bool { return len(m) == 0 || bytes.ContainsAny(m, ",\x00") }) {
				t.Errorf("%q: a member that is none", line)
			}
			if !ok || bytes.ContainsAny(line, "\x00\r\v\f\t +-") || !ascii(line) || len(e.name) == 0 {
				continue
			}
			want, there := accounts.ParsePasswd(line).ByUID(e.uid)
			if e.uid > accounts.MaxID || e.gid > accounts.MaxID || len(line) > accounts.MaxLine {
				continue
			}
			if !there || want.Name != string(e.name) || want.GID != e.gid || want.Home != string(e.home) || want.Shell != string(e.shell) {
				t.Errorf("%q: %+v, package account reads %+v", line, e, want)
			}
		}
	})
}

func ascii(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' || c > '~' })
}
