package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/moby/sys/user"

	"unroot/internal/verify"
)

// findIDs chooses the uids and the gids of a lab.
func findIDs(further []uint32) (both [2][]extent, err error) {
	for i, file := range [2]string{"uid", "gid"} {
		pool, err := poolOf(file)
		if err != nil {
			return both, err
		}
		if both[i], err = assign(pool, further); err != nil {
			return both, fmt.Errorf("%w: %s: %w", verify.ErrUnavailable, "/etc/sub"+file, err)
		}
	}
	return both, nil
}

// poolOf is the ids that this user may give away. file is "uid" or "gid".
func poolOf(file string) ([]span, error) {
	if os.Geteuid() == 0 {
		own, err := os.ReadFile("/proc/self/" + file + "_map")
		if err != nil {
			return nil, fmt.Errorf("%w: /proc is not mounted here: %w", verify.ErrUnavailable, err)
		}
		return rootPool(parseMap(string(own)), os.Getpid()), nil
	}
	uid := strconv.Itoa(os.Getuid())
	name := uid
	if u, err := user.LookupUid(os.Getuid()); err == nil {
		name = u.Name
	}
	ids, err := user.ParseSubIDFileFilter("/etc/sub"+file, func(s user.SubID) bool { return s.Name == name || s.Name == uid })
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading /etc/sub%s: %w", file, err)
	}
	var pool []span
	for _, s := range ids {
		if s.SubID > 0 && s.Count > 0 && s.SubID+s.Count <= 1<<32-1 {
			pool = append(pool, span{uint32(s.SubID), uint32(s.Count)})
		}
	}
	if pool == nil {
		return nil, fmt.Errorf("%w: user %s has no subordinate ids in /etc/sub%s: as root, usermod --add-sub%ss 100000-165535 %s, or add the line %s:100000:65536",
			verify.ErrUnavailable, name, file, file, name, name)
	}
	return pool, nil
}

// giveIDs writes the maps of the process's user namespace.
func giveIDs(pid int, both [2][]extent) error {
	if os.Geteuid() == 0 {
		for i, file := range [2]string{"uid_map", "gid_map"} {
			if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), []byte(mapText(both[i])), 0); err != nil {
				return fmt.Errorf("giving ids to a user namespace: %w", err)
			}
		}
		return nil
	}
	results := make(chan error, 2)
	for i, program := range [2]string{"newuidmap", "newgidmap"} {
		go func() { results <- newIDMap(program, pid, both[i]) }()
	}
	return errors.Join(<-results, <-results)
}

// newIDMap has a setuid program of the package uidmap (shadow-utils) write one map.
func newIDMap(program string, pid int, extents []extent) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("%w: %s is missing: install the package uidmap (shadow-utils on Fedora and others)", verify.ErrUnavailable, program)
	}
	args := append([]string{strconv.Itoa(pid)}, strings.Fields(mapText(extents))...)
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s: %w: %s", verify.ErrUnavailable, program, err, strings.TrimSpace(string(out)))
	}
	return nil
}
