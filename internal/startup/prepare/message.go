package prepare

import (
	"strconv"
	"strings"
)

// circumstances are what a message depends on beside the paths.
type circumstances struct {
	id         identity
	kubernetes bool
	podman     bool
	docker     bool
	chown      bool   // the image has a program chown
	users      bool   // the container has ids of its own: what is 0 here is somebody else on the host
	hostUID    uint32 // what the host calls uid, where users
	hostGID    uint32
	rootless   bool // what is 0 here is a regular user of the host
}

// Bounds of a message: it is to be read, on a terminal or in a log.
const (
	maxShown = 4
	maxLines = 25
)

// message says what is wrong with paths, who runs, and what mends it where the container seems to run.
func message(troubles []trouble, c circumstances) string {
	lines := []string{headline(troubles, c)}
	for i, t := range troubles {
		if i == maxShown && len(troubles) > maxShown+1 {
			lines = append(lines, "  and "+others(troubles[i:]))
			break
		}
		lines = append(lines, describe(t, c)...)
	}
	last := "to start all the same, set UNROOT_VOLUMES=warn"
	if troubles[0].want == wantInner {
		last = ""
	}
	for _, a := range advise(troubles, c) {
		if count(lines)+1+count(a.lines) >= maxLines {
			continue // something shorter may follow
		}
		lines = append(lines, a.label+":")
		for _, l := range a.lines {
			lines = append(lines, "  "+l)
		}
	}
	if last != "" {
		lines = append(lines, last)
	}
	return strings.Join(lines, "\n")
}

func count(lines []string) int {
	n := len(lines)
	for _, l := range lines {
		n += strings.Count(l, "\n")
	}
	return n
}

func headline(troubles []trouble, c circumstances) string {
	what := "cannot be written by the user who runs, "
	if len(troubles) == 1 {
		switch troubles[0].want {
		case wantOwn:
			what = "must belong to the user who runs, "
		case wantInner:
			what = "holds what cannot be written by the user who runs, "
		}
		return show(troubles[0].path) + " " + what + c.id.words()
	}
	if troubles[0].want == wantInner {
		what = "hold what cannot be written by the user who runs, "
	}
	return strconv.Itoa(len(troubles)) + " paths " + what + c.id.words()
}

func others(rest []trouble) string {
	const most = 5
	var names []string
	for i, t := range rest {
		if i == most {
			names = append(names, "…")
			break
		}
		names = append(names, show(t.path))
	}
	return strconv.Itoa(len(rest)) + " more: " + strings.Join(names, ", ")
}

// describe says of one path whose it is, what it looks like, and what it is mounted from.
func describe(t trouble, c circumstances) []string {
	first := "  " + show(t.path) + ": "
	if t.at != t.path {
		if t.want == wantRun || below2(t.path, t.at) {
			first += "not there; " + show(t.at) + " has "
		} else {
			first += "at " + show(t.at) + ", "
		}
	}
	if !t.unknown {
		first += "owner " + owner(t.status) + ", mode " + octal(t.status.mode) + ": "
	}
	first += looks(t, c.id)
	out := []string{first, "    " + mountWords(t, c)}
	if t.note != "" {
		out[1] += "; " + t.note
	}
	return out
}

func below2(path, dir string) bool {
	rest, ok := below(path, dir)
	return ok && rest != ""
}

// looks says in words what a path that will not do looks like.
func looks(t trouble, id identity) string {
	switch t.failure {
	case failReadOnly:
		return "mounted read-only"
	case failGone:
		return "what is mounted there is gone or does not answer (" + t.error + ")"
	case failOther:
		return t.error
	}
	if t.mount.readOnly() {
		return "mounted read-only"
	}
	if t.want == wantInner {
		return innerWords(t, id)
	}
	switch look(t, id) {
	case shapeFresh:
		return freshWords(t)
	case shapeLeft:
		if t.place.kind == kindImage || t.place.kind == kindBind || !t.inside.known {
			return "root's" // a directory of the host is root's for any reason, and so is one that nobody can look into
		}
		return "root's data, which an older image left behind that ran as root"
	case shapeArbitrary:
		return "left by a container that ran as another uid of the platform's choice"
	case shapeMode:
		if t.status.uid != id.uid {
			return "the group is right, the mode is not"
		}
		return "the owner is right, the mode is not"
	case shapeBarred:
		return "owner and mode would allow it, but " + barred(t)
	}
	if t.status.dir && t.inside.known && !t.inside.empty {
		return "another user's data"
	}
	return "another user's"
}

