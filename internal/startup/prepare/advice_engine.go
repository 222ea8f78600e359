package prepare

import "strings"

// adviseEngine says what mends a group of paths under Docker and Podman.
func adviseEngine(g []trouble, c circumstances, docker, podman bool, add func(string, ...string)) {
	switch remedyOf(g[0], c.id) {
	case remedyOwner, remedyMode:
		adviseOwner(g, c, docker, podman, add)
	case remedyTmpfs:
		adviseTmpfs(g, c, docker, podman, add)
	case remedyMount:
		adviseMount(g, c, docker, podman, add)
	case remedyWrite:
		adviseWrite(g, docker, podman, add)
	case remedyLabel:
		add(label("", docker, podman)+", so that SELinux lets this container in", "-v "+shell(source(g[0])+":"+g[0].mount.point+":Z"))
	case remedyServer:
		adviseServer(g, c, add)
	}
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

func adviseOwner(g []trouble, c circumstances, docker, podman bool, add func(string, ...string)) {
	if g[0].place.kind == kindNetwork {
		adviseServer(g, c, add)
		return
	}
	if g[0].place.kind == kindBind {
		adviseHost(g, c, podman, add)
	} else {
		if docker {
			add(label(", once", true, false)+legend(g, c), once("docker", g, c))
		}
		if podman {
			add("Podman, once"+legend(g, c), once("podman", g, c))
		}
	}
	if remedyOf(g[0], c.id) != remedyOwner {
		return
	}
	if podman && g[0].place.sub == "" {
		add("or Podman gives it to the user at every start", "podman run -v "+shell(source(g[0])+":"+g[0].mount.point+":U")+" …")
	}
	adviseRunAs(g, c, docker, podman, add)
}

// adviseHost changes the owner where the files are. What the host calls a user may differ.
func adviseHost(g []trouble, c circumstances, podman bool, add func(string, ...string)) {
	program, args := job(g, c)
	note := ""
	if !g[0].place.sure {
		note = " (the path is the one in its file system: see that it is what you gave to -v)"
	}
	if c.users && program == "chown" {
		if podman && c.rootless {
			add("on the host, as the user who runs Podman"+note, "podman unshare "+spelled(program, args, onOutside(g)))
			return
		}
		args = []string{"-R", decimal(c.hostUID) + ":" + decimal(c.hostGID)}
	}
	add("on the host"+note, "sudo "+spelled(program, args, onOutside(g)))
}

// adviseRunAs says how to run as whoever owns the data. An image that serves any uid does so with
// group 0.
func adviseRunAs(g []trouble, c circumstances, docker, podman bool, add func(string, ...string)) {
	st := g[0].status
	if g[0].want == wantInner {
		st = g[0].inside.status
	}
	for _, t := range g {
		if t.want != wantInner && t.status.uid != st.uid {
			return
		}
	}
	if c.id.gid != 0 || st.uid == 0 || st.uid == c.id.uid {
		return
	}
	if docker {
		add("or run as its owner", "docker run --user "+decimal(st.uid)+":0 …      Compose: user: \""+decimal(st.uid)+":0\"")
		return
	}
	add("or run as its owner", "podman run --user "+decimal(st.uid)+":0 …")
}

// adviseTmpfs gives a tmpfs its owner by its options: runc before 1.1.8 takes the mode from the
// directory below, and the owner from the options.
func adviseTmpfs(g []trouble, c circumstances, docker, podman bool, add func(string, ...string)) {
	if docker {
		add("Docker", "docker run --tmpfs "+shell(g[0].mount.point+":"+tmpfsOptions(g, c))+" …")
		add("Compose", "tmpfs: ["+yaml(g[0].mount.point+":"+tmpfsOptions(g, c))+"]")
	}
	if podman {
		add("Podman", "podman run --mount "+shell("type=tmpfs,destination="+g[0].mount.point+",U=true")+" …")
	}
}

func tmpfsOptions(g []trouble, c circumstances) string {
	mode := "0770"
	if g[0].want == wantOwn || g[0].want == wantRun {
		mode = "0700"
	}
	return "uid=" + decimal(c.id.uid) + ",gid=" + decimal(c.id.gid) + ",mode=" + mode
}

// adviseMount mounts something writable where the container's own file system is not.
func adviseMount(g []trouble, c circumstances, docker, podman bool, add func(string, ...string)) {
	for _, p := range targetsOfImage(g) {
		if docker {
			add("Docker", "docker run --tmpfs "+shell(p+":"+tmpfsOptions(g, c))+" …      or a volume: -v NAME:"+shell(p))
			add("Compose", "tmpfs: ["+yaml(p+":"+tmpfsOptions(g, c))+"]")
		}
		if podman {
			add("Podman", "podman run --mount "+shell("type=tmpfs,destination="+p+",U=true")+" …      or a volume: -v NAME:"+shell(p+":U"))
		}
		if !g[0].mount.readOnly() && g[0].failure != failReadOnly {
			add("or in the image", "unroot convert --writable "+shell(p)+" …")
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

func adviseWrite(g []trouble, docker, podman bool, add func(string, ...string)) {
	t := g[0]
	if has(t.mount.super, "ro") && !has(t.mount.options, "ro") {
		add("on the host", "mount the file system "+shell(t.mount.source)+" read-write: it is read-only for everybody")
		return
	}
	add(label("", docker, podman)+", without :ro, readonly or read_only", "-v "+shell(source(t)+":"+t.mount.point))
}

func adviseServer(g []trouble, c circumstances, add func(string, ...string)) {
	program, args := job(g, c)
	switch g[0].place.kind {
	case kindNetwork:
		rest, _ := below(targets(g)[0], g[0].mount.point)
		_, dir, ok := strings.Cut(g[0].mount.source, ":")
		if !ok {
			dir = g[0].mount.source
		}
		add("on the file server", "sudo "+spelled(program, args, []string{strings.TrimSuffix(dir, "/") + rest}))
		add("or, where it has another user for everybody", "run as that user: --user UID:0")
	case kindShared:
		add("outside, where "+shell(g[0].place.host)+" is shared from", "let the user who shares it write there: chmod -R u+rwX")
	default:
		add("on the "+machine(c), "look at getfacl, lsattr and the audit log for "+shell(strings.Join(onOutside(g), " ")))
	}
}
