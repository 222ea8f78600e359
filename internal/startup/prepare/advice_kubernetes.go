package prepare

import (
	"path"
	"strings"
)

// adviseKubernetes says what mends a group of paths in a pod. What it prints is YAML.
func adviseKubernetes(g []trouble, c circumstances, add func(string, ...string)) {
	t := g[0]
	switch remedyOf(t, c.id) {
	case remedyOwner, remedyMode:
		adviseVolume(g, c, add)
	case remedyMount, remedyTmpfs:
		for _, p := range targetsOfImage(g) {
			name := volumeName(p)
			add("Kubernetes, in the pod's spec", "volumes: [{name: "+name+", emptyDir: {}}]")
			add("and in the container", "volumeMounts: [{name: "+name+", mountPath: "+yaml(p)+"}]")
		}
	case remedyWrite:
		if t.place.kind == kindClaim || t.place.kind == kindEmptyDir || !has(t.mount.super, "ro") {
			add("Kubernetes, in the container, without readOnly: true", "volumeMounts: [{name: "+ofVolume(t)+", mountPath: "+yaml(t.mount.point)+"}]")
			return
		}
		add("on the node", "the file system is read-only for everybody: look at its device and its driver")
	case remedyServer:
		adviseServer(g, c, add)
	case remedyLabel:
		add("Kubernetes", "SELinux: leave securityContext.seLinuxOptions to the platform, or give the volume the label of the pod")
	}
}

// adviseVolume lets a user into a volume: by the group where the kubelet can, which it cannot where
// the owner must be right, in a directory of the node, and where it has evidently tried.
func adviseVolume(g []trouble, c circumstances, add func(string, ...string)) {
	t := g[0]
	if t.place.kind == kindNetwork || t.place.driver == "nfs" {
		adviseServer(g, c, add)
		return
	}
	byGroup := t.place.kind != kindBind && !(len(c.id.groups) > 0 && !c.id.in(t.status.gid))
	if t.want == wantOwn && t.at == t.mount.point && path.Dir(t.at) != "/" {
		add("Kubernetes: the program must own the directory, and a volume's own directory stays root's. Mount it one higher, in the container",
			"volumeMounts: [{name: "+ofVolume(t)+", mountPath: "+yaml(path.Dir(t.at))+"}]")
	} else if t.want == wantOwn {
		byGroup = false
	}
	if byGroup {
		add("Kubernetes, in the pod's spec", fsGroup(c))
		return
	}
	if t.place.kind == kindBind {
		program, args := job(g, c)
		note := "on the node (a hostPath; fsGroup has no effect on one)"
		add(note, "sudo "+spelled(program, args, onOutside(g)))
	}
	add(orKubernetes(t)+"in the pod's spec, an init container"+imageLegend(c), initContainer(g, c)...)
}

func orKubernetes(t trouble) string {
	if t.place.kind == kindBind {
		return "or "
	}
	return "Kubernetes, "
}

func imageLegend(c circumstances) string {
	if c.chown {
		return " (IMAGE: this image)"
	}
	return ""
}

// fsGroup is a group that the kubelet gives the volume and the processes alike: the process's own,
// unless that is 0, which policies forbid.
func fsGroup(c circumstances) string {
	gid := c.id.gid
	if gid == 0 {
		gid = c.id.uid
	}
	return "securityContext: {fsGroup: " + decimal(gid) + ", fsGroupChangePolicy: OnRootMismatch}"
}

// initContainer mends a volume as root before the program starts.
func initContainer(g []trouble, c circumstances) []string {
	program, args := job(g, c)
	words := []string{program}
	for _, w := range append(args, targets(g)...) {
		words = append(words, yaml(w))
	}
	image := "IMAGE"
	if !c.chown {
		image = "busybox"
	}
	return []string{
		"initContainers: [{name: give-volume, image: " + image + ", command: [" + strings.Join(words, ", ") + "],",
		"  securityContext: {runAsUser: 0, runAsNonRoot: false, capabilities: {add: [CHOWN, FOWNER, DAC_OVERRIDE]}},",
		"  volumeMounts: [{name: " + ofVolume(g[0]) + ", mountPath: " + yaml(g[0].mount.point) + "}]}]",
	}
}

// ofVolume is the name of a volume in the pod's spec, where the kubelet's directory has it; else a
// word that says so.
func ofVolume(t trouble) string {
	switch {
	case t.place.kind == kindEmptyDir, t.place.kind == kindConfig:
		return yaml(t.place.name)
	}
	return "VOLUME"
}

// volumeName makes a name for a volume from a path (a DNS label).
func volumeName(p string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(strings.Trim(p, "/")) {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-")
	if len(name) > 60 {
		name = strings.Trim(name[len(name)-60:], "-")
	}
	if name == "" {
		return "writable"
	}
	return yaml(name)
}
