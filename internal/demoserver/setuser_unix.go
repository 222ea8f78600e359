//go:build unix

package demoserver

import (
	"errors"
	"syscall"
)

// setUser drops to a user for good: groups first, since afterwards there is no right to.
func setUser(uid, gid int) error {
	if err := syscall.Setgroups([]int{}); err != nil {
		return err
	}
	return errors.Join(syscall.Setgid(gid), syscall.Setuid(uid))
}