func freshWords(t trouble) string {
	switch {
	case !t.status.dir:
		return "root's file"
	case t.place.kind == kindImage || t.place.kind == kindBind || t.place.kind == kindTmpfs:
		return "empty and root's"
	}
	return "empty and root's: a new volume that nobody has been given"
}

func innerWords(t trouble, id identity) string {
	in := t.inside
	what := show(in.name)
	if in.more > 0 {
		what += " and " + strconv.Itoa(in.more) + " more"
	}
	return what + " in it cannot be written (owner " + owner(in.status) + ", mode " + octal(in.status.mode) + "): " + innerLooks(t, id)
}

func innerLooks(t trouble, id identity) string {
	switch look(t, id) {
	case shapeFresh, shapeLeft:
		return "data that an older image left behind that ran as root"
	case shapeArbitrary:
		return "left by a container that ran as another uid of the platform's choice"
	case shapeMode:
		return "its mode does not let the group write"
	}
	return "another user's data"
}

// barred says who may have said no where owner and mode did not.
func barred(t trouble) string {
	switch {
	case t.place.kind == kindNetwork:
		return "the file server does not (" + t.error + "): it takes this user for another one (root_squash, all_squash)"
	case selinux(t.mount):
		return "SELinux does not (" + t.error + ")"
	}
	return "something else does not (" + t.error + ": an access list, a security module, an immutable flag)"
}

// selinux reports whether the file system carries labels.
func selinux(m mount) bool {
	return has(m.super, "seclabel") || strings.Contains(m.super, "context=")
}

// mountWords says what a path is mounted from.
func mountWords(t trouble, c circumstances) string {
	p, m := t.place, t.mount
	where := "mounted"
	if m.point != t.at {
		where = show(m.point) + " is mounted"
	}
	switch p.kind {
	case kindImage:
		if m.readOnly() {
			return "not mounted: the container's own root file system, which is read-only"
		}
		return "not mounted: the container's own root file system"
	case kindTmpfs:
		return where + ": a tmpfs"
	case kindVolume:
		if p.name == "" {
			return where + ": a volume that " + engineName(p, c) + " made for a VOLUME of the image"
		}
		return where + ": volume " + show(p.name) + " of " + engineName(p, c)
	case kindBind:
		if p.sure {
			return where + ": " + show(p.host) + " of the " + machine(c)
		}
		return where + ": " + show(p.host) + " of the " + machine(c) + "'s file system " + show(m.source) + " (" + show(m.fstype) + ")"
	case kindEmptyDir:
		return where + ": emptyDir " + show(p.name)
	case kindConfig:
		return where + ": " + configName(p.driver) + " volume " + show(p.name) + ", which is never writable"
	case kindClaim:
		return where + ": volume " + show(p.name) + " of Kubernetes (" + show(p.driver) + ")"
	case kindNetwork:
		return where + ": " + show(m.source) + " of a file server (" + show(m.fstype) + ")"
	case kindShared:
		return where + ": shared by the machine or the program outside (" + show(m.fstype) + ")"
	case kindDisk:
		return where + ": a file system of its own, " + show(m.source) + " (" + show(m.fstype) + ")"
	}
	return where + ": " + show(m.fstype)
}

func machine(c circumstances) string {
	if c.kubernetes {
		return "node"
	}
	return "host"
}

func engineName(p place, c circumstances) string {
	switch {
	case p.engine == "podman" || p.engine == "" && c.podman && !c.docker:
		return "Podman"
	case p.engine == "containerd":
		return "containerd"
	case p.engine == "docker" || c.docker:
		return "Docker"
	}
	return "the engine"
}

func configName(driver string) string {
	switch driver {
	case "configmap":
		return "ConfigMap"
	case "secret":
		return "Secret"
	case "downward-api":
		return "downwardAPI"
	}
	return "projected"
}
