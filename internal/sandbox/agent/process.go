package agent

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"unroot/internal/trace"
)

// status is what proc_pid_status(5) says of a process or a thread.
type status struct {
	state   byte   // such as 'S'; 'Z' is a zombie
	group   int    // Tgid
	parent  int    // PPid
	threads int    //
	inner   int    // the pid in the innermost pid namespace
	caught  uint64 // mask of signals that it handles: bit 0 is signal 1
	creds   trace.Creds
}

// ended reports a process of which nothing runs. One whose first thread has ended while others go on
// is a zombie to proc, too.
func (s status) ended() bool { return s.state == 'X' || s.state == 'Z' && s.threads < 2 }

// parseStatus reads /proc/PID/status. Lines that it does not know are passed over: kernels add some.
// The name of the process, which the process chooses, is escaped by the kernel (fs/proc/array.c,
// proc_task_name).
func parseStatus(text []byte) (status, error) {
	var s status
	seen := 0
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		known, err := s.field(key, strings.Fields(value))
		if err != nil {
			return status{}, fmt.Errorf("reading a process's status: %s: %w", key, err)
		}
		if known {
			seen++
		}
	}
	// Groups may be empty and the rest differs between kernels, but who it is must be there.
	if seen < 4 || s.group == 0 {
		return status{}, fmt.Errorf("reading a process's status: %d lines that say who it is", seen)
	}
	return s, nil
}

// field takes one line, and reports whether it is one of those without which nothing is known.
func (s *status) field(key string, values []string) (needed bool, err error) {
	first := ""
	if len(values) > 0 {
		first = values[0]
	}
	switch key {
	case "State":
		if first != "" {
			s.state = first[0]
		}
	case "Tgid":
		s.group, err = strconv.Atoi(first)
		needed = true
	case "PPid":
		s.parent, err = strconv.Atoi(first)
	case "Threads":
		s.threads, err = strconv.Atoi(first)
	case "NSpid":
		if len(values) > 0 {
			s.inner, err = strconv.Atoi(values[len(values)-1])
		}
	case "Uid":
		err = fourIDs(&s.creds.UIDs, values)
		needed = true
	case "Gid":
		err = fourIDs(&s.creds.GIDs, values)
		needed = true
	case "Groups":
		s.creds.Groups, err = groupIDs(values)
	case "SigCgt":
		s.caught, err = strconv.ParseUint(first, 16, 64)
	case "NoNewPrivs":
		s.creds.NoNewPriv = first == "1"
	case "CapInh", "CapPrm", "CapEff", "CapAmb":
		var mask uint64
		mask, err = strconv.ParseUint(first, 16, 64)
		s.creds.Caps |= mask
		needed = key == "CapPrm"
	case "CapBnd":
		s.creds.Bounding, err = strconv.ParseUint(first, 16, 64)
	}
	return needed, err
}

func fourIDs(ids *[4]uint32, values []string) error {
	if len(values) != len(ids) {
		return fmt.Errorf("%d numbers, want %d", len(values), len(ids))
	}
	for i, v := range values {
		id, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return err
		}
		ids[i] = uint32(id)
	}
	return nil
}

func groupIDs(values []string) ([]uint32, error) {
	var groups []uint32
	for _, v := range values {
		id, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return nil, err
		}
		groups = append(groups, uint32(id))
	}
	return groups, nil
}

// tick is the unit of processor time in proc_pid_stat(5): USER_HZ is 100 on the machines that unroot
// knows.
const tick = 10 * time.Millisecond

// parseTime reads the processor time, in user and system mode, from /proc/PID/stat. What stands
// before the last parenthesis is the program's name, which may hold anything.
func parseTime(stat []byte) time.Duration {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0
	}
	f := strings.Fields(string(stat[end+1:]))
	// state is field 3 of the man page's count, utime 14, stime 15
	if len(f) < 13 {
		return 0
	}
	user, err := strconv.ParseUint(f[11], 10, 40)
	if err != nil {
		return 0
	}
	system, err := strconv.ParseUint(f[12], 10, 40)
	if err != nil {
		return 0
	}
	return time.Duration(user+system) * tick
}

// What is kept of a command line, as for trace.Event.
const (
	maxWords = 64
	maxWord  = 256
)

// parseArgs reads /proc/PID/cmdline, in which a program can write what it likes.
func parseArgs(cmdline []byte) []string {
	text := strings.TrimSuffix(string(cmdline), "\x00")
	if text == "" {
		return nil
	}
	var args []string
	for word := range strings.SplitSeq(text, "\x00") {
		if len(args) == maxWords {
			break
		}
		args = append(args, strings.ToValidUTF8(word[:min(len(word), maxWord)], "\uFFFD"))
	}
	return args
}

// program is the path that a link such as /proc/PID/exe shows for a file, without the kernel's note
// that the file is gone.
func program(link string) string {
	return strings.ToValidUTF8(strings.TrimSuffix(link, " (deleted)"), "\uFFFD")
}
