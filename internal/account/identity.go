// Package account reads and extends passwd, group and shadow files without changing a byte that is not its own, and says who an identity is.
package account

import (
	"fmt"
	"slices"
)

// Identity is who a process is: what the kernel compares with the owner and the mode of a file,
// and what programs ask the account files for.
type Identity struct {
	UID    uint32   // user id
	GID    uint32   // primary group id
	Groups []uint32 // supplementary groups, without GID, in the order of the group file
	Name   string   // account name; empty where no passwd entry has the uid
	Home   string   // home directory of the passwd entry; empty where there is none
}

// ArbitraryUID is the uid that stands for "any uid that the platform picks": OpenShift's ranges
// start at 1000000000, so no image has an account for it.
const ArbitraryUID = 1000700000

// Arbitrary is a process under a uid that no account file knows, with group 0, as OpenShift's
// restricted SCCs start it.
func Arbitrary() Identity { return Identity{UID: ArbitraryUID} }

// IsArbitrary reports whether i stands for an unknown uid in group 0.
func (i Identity) IsArbitrary() bool { return i.UID >= 1000000000 && i.GID == 0 && i.Name == "" }

// In reports whether the identity is a member of the group.
func (i Identity) In(gid uint32) bool { return i.GID == gid || slices.Contains(i.Groups, gid) }

// User is the identity in the numeric form of an image config's User field, such as "101:0".
// It is numeric because the kubelet refuses names together with runAsNonRoot.
func (i Identity) User() string { return fmt.Sprintf("%d:%d", i.UID, i.GID) }

// String is the identity for a person, such as "101:0 (nginx)".
func (i Identity) String() string {
	if i.Name == "" {
		return i.User()
	}
	return fmt.Sprintf("%s (%s)", i.User(), i.Name)
}
