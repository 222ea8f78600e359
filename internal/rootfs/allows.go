package rootfs

import "unroot/internal/account"

// Allows says whether owner and mode alone let a process of that identity, without capabilities, do
// what it wants to a file: for a file that is only planned, or looked at by itself. It says nothing
// of the directories above.
func Allows(id account.Identity, uid, gid uint32, mode uint16, want Access) bool {
	_, has := classOf(&Entry{UID: uid, GID: gid, Mode: mode}, id)
	return has&want == want
}
