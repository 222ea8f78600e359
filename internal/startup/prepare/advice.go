package prepare

import (
	"slices"
	"strings"
)

// advice is what to do, at one place where a container may run.
type advice struct {
	label string
	lines []string
}

// book collects advice: a label once, and under it what each path needs.
type book struct {
	pages []advice
	one   bool // one group needs something
}

func (b *book) page(label string) *advice {
	i := slices.IndexFunc(b.pages, func(a advice) bool { return a.label == label })
	if i < 0 {
		i, b.pages = len(b.pages), append(b.pages, advice{label: label})
	}
	return &b.pages[i]
}

// add adds lines that are not there yet.
func (b *book) add(label string, lines ...string) {
	a := b.page(label)
	for _, l := range lines {
		if !slices.Contains(a.lines, l) {
			a.lines = append(a.lines, l)
		}
	}
}

// join adds an item to the one line that begins and ends so: a key of YAML stands once, and so does
// a command.
func (b *book) join(label, begin, sep, item, end string) {
	a := b.page(label)
	for i, l := range a.lines {
		if in, ok := strings.CutPrefix(l, begin); ok && strings.HasSuffix(in, end) {
			if strings.Contains(in, item) {
				return
			}
			a.lines[i] = begin + strings.TrimSuffix(in, end) + sep + item + end
			return
		}
	}
	a.lines = append(a.lines, begin+item+end)
}

// remedy is what a path needs.
type remedy int

const (
	remedyOwner  remedy = iota // give it to the user
	remedyMode                 // its mode
	remedyTmpfs                // a tmpfs with the right owner
	remedyMount                // something writable mounted there
	remedyWrite                // the mount writable
	remedyServer               // who shares it decides
	remedyLabel                // SELinux
	remedyOther                // another directory: this one is the host's own
	remedyNone
)

func remedyOf(t trouble, id identity) remedy {
	readOnly := t.failure == failReadOnly || t.mount.readOnly()
	switch kind := t.place.kind; {
	case t.failure == failGone || t.failure == failOther || kind == kindKernel:
		return remedyNone
	case kind == kindImage || kind == kindConfig:
		return remedyMount
	case readOnly:
		return remedyWrite
	case kind == kindTmpfs:
		return remedyTmpfs
	case kind == kindShared:
		return remedyServer
	case kind == kindBind && ofSystem(t.place.host):
		return remedyOther
	}
	switch look(t, id) {
	case shapeMode:
		return remedyMode
	case shapeBarred:
		if selinux(t.mount) && t.place.kind != kindNetwork {
			return remedyLabel
		}
		return remedyServer
	}
	return remedyOwner
}

// advise gives what mends paths, where the container seems to run.
func advise(troubles []trouble, c circumstances) []advice {
	var b book
	docker, podman := c.engines()
	groups := group(troubles, c.id)
	b.one = len(groups) == 1
	for _, g := range groups {
		switch engine := g[0].place.engine; {
		case c.kubernetes:
			b.kubernetes(g, c)
		case engine == "docker" || engine == "podman":
			b.engine(g, c, engine == "docker", engine == "podman")
		default:
			b.engine(g, c, docker, podman)
			if !c.docker && !c.podman {
				b.kubernetes(g, c)
			}
		}
	}
	return b.pages
}

// engines says whose commands help: of the engine that the container shows, else of both.
func (c circumstances) engines() (docker, podman bool) {
	if !c.docker && !c.podman {
		return true, true
	}
	return c.docker, c.podman
}

// group puts together paths that one command mends: on one mount, needing the same.
func group(troubles []trouble, id identity) [][]trouble {
	var out [][]trouble
	for _, t := range troubles {
		i := slices.IndexFunc(out, func(g []trouble) bool {
			return g[0].mount.id == t.mount.id && g[0].mount.point == t.mount.point && remedyOf(g[0], id) == remedyOf(t, id)
		})
		if i < 0 {
			out = append(out, []trouble{t})
		} else if !slices.ContainsFunc(out[i], func(o trouble) bool { return o.at == t.at }) {
			out[i] = append(out[i], t)
		}
	}
	return out
}

// targets are the paths of a group for one command, none below another; many of them give way to
// the point of their mount.
func targets(g []trouble) []string {
	const most = 3
	var out []string
	for _, t := range g {
		out = append(out, t.at)
	}
	if len(out) > most {
		return []string{g[0].mount.point}
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Clone(out), func(p string) bool {
		return slices.ContainsFunc(out, func(o string) bool { return below2(p, o) })
	})
}

// job is the command line that mends the owner or the mode of what belongs to a group.
func job(g []trouble, c circumstances) (program string, args []string) {
	if remedyOf(g[0], c.id) == remedyMode {
		who := "g"
		if g[0].status.uid == c.id.uid {
			who = "u"
		}
		return "chmod", []string{"-R", who + "+rwX"}
	}
	if !slices.ContainsFunc(g, func(t trouble) bool { return t.status.dir && !t.inside.empty }) {
		return "chown", []string{c.id.owner()}
	}
	return "chown", []string{"-R", c.id.owner()}
}

// spelled puts a job and its targets on one shell line.
func spelled(program string, args, targets []string) string {
	words := []string{program}
	for _, w := range append(slices.Clone(args), targets...) {
		words = append(words, shell(w))
	}
	return strings.Join(words, " ")
}

// inVolume gives where a volume is mounted for a job, and what its targets are called there: as in
// this container, unless only a part of the volume is mounted here.
func inVolume(g []trouble) (point string, paths []string) {
	point, paths = g[0].mount.point, targets(g)
	if g[0].place.sub == "" {
		return point, paths
	}
	point = "/volume"
	for i, p := range paths {
		rest, _ := below(p, g[0].mount.point)
		paths[i] = point + g[0].place.sub + rest
	}
	return point, paths
}

// onOutside gives what the targets are called on the host.
func onOutside(g []trouble) []string {
	paths := targets(g)
	for i, p := range paths {
		rest, _ := below(p, g[0].mount.point)
		paths[i] = strings.TrimSuffix(g[0].place.host, "/") + rest
	}
	return paths
}

// ofSystem reports whether a directory of the host is one that its own programs need as it is.
func ofSystem(host string) bool {
	if strings.Count(host, "/") < 2 { // a whole top-level directory
		return true
	}
	top, _, _ := strings.Cut(host[1:], "/")
	return slices.Contains([]string{"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr"}, top)
}
