package prepare

import "strings"

// engine says what mends a group of paths under Docker and Podman.
func (b *book) engine(g []trouble, c circumstances, docker, podman bool) {
	switch remedyOf(g[0], c.id) {
	case remedyOwner, remedyMode:
		b.owner(g, c, docker, podman)
	case remedyTmpfs:
		b.tmpfs(g, c, docker, podman)
	case remedyMount:
		b.mount(g, c, docker, podman)
	case remedyWrite:
		b.write(g, docker, podman)
	case remedyLabel:
		b.add(label("", docker, podman)+", so that SELinux lets this container in", "-v "+shell(source(g[0])+":"+g[0].mount.point+":Z"))
	case remedyServer:
		b.server(g, c)
	case remedyOther:
		b.other(g[0], c)
	}
}

// other keeps a directory of the host out of it: given to the container's user, it would be lost to
// the host's programs.
func (b *book) other(t trouble, c circumstances) {
	b.add(show(t.place.host)+" belongs to the "+machine(c)+" itself", "mount a directory there that is this container's own")
}

// label names engines.
func label(what string, docker, podman bool) string {
	var names []string
	if docker {
		names = append(names, "Docker", "Compose")
	}
	if podman {
		names = append(names, "Podman")
	}
	return strings.Join(names, ", ") + what
}

// source is what the user gave to -v, as far as it is known.
func source(t trouble) string {
	switch {
	case t.place.kind == kindVolume && t.place.name != "":
		return t.place.name
	case t.place.kind == kindBind:
		return t.place.host
	}
	return "SOURCE"
}

// once runs a job as root in a container of its own, on what is mounted here.
func once(engine string, g []trouble, c circumstances) string {
	point, paths := inVolume(g)
	program, args := job(g, c)
	image := "--entrypoint " + program + " IMAGE "
	if !c.chown {
		image = "busybox " + program + " "
	}
	rest := spelled(program, args, paths)
	return engine + " run --rm --user 0 -v " + shell(source(g[0])+":"+point) + " " + image + strings.TrimPrefix(rest, program+" ")
}

// legend explains the words in capitals of a command.
func legend(g []trouble, c circumstances) string {
	var says []string
	if c.chown {
		says = append(says, "IMAGE: this image")
	}
	if source(g[0]) == "SOURCE" {
		says = append(says, "SOURCE: what is given to -v")
	}
	if len(says) == 0 {
		return ""
	}
	return " (" + strings.Join(says, "; ") + ")"
}

func (b *book) owner(g []trouble, c circumstances, docker, podman bool) {
	switch g[0].place.kind {
	case kindNetwork:
		b.server(g, c)
		docker, podman = docker && c.docker, podman && c.podman // words for one are enough
	case kindBind:
		b.host(g, c, podman)
	default:
		if docker {
			b.add(label(", once", true, false)+legend(g, c), once("docker", g, c))
			b.keepEmpty(g)
		}
		if podman {
			b.add("Podman, once"+legend(g, c), once("podman", g, c))
		}
	}
	if remedyOf(g[0], c.id) != remedyOwner {
		return
	}
	if podman && g[0].place.sub == "" && g[0].place.kind != kindNetwork {
		b.join("or Podman gives it to the user at every start", "podman run", "", " -v "+shell(source(g[0])+":"+g[0].mount.point+":U"), " …")
	}
	b.runAs(g, c, docker, podman)
}

// keepEmpty keeps Docker from giving an empty volume the owner of the image's directory again, which
// it does at every start (moby, copyExistingContents).
func (b *book) keepEmpty(g []trouble) {
	t := g[0]
	if t.place.kind != kindVolume || t.place.sub != "" || t.at != t.mount.point || !t.inside.empty || !t.status.dir {
		return
	}
	b.join("and, as long as it is empty, keep Docker from undoing that", "docker run", "", " -v "+shell(source(t)+":"+t.mount.point+":nocopy"), " …      Compose: volume: {nocopy: true}")
}

// host changes the owner where the files are. What the host calls a user may differ.
func (b *book) host(g []trouble, c circumstances, podman bool) {
	program, args := job(g, c)
	note := ""
	if !g[0].place.sure {
		note = " (the path is the one in its file system: see that it is what you gave to -v)"
	}
	if c.users && program == "chown" {
		if podman && c.rootless {
			b.add("on the host, as the user who runs Podman"+note, "podman unshare "+spelled(program, args, onOutside(g)))
			return
		}
		args = []string{"-R", decimal(c.hostUID) + ":" + decimal(c.hostGID)}
	}
	b.add("on the host"+note, "sudo "+spelled(program, args, onOutside(g)))
}

// runAs says how to run as whoever owns the data. An image that serves any uid does so with
// group 0.
func (b *book) runAs(g []trouble, c circumstances, docker, podman bool) {
	st := g[0].status
	if g[0].want == wantInner {
		st = g[0].inside.status
	}
	for _, t := range g {
		if t.want != wantInner && t.status.uid != st.uid {
			return
		}
	}
	if !b.one {
		return
	}
	if gid := g[0].status.gid; lets(g[0], c.id) {
		switch {
		case docker:
			b.add("or run in its group", "docker run --group-add "+decimal(gid)+" …      Compose: group_add: ["+decimal(gid)+"]")
		case podman:
			b.add("or run in its group", "podman run --group-add "+decimal(gid)+" …")
		}
		return
	}
	if c.id.gid != 0 || st.uid == 0 || st.uid == c.id.uid {
		return
	}
	if c.kubernetes && st.uid < arbitraryFirst && c.id.uid < arbitraryFirst { // OpenShift lets nobody pick a uid
		b.add("or run as its owner, in the container", "securityContext: {runAsUser: "+decimal(st.uid)+", runAsGroup: 0}")
	}
	if docker {
		b.add("or run as its owner", "docker run --user "+decimal(st.uid)+":0 …      Compose: user: \""+decimal(st.uid)+":0\"")
	} else if podman {
		b.add("or run as its owner", "podman run --user "+decimal(st.uid)+":0 …")
	}
}

