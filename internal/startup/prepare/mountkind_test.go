package prepare

import "testing"

func TestIdentify(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line string // root point options - type source super, without the first three fields
		want place
	}{
		{"/ / rw - overlay overlay rw", place{kind: kindImage}},
		{"/vfs/dir/abc / rw - ext4 /dev/sda1 rw", place{kind: kindImage}},
		{"/ /tmp rw - tmpfs tmpfs rw", place{kind: kindTmpfs}},
		{"/var/lib/docker/volumes/data/_data /data rw - ext4 /dev/sda1 rw", place{kind: kindVolume, name: "data", engine: "docker", host: "/var/lib/docker/volumes/data/_data", sure: true}},
		{"/docker/volumes/d.a_t-a/_data/sub/dir /data rw - ext4 /dev/sda9 rw", place{kind: kindVolume, name: "d.a_t-a", sub: "/sub/dir", engine: "docker", host: "/docker/volumes/d.a_t-a/_data/sub/dir"}},
		{"/volumes/d/_data /data rw - ext4 /dev/sda9 rw", place{kind: kindVolume, name: "d", host: "/volumes/d/_data"}},
		{"/home/me/.local/share/containers/storage/volumes/v/_data /data rw - xfs /dev/sda9 rw", place{kind: kindVolume, name: "v", engine: "podman", host: "/home/me/.local/share/containers/storage/volumes/v/_data"}},
		{"/var/lib/containerd/io.containerd.grpc.v1.cri/containers/ab/volumes/cd /data rw - ext4 /dev/sda9 rw", place{kind: kindVolume, engine: "containerd", host: "/var/lib/containerd/io.containerd.grpc.v1.cri/containers/ab/volumes/cd"}},
		{"/srv/_data /data rw - ext4 /dev/sda1 rw", place{kind: kindBind, host: "/srv/_data", sure: true}},
		{"/srv/volumes/x/_database /data rw - ext4 /dev/sda1 rw", place{kind: kindBind, host: "/srv/volumes/x/_database", sure: true}},
		{"/me/data /data rw - ext4 /dev/sdb1 rw", place{kind: kindBind, host: "/me/data"}},
		{"/ /data rw - ext4 /dev/sdb1 rw", place{kind: kindDisk, host: "/dev/sdb1"}},
		{"/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/cache /c rw - ext4 /dev/sda1 rw", place{kind: kindEmptyDir, driver: "empty-dir", name: "cache"}},
		{"/pods/u/volumes/kubernetes.io~configmap/conf /c ro - ext4 /dev/sda9 rw", place{kind: kindConfig, driver: "configmap", name: "conf"}},
		{"/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/pvc-1/mount /c rw - ext4 /dev/sda1 rw", place{kind: kindClaim, driver: "csi", name: "pvc-1"}},
		{"/var/lib/kubelet/pods/u/volume-subpaths/data/app/0 /c rw - ext4 /dev/sda1 rw", place{kind: kindClaim, driver: "subPath", name: "data"}},
		{"/srv/pods/notes /c rw - ext4 /dev/sdb1 rw", place{kind: kindBind, host: "/srv/pods/notes"}},
		{"/ /c rw - nfs4 h:/e rw", place{kind: kindNetwork, host: "h:/e"}},
		{"/Users/me /c rw - fuse.grpcfuse grpcfuse rw", place{kind: kindShared, host: "/Users/me"}},
		{"/ /c rw - virtiofs share rw", place{kind: kindShared, host: "/"}},
		{"/ /proc/sys rw - proc proc rw", place{kind: kindKernel}},
	} {
		device := "8:1"
		if m, ok := parseMount("1 0 8:1 " + test.line); !ok || m.source != "/dev/sda1" {
			device = "8:2"
		}
		table := parseMounts([]byte("602 600 8:1 /var/lib/docker/containers/c0/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n700 600 " + device + " " + test.line + "\n"))
		if len(table) != 2 {
			t.Fatalf("%q is no line", test.line)
		}
		if got := identify(table[1], table); got != test.want {
			t.Errorf("%s\n got %+v\nwant %+v", test.line, got, test.want)
		}
	}
}

func TestOnHost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hosts, root string // roots of /etc/hosts and of the mount, in one file system
		path        string
		sure        bool
	}{
		{"/var/lib/docker/containers/c/hosts", "/srv/a", "/srv/a", true},
		{"/lib/docker/containers/c/hosts", "/srv/a", "/var/srv/a", true},
		{"/docker/containers/c/hosts", "/srv/a", "/var/lib/srv/a", true},
		{"/containers/c/hosts", "/srv/a", "/srv/a", false},
		{"/containers/storage/overlay-containers/c/userdata/hosts", "/a", "/run/a", true},
		{"/data/docker/containers/c/hosts", "/srv/a", "/srv/a", false},
	} {
		table := []mount{{device: "8:1", root: test.hosts, point: "/etc/hosts"}, {device: "8:1", root: test.root, point: "/data"}}
		path, sure := onHost(table[1], table)
		if path != test.path || sure != test.sure {
			t.Errorf("%s beside %s: %s, %v; want %s, %v", test.root, test.hosts, path, sure, test.path, test.sure)
		}
	}
}

func TestIDMap(t *testing.T) {
	t.Parallel()
	m := parseIDMap([]byte("         0       1000          1\n         1     100000      65536\nbad line\n"))
	for id, want := range map[uint32]uint32{0: 1000, 1: 100000, 65536: 165535} {
		if got, ok := m.outside(id); !ok || got != want {
			t.Errorf("%d is %d outside, %v; want %d", id, got, ok, want)
		}
	}
	if got, ok := m.outside(65537); ok {
		t.Errorf("65537 is %d outside", got)
	}
	all := parseIDMap([]byte("0 0 4294967295\n"))
	if got, ok := all.outside(4294967294); !ok || got != 4294967294 {
		t.Errorf("the last id is %d, %v", got, ok)
	}
}
