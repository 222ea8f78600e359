package tracer

import (
	"bytes"
	"fmt"
	"strconv"

	"unroot/internal/trace"
)

// identity is who a process is. Processes with the same credentials share one, so that identities
// are compared by their addresses.
type identity struct {
	creds trace.Creds
}

// settled reports whether execve can change nothing of it: no rights that it would recompute, no ids
// that it would copy, and no new privileges (kernel, security/commoncap.c; prctl(2), PR_SET_NO_NEW_PRIVS).
func (i *identity) settled() bool {
	c := &i.creds
	return c.NoNewPriv && c.Caps == 0 && !c.Root() &&
		c.UIDs == [4]uint32{c.UIDs[0], c.UIDs[0], c.UIDs[0], c.UIDs[0]} &&
		c.GIDs == [4]uint32{c.GIDs[0], c.GIDs[0], c.GIDs[0], c.GIDs[0]}
}

// maxGroups is how many supplementary groups are kept: a process may have 65536 (NGROUPS_MAX).
const maxGroups = 1024

// readCreds reads /proc/PID/status: proc_pid_status(5). The kernel writes it, but the name of the
// process in it is the process's; newlines in it are escaped (fs/proc/array.c, proc_task_name).
func readCreds(status []byte) (c trace.Creds, err error) {
	found := 0
	for line := range bytes.Lines(status) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		known := true
		switch string(name) {
		case "Uid":
			err = readIDs(value, c.UIDs[:])
		case "Gid":
			err = readIDs(value, c.GIDs[:])
		case "Groups":
			c.Groups, err = readGroups(value)
		case "CapInh", "CapPrm", "CapEff", "CapAmb":
			var set uint64
			set, err = strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
			c.Caps |= set
		case "CapBnd":
			c.Bounding, err = strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		case "NoNewPrivs":
			c.NoNewPriv = string(bytes.TrimSpace(value)) == "1"
		default:
			known = false
		}
		if err != nil {
			return c, fmt.Errorf("reading the credentials of a process: %s: %w", name, err)
		}
		if known {
			found++
		}
	}
	if found < 9 {
		return c, fmt.Errorf("reading the credentials of a process: %d of 9 lines", found)
	}
	return c, nil
}

func readIDs(value []byte, ids []uint32) error {
	fields := bytes.Fields(value)
	if len(fields) != len(ids) {
		return fmt.Errorf("%d ids", len(fields))
	}
	for i, f := range fields {
		n, err := strconv.ParseUint(string(f), 10, 32)
		if err != nil {
			return err
		}
		ids[i] = uint32(n)
	}
	return nil
}

func readGroups(value []byte) (groups []uint32, err error) {
	for f := range bytes.FieldsSeq(value) {
		n, err := strconv.ParseUint(string(f), 10, 32)
		if err != nil {
			return nil, err
		}
		if len(groups) < maxGroups {
			groups = append(groups, uint32(n))
		}
	}
	return groups, nil
}

// number finds a line of /proc/PID/status with one number.
func number(status []byte, name string) int {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			n, _ := strconv.Atoi(string(bytes.TrimSpace(rest)))
			return n
		}
	}
	return 0
}
