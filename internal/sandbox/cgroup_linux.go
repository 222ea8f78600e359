package sandbox

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// cgroup is the control group of a lab, in which its runs are, too: a directory of the unified
// hierarchy (v2), or of the memory controller's (v1). It limits memory only: where processes are
// limited like that, the lab itself could start no thread beside a fork bomb. A nil one limits
// nothing.
type cgroup struct {
	dir string
	v2  bool
}

var cgroupCount atomic.Int32

// findCgroup says where a control group could be made; nil where there are no hierarchies that serve,
// as in most containers.
func findCgroup() *cgroup {
	mounts, err1 := os.ReadFile("/proc/self/mountinfo")
	own, err2 := os.ReadFile("/proc/self/cgroup")
	if err1 != nil || err2 != nil {
		return nil
	}
	name := fmt.Sprintf("unroot-%d-%d", os.Getpid(), cgroupCount.Add(1))
	return chooseCgroup(string(mounts), string(own), name, func(file string) string {
		text, _ := os.ReadFile(file)
		return string(text)
	})
}

// chooseCgroup decides from the texts of mountinfo and of /proc/self/cgroup (cgroups(7)). A new group
// is put below our own one in v1, so that its limits hold. In v2 it goes beside it: a group that
// has processes cannot limit others in it ("no internal processes").
func chooseCgroup(mountinfo, own, name string, read func(string) string) *cgroup {
	mounts, paths := cgroupMounts(mountinfo), cgroupPaths(own)
	if root, ok := mounts[""]; ok {
		for at := path.Dir(path.Join("/", paths[""])); strings.HasPrefix(at, "/"); at = path.Dir(at) {
			dir := filepath.Join(root, at)
			enabled := strings.Fields(read(dir + "/cgroup.subtree_control"))
			if slices.Contains(enabled, "memory") {
				return &cgroup{dir: filepath.Join(dir, name), v2: true}
			}
			if at == "/" {
				break
			}
		}
	}
	if root, ok := mounts["memory"]; ok {
		return &cgroup{dir: filepath.Join(root, path.Join("/", paths["memory"]), name)}
	}
	return nil
}

// cgroupMounts gives the mount points by controller; that of v2 has the key "".
func cgroupMounts(mountinfo string) map[string]string {
	mounts := map[string]string{}
	for line := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		switch kind[0] {
		case "cgroup2":
			mounts[""] = fields[4]
		case "cgroup":
			for c := range strings.SplitSeq(kind[2], ",") {
				mounts[c] = fields[4]
			}
		}
	}
	return mounts
}

// cgroupPaths gives our own groups by controller.
func cgroupPaths(text string) map[string]string {
	paths := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for c := range strings.SplitSeq(fields[1], ",") {
			// "/.." begins a group outside of our cgroup namespace, of which nothing is mounted.
			paths[c] = path.Join("/", fields[2])
		}
	}
	return paths
}

// add moves a process into the group; its children are born there.
func (c *cgroup) add(pid int) error {
	return os.WriteFile(c.dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0)
}

// limit sets what the next run may take, beyond what the lab has taken: the pages of unpacked images
// count as memory, too.
func (c *cgroup) limit(memory int64) error {
	if c == nil {
		return nil
	}
	used, top := "/memory.usage_in_bytes", "/memory.limit_in_bytes"
	if c.v2 {
		used, top = "/memory.current", "/memory.max"
	}
	now, err := number(c.dir + used)
	if err != nil {
		return fmt.Errorf("limiting memory: %w", err)
	}
	memory += now
	if err := os.WriteFile(c.dir+top, []byte(strconv.FormatInt(memory, 10)), 0); err != nil {
		return fmt.Errorf("limiting memory: %w", err)
	}
	if c.v2 { // without swap, so that a hog does not slow the machine; a kernel may lack the file
		_ = os.WriteFile(c.dir+"/memory.swap.max", []byte("0"), 0)
	}
	return nil
}

// hits is how often a process of the group was ended because memory was used up.
func (c *cgroup) hits() int64 {
	if c == nil {
		return 0
	}
	file := "/memory.oom_control"
	if c.v2 {
		file = "/memory.events"
	}
	text, err := os.ReadFile(c.dir + file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}

func number(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
