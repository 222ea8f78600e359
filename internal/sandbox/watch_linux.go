package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// watchEvery is how often it is looked at what a run uses that the kernel does not limit for us.
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
		pids := processes(self)
		// The tracer counts threads, too, and at once; but it follows only runs that are traced.
		if n := s.run.Limits.Processes; n > 0 && len(pids) > n {
			s.exceeded("processes")
			return
		}
		if s.watch && memoryOf(pids) > s.run.Limits.Memory {
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
	s.over.Store(what)
	select {
	case s.limit <- what:
	default:
	}
	s.Kill()
}

// processes gives those of this pid namespace, but for ourselves.
func processes(self int) []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != self {
			pids = append(pids, pid)
		}
	}
	return pids
}

// memoryOf is the memory of processes: what is theirs alone, and shared memory once for each that
// maps it, which errs on the safe side.
func memoryOf(pids []int) (sum int64) {
	for _, pid := range pids {
		sum += resident(pid)
	}
	return sum
}

// resident adds RssAnon, RssShmem and VmSwap of proc_pid_status(5), in bytes. What has gone has none.
func resident(pid int) int64 {
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
