package prepare

import "strings"

// kind is what a mount is to the person who wrote the command line or the manifest.
type kind int

const (
	kindUnknown  kind = iota
	kindImage         // no mount: the container's own root file system
	kindTmpfs         // memory
	kindVolume        // a volume of Docker, Podman or containerd
	kindBind          // a directory or file of the host
	kindEmptyDir      // Kubernetes
	kindConfig        // Kubernetes: ConfigMap, Secret, projected, downward API; never writable
	kindClaim         // Kubernetes: a volume that a driver of the kubelet has mounted
	kindNetwork       // another machine decides who may write
	kindShared        // the host of a virtual machine, or a program, decides
	kindDisk          // a file system of its own
	kindKernel        // proc, sysfs and their like
)

// place is what is known of a mount.
type place struct {
	kind   kind
	name   string // of the volume, where it has one
	driver string // of the kubelet, such as csi or configmap
	engine string // whose volume it is: docker, podman or containerd, where the path says it
	host   string // directory of the host or of the volume's file system that is mounted
	sub    string // directory inside of the volume that is mounted, "" or "/…"
	sure   bool   // host is a path of the host, not only of one of its file systems
}

// identify says what a mount is. The kernel tells of a bind mount only which directory of its file
// system it shows; the engines' layouts do the rest. table is all mounts.
func identify(m mount, table []mount) place {
	if m.point == "/" {
		return place{kind: kindImage}
	}
	if p, ok := kubelet(m.root); ok {
		return p
	}
	if p, ok := engineVolume(m.root); ok {
		p.host, p.sure = onHost(m, table)
		return p
	}
	switch t := m.fstype; {
	case t == "tmpfs" || t == "ramfs":
		return place{kind: kindTmpfs}
	case t == "nfs", t == "nfs4", t == "cifs", t == "smb3", t == "ceph", t == "glusterfs", t == "fuse.glusterfs", t == "lustre", t == "afs":
		return place{kind: kindNetwork, host: m.source}
	case t == "9p", t == "virtiofs", t == "fakeowner", t == "vboxsf", strings.HasPrefix(t, "fuse"):
		return place{kind: kindShared, host: m.root}
	case t == "proc", t == "sysfs", t == "cgroup", t == "cgroup2", t == "devpts", t == "mqueue", t == "devtmpfs", t == "securityfs", t == "debugfs", t == "bpf":
		return place{kind: kindKernel}
	case m.root == "/":
		return place{kind: kindDisk, host: m.source}
	}
	p := place{kind: kindBind}
	p.host, p.sure = onHost(m, table)
	return p
}

// kubelet reads a directory of the kubelet: …/pods/UID/volumes/kubernetes.io~DRIVER/NAME, for a
// subPath …/pods/UID/volume-subpaths/NAME/CONTAINER/INDEX.
func kubelet(root string) (place, bool) {
	_, rest, ok := strings.Cut(root, "/pods/")
	part := strings.Split(rest, "/")
	if !ok || len(part) < 3 {
		return place{}, false
	}
	switch part[1] {
	case "volume-subpaths":
		return place{kind: kindClaim, driver: "subPath", name: part[2]}, true
	case "volumes":
		driver, ok := strings.CutPrefix(part[2], "kubernetes.io~")
		if !ok || len(part) < 4 {
			return place{}, false
		}
		p := place{kind: kindClaim, driver: driver, name: part[3]}
		switch driver {
		case "empty-dir":
			p.kind = kindEmptyDir
		case "configmap", "secret", "projected", "downward-api":
			p.kind = kindConfig
		}
		return p, true
	}
	return place{}, false
}

// engineVolume reads a directory of Docker's or Podman's: …/volumes/NAME/_data, or containerd's for
// the VOLUME of an image.
func engineVolume(root string) (place, bool) {
	if front, _, ok := strings.Cut(root, "/volumes/"); ok && strings.Contains(front, "/io.containerd.grpc.v1.cri/containers/") {
		return place{kind: kindVolume, engine: "containerd"}, true
	}
	front, back, ok := cutLast(root, "/_data")
	if !ok || back != "" && back[0] != '/' {
		return place{}, false
	}
	dir, name, ok := cutLast(front, "/")
	if !ok || name == "" || !strings.HasSuffix(dir, "/volumes") && dir != "volumes" {
		return place{}, false
	}
	p := place{kind: kindVolume, name: name, sub: back}
	switch {
	case strings.HasSuffix(dir, "/docker/volumes"):
		p.engine = "docker"
	case strings.HasSuffix(dir, "/storage/volumes"):
		p.engine = "podman"
	}
	return p, true
}

// cutLast cuts at the last occurrence.
func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// engineFiles are where engines keep the files that they mount into every container; what is cut off
// in front tells where the file system is mounted on the host.
var engineFiles = [...]string{"/var/lib/docker/containers/", "/run/containers/storage/"}

// onHost gives the host's path of the directory that a mount shows. Its file system may be mounted
// anywhere on the host; where an engine's file for /etc/hosts or the like comes from the same one,
// and from where such files always are, that tells where.
func onHost(m mount, table []mount) (path string, sure bool) {
	for _, file := range table {
		switch file.point {
		case "/etc/hosts", "/etc/hostname", "/etc/resolv.conf":
		default:
			continue
		}
		if file.device != m.device {
			continue
		}
		for _, known := range engineFiles {
			if front, ok := mountedAt(known, file.root); ok {
				return front + m.root, true
			}
		}
	}
	return m.root, false
}

// mountedAt gives the point on the host of a file system in which a directory that the host knows as
// known is called root: "" for its root directory.
func mountedAt(known, root string) (string, bool) {
	for i := 0; i < len(known)-1; i++ {
		if known[i] == '/' && strings.HasPrefix(root, known[i:]) && strings.Count(known[i:], "/") > 2 {
			return known[:i], true
		}
	}
	return "", false
}
