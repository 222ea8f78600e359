package survey

import (
	"fmt"
	"slices"
	"strings"

	"unroot/internal/finding"
	"unroot/internal/image"
	"unroot/internal/recipe"
)

// Listen is one place that names a port on which the image listens.
type Listen struct {
	Port  uint16
	Proto string
	// Exactly one of these says where it stands.
	Config    *ConfigFile       // with Directive
	Directive *recipe.Directive //
	Field     string            // "Entrypoint", "Cmd" or "Env", with Index
	Index     int               //
	Script    string            // path of a script, with Content
	Content   []byte            //
	Edits     []finding.Edit    // places of the port in the field's string or in the script; New is empty
	Why       Evidence
}

// PrivilegedPorts is the first port that any process may bind by default, the kernel's
// net.ipv4.ip_unprivileged_port_start.
const PrivilegedPorts = 1024

// Low reports whether the port needs a privilege, or the sysctl, to be bound.
func Low(port uint16) bool { return port > 0 && port < PrivilegedPorts }

// findListens collects the places that name the ports: in configuration files, and for exposed ports
// in the command line and the environment.
func findListens(s *Survey) []Listen {
	var found []Listen
	for i := range s.Configs {
		f := &s.Configs[i]
		for j := range f.Directives {
			d := &f.Directives[j]
			if d.Role != recipe.Listen || d.Port == 0 && d.Implied == 0 || d.Hint && !s.isKnownPort(d.Implied) {
				continue
			}
			why := text(*f, *d)
			if d.Port == 0 {
				why = strings.TrimSpace(fmt.Sprintf("%s means port %d", why, d.Implied))
			}
			found = append(found, Listen{Port: max(d.Port, d.Implied), Proto: d.Proto, Config: f, Directive: d,
				Why: Evidence{"directive", place(f.Path, d.Line), why}})
		}
	}
	for _, p := range s.Exposed {
		found = append(found, s.listensOf(p)...)
	}
	found = append(found, s.listensSeen()...)
	return append(found, s.listensOpened(found)...)
}

// isKnownPort reports whether the port is exposed, or was seen bound.
func (s *Survey) isKnownPort(port uint16) bool {
	is := func(p image.Port) bool { return p.Number == port }
	return slices.ContainsFunc(s.Exposed, is) || slices.ContainsFunc(s.boundPorts(), is)
}

// listensOf looks for a port in the command line, the environment and the scripts.
func (s *Survey) listensOf(p image.Port) []Listen {
	return slices.Concat(s.listensInCommand(p), listensIn("Env", s.View.Config.Env(), p, PortVariable), s.listensInScripts(p))
}

// listensInScripts looks at the commands with which scripts start the image's programs.
func (s *Survey) listensInScripts(p image.Port) []Listen {
	var found []Listen
	for _, step := range s.Story.Programs {
		c, ok := s.commandOf(step)
		if !ok {
			continue
		}
		edits := portsInLine(c.text, p.Number)
		for i := range edits {
			edits[i].Start += c.start
			edits[i].End += c.start
		}
		if edits != nil {
			found = append(found, Listen{Port: p.Number, Proto: p.Proto, Script: c.script, Content: c.content, Edits: edits,
				Why: Evidence{"script", place(c.script, step.Line), strings.TrimSpace(c.text)}})
		}
	}
	return found
}

// listensInCommand looks at Entrypoint and Cmd as the one command line that they are.
func (s *Survey) listensInCommand(p image.Port) []Listen {
	first := len(s.View.Config.Entrypoint())
	found := listensIn("Entrypoint", slices.Concat(s.View.Config.Entrypoint(), s.View.Config.Cmd()), p, PortWords)
	for i := range found {
		if l := &found[i]; l.Index >= first {
			l.Field, l.Index, l.Why.Where = "Cmd", l.Index-first, "config.Cmd"
		}
	}
	return found
}

func listensIn(field string, values []string, p image.Port, look func([]string, int, uint16) []finding.Edit) []Listen {
	var found []Listen
	for i := range values {
		if edits := look(values, i, p.Number); edits != nil {
			found = append(found, Listen{Port: p.Number, Proto: p.Proto, Field: field, Index: i, Edits: edits,
				Why: Evidence{"config", "config." + field, values[i]}})
		}
	}
	return found
}

// ListensOn is the places that name the port, of either protocol where proto is empty.
func (s *Survey) ListensOn(port uint16, proto string) []Listen {
	return slices.DeleteFunc(slices.Clone(s.Listens), func(l Listen) bool {
		return l.Port != port || proto != "" && l.Proto != "" && l.Proto != proto
	})
}

// LowPorts is the ports below 1024 that the image exposes, that its configuration listens on or that
// it was seen to bind, in order.
func (s *Survey) LowPorts() []uint16 {
	var ports []uint16
	for _, p := range s.Exposed {
		ports = append(ports, p.Number)
	}
	for _, l := range s.Listens {
		ports = append(ports, l.Port)
	}
	for _, p := range s.boundPorts() {
		ports = append(ports, p.Number)
	}
	ports = slices.DeleteFunc(ports, func(p uint16) bool { return !Low(p) })
	slices.Sort(ports)
	return slices.Compact(ports)
}

// place is a file and a line, as compilers print them.
func place(file string, line int) string { return finding.Location{Path: file, Line: line}.String() }

// text is what a directive says, on one line.
func text(f ConfigFile, d recipe.Directive) string {
	return strings.Join(strings.Fields(string(f.Content[d.Start:d.End])), " ")
}
