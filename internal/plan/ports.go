package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"unroot/internal/finding"
	"unroot/internal/image"
	"unroot/internal/recipe"
	"unroot/internal/survey"
)

// usualPorts are the high ports that people use for well-known low ones; other ports get 8000 more.
var usualPorts = map[uint16]uint16{21: 2121, 22: 2222, 25: 2525, 53: 5353}

// movePorts moves every port below 1024 that the image listens on, in the places that name it.
func (m *maker) movePorts() {
	low := m.survey.LowPorts()
	if m.opts.KeepPort {
		low = nil
	}
	for from := range m.opts.Ports {
		if !slices.Contains(low, from) {
			low = append(low, from)
		}
	}
	slices.Sort(low)
	for _, from := range low {
		m.movePort(from, m.targetPort(from))
	}
}

// targetPort is the port to move to: what the user said, else the usual one that is free.
func (m *maker) targetPort(from uint16) uint16 {
	if to, ok := m.opts.Ports[from]; ok {
		return to
	}
	to, ok := usualPorts[from]
	if !ok {
		to = from + 8000
	}
	for m.portTaken(to) {
		to += 1000
	}
	return to
}

func (m *maker) portTaken(p uint16) bool {
	return len(m.survey.ListensOn(p, "")) > 0 ||
		slices.ContainsFunc(m.survey.Exposed, func(e image.Port) bool { return e.Number == p }) ||
		slices.ContainsFunc(m.plan.Ports, func(move PortMove) bool { return move.To == p })
}

func (m *maker) movePort(from, to uint16) {
	listens := m.survey.ListensOn(from, "")
	_, asked := m.opts.Ports[from]
	if len(listens) == 0 {
		m.open(Open{ID: "low-port", Path: "",
			What:    fmt.Sprintf("port %d is "+m.portKnown(from)+", and where the program is told to listen on it was not found", from),
			Decides: fmt.Sprintf("the program's own setting for the port together with --port %d=%d, or net.ipv4.ip_unprivileged_port_start=%d (Docker and containerd 2 set it to 0; CRI-O and Podman do not)", from, to, min(from, survey.PrivilegedPorts))})
		if !asked {
			return
		}
	}
	for _, l := range listens {
		m.moveListen(l, to)
	}
	m.moveReferences(from, to)
	m.moveExposed(from, to)
	for _, proto := range m.protocols(from, listens) {
		m.plan.Ports = append(m.plan.Ports, PortMove{From: from, To: to, Proto: proto})
	}
}

// portKnown is how a port is known.
func (m *maker) portKnown(port uint16) string {
	if slices.ContainsFunc(m.survey.Exposed, func(e image.Port) bool { return e.Number == port }) {
		return "exposed"
	}
	return "bound by the original"
}

// protocols is those of a port, as the image exposes it, as its configuration binds it and as it was seen bound; TCP where
// nothing says so.
func (m *maker) protocols(port uint16, listens []survey.Listen) []string {
	var protos []string
	for _, e := range m.survey.Exposed {
		if e.Number == port {
			protos = append(protos, e.Proto)
		}
	}
	for _, l := range listens {
		if l.Proto != "" {
			protos = append(protos, l.Proto)
		}
	}
	protos = append(protos, m.survey.BoundProtos(port)...)
	if len(protos) == 0 {
		return []string{"tcp"}
	}
	slices.Sort(protos)
	return slices.Compact(protos)
}

// moveListen edits one place that names the port.
func (m *maker) moveListen(l survey.Listen, to uint16) {
	if l.Directive != nil {
		m.edit(l.Config.Path, l.Config.Content, "low-port", l.Why, recipe.MovePort(l.Config.Content, *l.Directive, to))
		return
	}
	if l.Script != "" {
		m.edit(l.Script, l.Content, "low-port", l.Why, filled(l.Edits, to)...)
		return
	}
	m.setArg(l.Field, l.Index, filled(l.Edits, to), "low-port", l.Why)
}

// filled puts the new port into edits that have the place only.
func filled(places []finding.Edit, to uint16) []finding.Edit {
	edits := slices.Clone(places)
	for i := range edits {
		edits[i].New += strconv.Itoa(int(to))
	}
	return edits
}

// moveReferences edits what speaks to the moved port: the same configuration, and the health check.
func (m *maker) moveReferences(from, to uint16) {
	for _, f := range m.survey.Configs {
		if len(f.Directives) == 0 {
			continue
		}
		for _, ref := range recipe.References(f.Content, f.Directives[0].Dialect, from) {
			why := survey.Evidence{Source: "directive", Where: finding.Location{Path: f.Path, Line: ref.Line}.String(), Text: fmt.Sprintf("names port %d", from)}
			m.edit(f.Path, f.Content, "low-port", why, finding.Edit{Start: ref.Start, End: ref.End, New: strconv.Itoa(int(to))})
		}
	}
	test := m.survey.View.Config.Healthcheck()
	for i, text := range test {
		if places := survey.PortReferences(test, i, from); places != nil {
			m.setArg("Healthcheck", i, filled(places, to), "low-port", survey.Evidence{Source: "config", Where: "config.Healthcheck", Text: text})
		}
	}
}

