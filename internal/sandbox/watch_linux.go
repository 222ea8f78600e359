package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// watchEvery is how often the use of memory and of the disk is looked at where the kernel does not
// limit it for us.
const watchEvery = 50 * time.Millisecond

// watchUse ends the run when it takes more than it may.
func (s *space) watchUse() {
	self := os.Getpid()
	var before unix.Statfs_t
	disk := s.disk && unix.Statfs(s.dir, &before) == nil
	for {
		select {
		case <-s.stop:
			return
		case <-time.After(watchEvery):
		}
		if s.watch && memoryOfAll(self) > s.run.Limits.Memory {
			s.exceeded("memory")
			return
		}
		var now unix.Statfs_t
		if disk && unix.Statfs(s.dir, &now) == nil && int64(before.Bfree)-int64(now.Bfree) > s.run.Limits.Disk/int64(now.Bsize) {
			s.exceeded("disk")
			return
		}
	}
}

// exceeded ends the run at once: whoever is told may be slower than what goes on.
func (s *space) exceeded(what string) {
	select {
	case s.limit <- what:
	default:
	}
	s.Kill()
}

// memoryOfAll is the memory of all processes of this pid namespace but our own: what is theirs alone,
// and shared memory once for each that maps it, which errs on the safe side.
func memoryOfAll(self int) int64 {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var sum int64
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != self {
			sum += memoryOf(pid)
		}
	}
	return sum
}

// memoryOf adds RssAnon, RssShmem and VmSwap of proc_pid_status(5), in bytes. What has gone has none.
func memoryOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	var sum int64
	for line := range bytes.Lines(text) {
		for _, key := range [][]byte{[]byte("RssAnon:"), []byte("RssShmem:"), []byte("VmSwap:")} {
			if rest, ok := bytes.CutPrefix(line, key); ok {
				kb, _ := strconv.ParseInt(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 10, 64)
				sum += kb << 10
			}
		}
	}
	return sum
}
