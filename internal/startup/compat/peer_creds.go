package compat

// ucred is struct ucred (linux/socket.h): who is at the other end of a socket.
type ucred struct {
	pid      int32
	uid, gid uint32
}

// sizeofUcred is how many bytes it takes, on every ABI.
const sizeofUcred = 12

// encode is as much of it as a buffer of n bytes takes, which getsockopt cuts without an error.
func (u ucred) encode(b *[sizeofUcred]byte, n int32) []byte {
	put32(b[:], 0, uint32(u.pid))
	put32(b[:], 4, u.uid)
	put32(b[:], 8, u.gid)
	return b[:min(int(n), sizeofUcred)]
}
