// Package nscd answers who a uid is where no account file knows it: in the protocol that C libraries speak to a name service cache, or by files for libnss_wrapper.
package nscd

import "unsafe"

// kind is what a request asks for, in the protocol's numbers (glibc, nscd/nscd-client.h; musl's
// src/passwd/nscd.h has the ones that it uses).
type kind int32

const (
	getpwbyname kind = iota
	getpwbyuid
	getgrbyname
	getgrbygid
	gethostbyname
	gethostbynamev6
	gethostbyaddr
	gethostbyaddrv6
	shutdown
	getstat
	invalidate
	getfdpw
	getfdgr
	getfdhst
	getai
	initgroups
	getservbyname
	getservbyport
	getfdserv
	getnetgrent
	innetgr
	getfdnetgr
)

const (
	version = 2    // of the protocol; there is no other that a living C library speaks
	headLen = 12   // a request's head: version, kind, length of its key
	maxKey  = 1024 // bytes of a key with its zero byte; nscd refuses longer ones too
)

// What an answer says of the entry.
const (
	ask   int32 = -1 // not served: the client looks by itself, and does not come back for its next 100 lookups
	none  int32 = 0  // there is none, and the client believes it
	found int32 = 1
)

// request is what a client asks. key is the part before the first zero byte.
type request struct {
	kind kind
	key  []byte
}

// readRequest reads a request from what came so far. more says that it is not whole yet; where ok is
// false too, no answer is due: another version, a key too long, a number that is no kind.
func readRequest(b []byte) (r request, ok, more bool) {
	if len(b) < headLen {
		return request{}, false, true
	}
	size := number(b[8:])
	r.kind = kind(number(b[4:]))
	switch {
	case number(b) != version, r.kind < getpwbyname, r.kind > getfdnetgr, size < 0, size > maxKey:
		return request{}, false, false
	case len(b) < headLen+int(size):
		return request{}, false, true
	}
	r.key = text(b[headLen : headLen+int(size)])
	return r, true, false
}

// text gives what stands before the first zero byte, as C reads it.
func text(b []byte) []byte {
	for i, c := range b {
		if c == 0 {
			return b[:i]
		}
	}
	return b
}

// number reads an int32 as the machine stores it: both sides are on one machine, and the word is 32
// bits wide for 64-bit and 32-bit clients alike.
func number(b []byte) int32 {
	var n int32
	copy((*[4]byte)(unsafe.Pointer(&n))[:], b)
	return n
}

func appendNumbers(b []byte, numbers ...int32) []byte {
	for _, n := range numbers {
		b = append(b, (*[4]byte)(unsafe.Pointer(&n))[:]...)
	}
	return b
}

func appendText[T string | []byte](b []byte, texts ...T) []byte {
	for _, t := range texts {
		b = append(append(b, t...), 0)
	}
	return b
}

// size is a text's length in an answer: with its zero byte.
func size[T string | []byte](t T) int32 { return int32(len(t)) + 1 }

// appendAccount appends the answer with an account.
func appendAccount(b []byte, e account) []byte {
	b = appendNumbers(b, version, found, size(e.name), size(e.password), int32(e.uid), int32(e.gid), size(e.comment), size(e.home), size(e.shell))
	return appendText(b, e.name, e.password, e.comment, e.home, e.shell)
}

// appendGroup appends the answer with a group: the lengths of the members' names come before the
// texts.
func appendGroup(b []byte, e group) []byte {
	at := len(b)
	b = appendNumbers(b, version, found, size(e.name), size(e.password), int32(e.gid), 0)
	count := int32(0)
	for member := range e.all() {
		b = appendNumbers(b, size(member))
		count++
	}
	appendNumbers(b[:at+20], count)
	b = appendText(b, e.name, e.password)
	for member := range e.all() {
		b = appendText(b, member)
	}
	return b
}

// appendGroups appends the answer to initgroups.
func appendGroups(b []byte, gids []uint32) []byte {
	if len(gids) == 0 {
		return appendNumbers(b, version, none, 0)
	}
	b = appendNumbers(b, version, found, int32(len(gids)))
	for _, gid := range gids {
		b = appendNumbers(b, int32(gid))
	}
	return b
}

// appendNothing appends the answer without an entry, in the shape of the kind's database. Requests that
// have no such answer give nothing: the connection ends.
func appendNothing(b []byte, k kind, says int32) []byte {
	switch k {
	case getpwbyname, getpwbyuid:
		return appendNumbers(b, version, says, 0, 0, -1, -1, 0, 0, 0)
	case getgrbyname, getgrbygid:
		return appendNumbers(b, version, says, 0, 0, -1, 0)
	case initgroups:
		return appendNumbers(b, version, says, 0)
	case gethostbyname, gethostbynamev6, gethostbyaddr, gethostbyaddrv6, getai:
		const internal = -1 // NETDB_INTERNAL
		return appendNumbers(b, version, says, 0, 0, -1, -1, 0, internal)
	case getservbyname, getservbyport:
		return appendNumbers(b, version, says, 0, 0, 0, -1)
	case getnetgrent, innetgr:
		return appendNumbers(b, version, says, 0, 0)
	}
	return b
}
