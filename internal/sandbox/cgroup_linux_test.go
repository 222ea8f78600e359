package sandbox

import (
	"path"
	"strings"
	"testing"
)

const (
	unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
	hybrid  = "30 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup none rw,memory\n32 24 0:28 / /sys/fs/cgroup/pids rw - cgroup none rw,pids\n"
	legacy  = "31 24 0:27 / /sys/fs/cgroup/cpu,memory rw - cgroup cgroup rw,cpu,memory\n"
)

func TestChooseCgroup(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, mounts, own string
		files             map[string]string
		want              string // "" for none
		v2                bool
	}{
		{"systemd", unified, "0::/user.slice/user-0.slice/session-1.scope\n",
			map[string]string{"/sys/fs/cgroup/user.slice/user-0.slice/cgroup.subtree_control": "memory pids\n", "/sys/fs/cgroup/cgroup.subtree_control": "memory"},
			"/sys/fs/cgroup/user.slice/user-0.slice/x", true},
		{"controllers only further up", unified, "0::/a/b/c\n", map[string]string{"/sys/fs/cgroup/cgroup.subtree_control": "cpu memory"}, "/sys/fs/cgroup/x", true},
		{"no memory controller", unified, "0::/a/b\n", map[string]string{"/sys/fs/cgroup/cgroup.subtree_control": "cpu"}, "", false},
		{"in the root of a cgroup namespace", unified, "0::/\n", nil, "", false},
		{"outside of the cgroup namespace", unified, "0::/../other\n", map[string]string{"/sys/fs/cgroup/cgroup.subtree_control": "memory", "/sys/fs/cgroup.subtree_control": "memory"}, "/sys/fs/cgroup/x", true},
		{"hybrid", hybrid, "8:pids:/\n4:memory:/own/group\n0::/\n", nil, "/sys/fs/cgroup/memory/own/group/x", false},
		{"legacy", legacy, "4:cpu,memory:/own\n", nil, "/sys/fs/cgroup/cpu,memory/own/x", false},
		{"nothing is mounted", "", "0::/\n", nil, "", false},
		{"damaged", "1 2 3 - \n - cgroup2\n", ":::\n0\n\n", nil, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := chooseCgroup(tt.mounts, tt.own, "x", func(file string) string { return tt.files[file] })
			if got == nil {
				got = &cgroup{}
			}
			if got.dir != tt.want || got.v2 != tt.v2 {
				t.Errorf("got %q, v2 %v", got.dir, got.v2)
			}
		})
	}
}

// FuzzChooseCgroup: whatever the texts say, the group is below a mount point that they name.
func FuzzChooseCgroup(f *testing.F) {
	f.Add(unified, "0::/user.slice/a\n")
	f.Add(hybrid, "4:memory:/own/group\n0::/\n")
	f.Add(hybrid, "4:memory:/../../etc\n")
	f.Fuzz(func(t *testing.T, mounts, own string) {
		got := chooseCgroup(mounts, own, "x", func(string) string { return "memory" })
		if got == nil {
			return
		}
		for _, at := range cgroupMounts(mounts) {
			if strings.HasPrefix(got.dir, strings.TrimSuffix(path.Clean(at), "/")+"/") || !strings.HasPrefix(at, "/") {
				return
			}
		}
		t.Errorf("%q of %q and %q", got.dir, mounts, own)
	})
}
