package prepare

import (
	"path"
	"slices"
	"strings"
)

const (
	podSpec   = "Kubernetes, in the pod's spec"
	emptySpec = podSpec + " (what is in an emptyDir ends with the pod; a persistentVolumeClaim keeps it)"
)

// kubernetes says what mends a group of paths in a pod. What it prints is YAML.
func (b *book) kubernetes(g []trouble, c circumstances) {
	t := g[0]
	remedy := remedyOf(t, c.id)
	if remedy == remedyTmpfs && t.want == wantOwn { // an emptyDir in memory
		remedy = remedyOwner
	}
	switch remedy {
	case remedyOwner, remedyMode:
		b.volume(g, c)
	case remedyMount, remedyTmpfs:
		where := ""
		if t.place.kind == kindConfig {
			where = " (mount the " + configName(t.place.driver) + " elsewhere)"
		}
		for _, p := range targetsOfImage(g) {
			if t.want == wantOwn && path.Dir(p) != "/" { // an emptyDir's own directory stays root's
				p = path.Dir(p)
			}
			name := volumeName(p)
			b.join(emptySpec, "volumes: [", ", ", "{name: "+name+", emptyDir: {}}", "]")
			b.join("and in the container"+where, "volumeMounts: [", ", ", "{name: "+name+", mountPath: "+yaml(p)+"}", "]")
		}
		if t.want == wantOwn && !t.mount.readOnly() {
			b.runAs(g, c, false, false)
		}
	case remedyWrite:
		if t.place.kind == kindClaim || t.place.kind == kindEmptyDir || !has(t.mount.super, "ro") {
			b.add("Kubernetes, in the container, without readOnly: true", "volumeMounts: [{name: "+ofVolume(t)+", mountPath: "+yaml(t.mount.point)+"}]")
			return
		}
		b.add("on the node", "the file system is read-only for everybody: look at its device and its driver")
	case remedyOther:
		b.other(t, c)
	case remedyServer:
		b.server(g, c)
	case remedyLabel:
		b.add("Kubernetes", "SELinux: leave securityContext.seLinuxOptions to the platform, or give the volume the label of the pod")
	}
}

// volume lets a user into a volume: by the group where the kubelet can, which it cannot where
// the owner must be right, in a directory of the node, and where it has evidently tried.
func (b *book) volume(g []trouble, c circumstances) {
	t := g[0]
	if lets(t, c.id) {
		b.supplemental(decimal(t.status.gid))
		return
	}
	if t.place.kind == kindNetwork || t.place.driver == "nfs" {
		b.server(g, c)
		return
	}
	owns := t.want == wantOwn
	higher := owns && t.at == t.mount.point && path.Dir(t.at) != "/"
	if higher {
		b.add("Kubernetes: the program must own the directory, and a volume's own directory stays root's. Mount it one higher, in the container",
			"volumeMounts: [{name: "+ofVolume(t)+", mountPath: "+yaml(path.Dir(t.at))+"}]")
	}
	given := slices.Contains(c.id.groups, t.status.gid)
	if t.place.kind != kindBind && !given && (!owns || higher) {
		b.join(podSpec, "securityContext: {", ", ", fsGroup(c), "}")
	}
	defer b.runAs(g, c, false, false)
	switch {
	case higher:
	case t.place.kind == kindBind:
		program, args := job(g, c)
		b.add("on the node (a hostPath; fsGroup has no effect on one)", "sudo "+spelled(program, args, onOutside(g)))
		b.add("or in the pod's spec, an init container"+initLegend(c), initContainer(g, c)...)
	case owns || given:
		b.add("Kubernetes, in the pod's spec, an init container"+initLegend(c), initContainer(g, c)...)
	case len(c.id.groups) > 0:
		b.add("or, where fsGroup is set and its driver does not heed it, an init container"+initLegend(c), initContainer(g, c)...)
	}
}

// initLegend explains a word of it, and says where such a container is not let in.
func initLegend(c circumstances) string {
	var says []string
	if c.chown {
		says = append(says, "IMAGE: this image")
	}
	if c.id.uid >= arbitraryFirst {
		says = append(says, "restricted-v2 of OpenShift forbids it: then on the storage itself")
	}
	if len(says) == 0 {
		return ""
	}
	return " (" + strings.Join(says, "; ") + ")"
}

// fsGroup is a group that the kubelet gives the volume and the processes alike: the process's own,
// unless that is 0, which policies forbid.
func fsGroup(c circumstances) string {
	gid := c.id.gid
	if gid == 0 {
		gid = c.id.uid
	}
	return "fsGroup: " + decimal(gid) + ", fsGroupChangePolicy: OnRootMismatch"
}

// supplemental gives the processes a group more.
func (b *book) supplemental(gid string) {
	const list = "supplementalGroups: ["
	a := b.page(podSpec)
	for i, l := range a.lines {
		if strings.Contains(l, list) {
			if !strings.Contains(l, list+gid) && !strings.Contains(l, ", "+gid) {
				a.lines[i] = strings.Replace(l, list, list+gid+", ", 1)
			}
			return
		}
	}
	b.join(podSpec, "securityContext: {", ", ", list+gid+"]", "}")
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
		"initContainers:",
		"- {name: give-" + volumeName(g[0].mount.point) + ", image: " + image + ", command: [" + strings.Join(words, ", ") + "],\n" +
			"     securityContext: {runAsUser: 0, runAsNonRoot: false, capabilities: {add: [CHOWN, FOWNER, DAC_OVERRIDE]}},\n" +
			"     volumeMounts: [{name: " + ofVolume(g[0]) + ", mountPath: " + yaml(g[0].mount.point) + "}]}",
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
	if len(name) > 50 { // of 63, with what stands before it
		name = strings.Trim(name[len(name)-50:], "-")
	}
	if name == "" {
		return "writable"
	}
	if name[0] <= '9' { // no number
		name = "v-" + name
	}
	return name
}