// tmpfs gives a tmpfs its owner by its options: runc before 1.1.8 takes the mode from the directory
// below, and the owner from the options.
func (b *book) tmpfs(g []trouble, c circumstances, docker, podman bool) {
	b.mountTmpfs(g[0].mount.point, g, c, docker, podman)
}

func (b *book) mountTmpfs(point string, g []trouble, c circumstances, docker, podman bool) {
	options := point + ":" + tmpfsOptions(g, c)
	if docker {
		b.join("Docker", "docker run", "", " --tmpfs "+shell(options), " …")
		b.join("Compose", "tmpfs: [", ", ", yaml(options), "]")
	}
	if podman {
		more := ""
		if g[0].want == wantRun { // Podman copies the image's directories into a tmpfs, and loses bits of their modes
			more = ",notmpcopyup"
		}
		b.join("Podman", "podman run", "", " --mount "+shell("type=tmpfs,destination="+point+",U=true"+more), " …")
	}
}

func tmpfsOptions(g []trouble, c circumstances) string {
	mode := "0770"
	if g[0].want == wantOwn || g[0].want == wantRun {
		mode = "0700"
	}
	return "uid=" + decimal(c.id.uid) + ",gid=" + decimal(c.id.gid) + ",mode=" + mode
}

// mount mounts something writable where the container's own file system is not. A new volume takes
// over owner and content of the image's directory.
func (b *book) mount(g []trouble, c circumstances, docker, podman bool) {
	readOnly := g[0].mount.readOnly() || g[0].failure == failReadOnly
	for _, p := range targetsOfImage(g) {
		if !readOnly && g[0].place.kind == kindImage && g[0].want != wantRun && g[0].want != wantOwn {
			b.join("in the image", "unroot convert", "", " --writable "+shell(p), " …")
		}
	}
	for _, p := range targetsOfImage(g) {
		b.mountTmpfs(p, g, c, docker, podman)
	}
	if g[0].want == wantOwn && !readOnly {
		b.runAs(g, c, docker, podman)
	}
	for _, p := range targetsOfImage(g) {
		if !readOnly || g[0].want == wantRun {
			continue
		}
		if docker {
			b.join("or to keep what is written", "docker run", "", " -v "+shell(volumeName(p)+":"+p), " …")
		} else if podman {
			b.join("or to keep what is written", "podman run", "", " -v "+shell(volumeName(p)+":"+p+":U"), " …")
		}
	}
}

// targetsOfImage are directories that something can be mounted on.
func targetsOfImage(g []trouble) []string {
	var out []string
	for _, t := range g {
		p := t.path
		if t.want == wantRun { // a mount of the directory above leaves the private one to whoever runs
			p = p[:max(1, strings.LastIndexByte(p, '/'))]
		}
		out = append(out, p)
		if len(out) == maxShown {
			break
		}
	}
	return out
}

func (b *book) write(g []trouble, docker, podman bool) {
	t := g[0]
	if has(t.mount.super, "ro") && !has(t.mount.options, "ro") {
		b.add("on the host", "mount the file system "+shell(t.mount.source)+" read-write: it is read-only for everybody")
		return
	}
	b.add(label("", docker, podman)+", without :ro, readonly or read_only", "-v "+shell(source(t)+":"+t.mount.point))
}

// server says what whoever shares a directory has to do.
func (b *book) server(g []trouble, c circumstances) {
	switch g[0].place.kind {
	case kindNetwork:
		program, args := job(g, c)
		rest, _ := below(targets(g)[0], g[0].mount.point)
		_, dir, ok := strings.Cut(g[0].mount.source, ":")
		if !ok {
			dir = g[0].mount.source
		}
		if look(g[0], c.id) == shapeBarred {
			b.add("on the file server", "export "+shell(dir)+" without all_squash, or with anonuid="+decimal(c.id.uid))
			return
		}
		b.add("on the file server", "sudo "+spelled(program, args, []string{strings.TrimSuffix(dir, "/") + rest}))
	case kindShared:
		b.add("outside, where "+show(g[0].place.host)+" is shared from", "let the user who shares it write there: chmod -R u+rwX")
	default:
		b.add("on the "+machine(c)+", what lets nobody in", "getfacl "+strings.Join(shells(onOutside(g)), " "), "lsattr -d "+strings.Join(shells(onOutside(g)), " "))
	}
}

func shells(words []string) []string {
	for i := range words {
		words[i] = shell(words[i])
	}
	return words
}

// lets reports whether a directory would let the user in who had its group.
func lets(t trouble, id identity) bool {
	return t.want == wantWrite && t.status.dir && t.status.gid != 0 && t.status.mode&0o030 == 0o030 && !id.in(t.status.gid)
}