func (m *maker) moveExposed(from, to uint16) {
	for _, p := range m.survey.Exposed {
		if p.Number != from {
			continue
		}
		key := strings.Replace(p.Key, strconv.Itoa(int(from)), strconv.Itoa(int(to)), 1)
		m.do(MovePort{Key: p.Key, To: key, Move: PortMove{From: from, To: to, Proto: p.Proto}}, "low-port",
			survey.Evidence{Source: "config", Where: "config.ExposedPorts", Text: p.Key})
	}
}

// edit adds an edit of a file, together with those that were decided before.
func (m *maker) edit(p string, before []byte, mends string, why survey.Evidence, edits ...finding.Edit) {
	for i := range m.plan.Operations {
		op := &m.plan.Operations[i]
		e, ok := op.Effect.(EditFile)
		if !ok || e.Path != p || op.Mends != mends {
			continue
		}
		e.Edits = merged(e.Edits, edits)
		op.Effect, op.Why = e, appendNew(op.Why, why)
		return
	}
	m.do(EditFile{Path: p, Before: before, Edits: merged(nil, edits)}, mends, why)
}

// merged adds edits and leaves out those that are there.
func merged(have, more []finding.Edit) []finding.Edit {
	out := slices.Clone(have)
	for _, e := range more {
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

func appendNew(list []survey.Evidence, e survey.Evidence) []survey.Evidence {
	if slices.Contains(list, e) {
		return list
	}
	return append(list, e)
}

// setArg edits one string of the config's Entrypoint, Cmd, Healthcheck or Env, together with what
// was decided for it before.
func (m *maker) setArg(field string, index int, edits []finding.Edit, mends string, why survey.Evidence) {
	key := fmt.Sprintf("%s[%d]", field, index)
	all := merged(m.args[key], edits)
	from := m.field(field)[index]
	to, err := finding.Apply([]byte(from), all)
	if err != nil {
		return // a second edit of the same bytes: the first one counts
	}
	first := len(m.args[key]) == 0
	m.args[key] = all
	effect := argEffect(field, index, from, string(to))
	if first {
		m.do(effect, mends, why)
		return
	}
	for i := range m.plan.Operations {
		if op := &m.plan.Operations[i]; sameArg(op.Effect, effect) {
			op.Effect, op.Why = effect, appendNew(op.Why, why)
		}
	}
}

func argEffect(field string, index int, from, to string) Effect {
	if field != "Env" {
		return SetArg{Field: field, Index: index, From: from, To: to}
	}
	name, old, _ := strings.Cut(from, "=")
	_, value, _ := strings.Cut(to, "=")
	return SetEnv{Name: name, From: old, To: value, Index: index}
}

func sameArg(a, b Effect) bool {
	switch a := a.(type) {
	case SetArg:
		b, ok := b.(SetArg)
		return ok && a.Field == b.Field && a.Index == b.Index
	case SetEnv:
		b, ok := b.(SetEnv)
		return ok && a.Index == b.Index && a.Name == b.Name
	}
	return false
}

func (m *maker) field(name string) []string {
	config := m.survey.View.Config
	switch name {
	case "Entrypoint":
		return config.Entrypoint()
	case "Cmd":
		return config.Cmd()
	case "Healthcheck":
		return config.Healthcheck()
	}
	return config.Env()
}

// dropDirectives takes out what a configuration file asks of root: changing the user, the root
// directory. Only in an image that runs as root today: elsewhere they are known to do no harm.
func (m *maker) dropDirectives() {
	if !m.survey.RunsRoot {
		return
	}
	for _, f := range m.survey.Configs {
		for _, d := range f.Directives {
			if !d.Drop || m.believes() && d.Role != recipe.Chroot { // a root directory with content is what no step answers for
				continue
			}
			why := survey.Evidence{Source: "directive", Where: finding.Location{Path: f.Path, Line: d.Line}.String(), Text: strings.TrimSpace(string(f.Content[d.Start:d.End]))}
			if d.Absent {
				why.Text = fmt.Sprintf("names no %s, and then a default holds that needs root", d.Key)
			}
			m.edit(f.Path, f.Content, "drops-privileges", why, m.dropped(f.Content, d))
		}
	}
}

// dropped is the edit that takes a directive out, or that names the user where a program without the
// directive would want to be root.
func (m *maker) dropped(content []byte, d recipe.Directive) finding.Edit {
	switch d.Instead {
	case "{user}":
		return recipe.SetValue(content, d, m.plan.Identity.Name)
	case "{group}":
		group, _ := m.survey.Group.ByGID(m.plan.Identity.GID)
		return recipe.SetValue(content, d, group.Name)
	}
	return recipe.Remove(content, d)
}
