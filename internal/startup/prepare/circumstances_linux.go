package prepare

import (
	"strings"

	"golang.org/x/sys/unix"
)

// circumstances looks at what tells where the container runs.
func (s *session) circumstances(env []string) circumstances {
	c := circumstances{
		id:         s.id,
		kubernetes: value(env, "KUBERNETES_SERVICE_HOST") != "",
		podman:     value(env, "container") == "podman" || exists("/run/.containerenv"),
		docker:     exists("/.dockerenv"),
	}
	for _, m := range s.mounts() {
		if _, ok := kubelet(m.root); ok || strings.Contains(m.root, "/kubelet/pods/") {
			c.kubernetes = true
		}
	}
	for _, dir := range []string{"/bin", "/usr/bin", "/sbin", "/usr/sbin", "/usr/local/bin"} {
		c.chown = c.chown || unix.Access(dir+"/chown", unix.X_OK) == nil
	}
	uids, gids := parseIDMap(readSome("/proc/self/uid_map", 64<<10)), parseIDMap(readSome("/proc/self/gid_map", 64<<10))
	root, okRoot := uids.outside(0)
	var okUID, okGID bool
	c.hostUID, okUID = uids.outside(s.id.uid)
	c.hostGID, okGID = gids.outside(s.id.gid)
	c.users = okRoot && okUID && okGID && (root != 0 || c.hostUID != s.id.uid || c.hostGID != s.id.gid)
	c.rootless = okRoot && root != 0
	return c
}

func exists(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil
}
