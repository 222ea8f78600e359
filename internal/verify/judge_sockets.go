package verify

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"unroot/internal/trace"
)

// The local port range: what the kernel gives to who asks for any port (ip(7), ip_local_port_range).
const (
	localPortFirst = 32768
	localPortLast  = 60999
)

// class is for whom an address listens.
type class string

const (
	wildcard class = "all addresses"
	loopback class = "loopback only"
	specific class = "one address"
)

// reach gives the class of an address, and whether it is of IPv6. An empty one is every address.
func reach(s Socket) (class, bool) {
	a, err := netip.ParseAddr(strings.Trim(s.Address, "[]"))
	if err != nil {
		return wildcard, s.Address == "*" // as some tools write a socket for both families
	}
	switch v6 := a.Is6() && !a.Is4In6(); {
	case a.IsUnspecified():
		return wildcard, v6
	case a.Unmap().IsLoopback():
		return loopback, v6
	default:
		return specific, v6
	}
}

// SocketText is a socket for a person, such as "tcp 0.0.0.0:80".
func SocketText(s Socket) string {
	switch {
	case s.Proto == "unix":
		return "unix " + s.Address
	case strings.Contains(s.Address, ":"):
		return fmt.Sprintf("%s [%s]:%d", s.Proto, s.Address, s.Port)
	}
	return fmt.Sprintf("%s %s:%d", s.Proto, s.Address, s.Port)
}

// random reports whether the kernel chose the port of a socket: it is in the local port range, and
// nobody asked for it by its number; or the program itself takes one port after the other, as resolvers do
// for their questions (RFC 5452, section 9.2).
func random(o Outcome, s Socket) bool {
	if s.Proto == "udp" && s.Port >= 1024 && changesPorts(o, s.Program) {
		return true
	}
	if s.Port < localPortFirst || s.Port > localPortLast {
		return false
	}
	return !slices.ContainsFunc(o.Trace.Events, func(e trace.Event) bool {
		if e.Kind != trace.Bind || e.Errno != "" {
			return false
		}
		_, port, ok := trace.Port(e.Addr)
		return ok && port == s.Port
	})
}

// sockets compares who listens where.
func (c *comparison) sockets() {
	var missing, extra []Socket
	for _, s := range c.baseline.Sockets {
		if found := c.counterparts(s); len(found) == 0 {
			missing = append(missing, s)
		} else if s.Proto != "unix" {
			c.sameReach(s, found)
		} else {
			c.sameProgram(s, found)
		}
	}
	for _, s := range c.candidate.Sockets {
		if !slices.ContainsFunc(c.baseline.Sockets, func(b Socket) bool { return c.corresponds(b, s) }) {
			extra = append(extra, s)
		} else if s.Proto != "unix" {
			c.noWider(s)
		}
	}
	missing, extra = c.pairOff(missing, extra)
	for _, s := range missing {
		c.missing(s)
	}
	for _, s := range extra {
		c.extra(s)
	}
}

// corresponds reports whether a socket of the candidate is where one of the baseline is expected.
func (c *comparison) corresponds(b, o Socket) bool {
	if b.Proto != o.Proto {
		return false
	}
	if b.Proto == "unix" {
		return b.Address == o.Address || withoutNumbers(b.Address) == withoutNumbers(o.Address)
	}
	return o.Port == c.expect.to(b.Proto, b.Port)
}

var numbers = regexp.MustCompile(`[0-9]+`)

// withoutNumbers is a name in which process numbers and the like do not count.
func withoutNumbers(name string) string { return numbers.ReplaceAllString(name, "#") }

func (c *comparison) counterparts(b Socket) []Socket {
	var found []Socket
	for _, o := range c.candidate.Sockets {
		if c.corresponds(b, o) {
			found = append(found, o)
		}
	}
	return found
}

// sameReach wants a socket for the same class of addresses, held by the same program.
func (c *comparison) sameReach(b Socket, found []Socket) {
	var covering []Socket
	for _, o := range found {
		if c.covers(o, b) {
			covering = append(covering, o)
		}
	}
	if len(covering) == 0 {
		want, _ := reach(b)
		c.refute(SocketAddress, fmt.Sprintf("it listens on %s, the baseline on %s (%s)", SocketText(found[0]), SocketText(b), want), Evidence{Socket: &found[0]})
		return
	}
	c.sameProgram(b, covering)
}

// covers reports whether who can reach b in the baseline can reach o: the same class and family. A
// socket on :: takes IPv4 too (ipv6(7), IPV6_V6ONLY), unless the baseline has one on :: beside b.
func (c *comparison) covers(o, b Socket) bool {
	classO, v6O := reach(o)
	classB, v6B := reach(b)
	if classO != classB || classO == specific && o.Address != b.Address {
		return false
	}
	if v6O == v6B {
		return true
	}
	beside := slices.ContainsFunc(c.baseline.Sockets, func(s Socket) bool {
		k, v6 := reach(s)
		return s.Proto == b.Proto && s.Port == b.Port && k == wildcard && v6
	})
	return v6O && !v6B && classO == wildcard && !beside
}

// noWider refutes a socket that others can reach than in the baseline.
func (c *comparison) noWider(o Socket) {
	got, _ := reach(o)
	for _, b := range c.baseline.Sockets {
		if k, _ := reach(b); c.corresponds(b, o) && k == got {
			return
		}
	}
	if !c.verdict.has(SocketAddress) {
		c.refute(SocketExtra, fmt.Sprintf("it listens on %s (%s), the baseline does not", SocketText(o), got), Evidence{Socket: &o})
	}
}

func (c *comparison) sameProgram(b Socket, found []Socket) {
	same := func(o Socket) bool { return b.Program == "" || o.Program == "" || o.Program == b.Program }
	if !slices.ContainsFunc(found, same) {
		c.refute(SocketProgram, fmt.Sprintf("%s is held by %s, in the baseline by %s", SocketText(found[0]), found[0].Program, b.Program), Evidence{Socket: &found[0]})
	}
}

// pairOff takes out what is the same socket under a name that is another in each run: ports that the
// kernel chose, and paths with a random part.
func (c *comparison) pairOff(missing, extra []Socket) (m, e []Socket) {
	for _, b := range missing {
		at := slices.IndexFunc(extra, func(o Socket) bool { return c.sameButForName(b, o) })
		if at < 0 {
			m = append(m, b)
			continue
		}
		extra = slices.Delete(slices.Clone(extra), at, at+1)
	}
	return m, extra
}

func (c *comparison) sameButForName(b, o Socket) bool {
	if b.Proto != o.Proto || b.Program != o.Program {
		return false
	}
	if b.Proto == "unix" {
		return path.Dir(b.Address) == path.Dir(o.Address) && b.Address[:1] == o.Address[:1]
	}
	classB, _ := reach(b)
	classO, _ := reach(o)
	return classB == classO && random(c.baseline, b) && random(c.candidate, o)
}

func (c *comparison) missing(b Socket) {
	if b.Proto == "udp" && random(c.baseline, b) {
		return // a question that was under way, such as a resolver's
	}
	want := b
	want.Port = c.expect.to(b.Proto, b.Port)
	text := fmt.Sprintf("nobody listens on %s", SocketText(want))
	if want.Port != b.Port {
		text += fmt.Sprintf(", where %s moved to", SocketText(b))
	}
	if b.Program != "" {
		text += fmt.Sprintf("; in the baseline %s does", b.Program)
	}
	c.refute(SocketMissing, text, Evidence{Socket: &b})
}

// A program that serves where it is expected may ask others over UDP, from ports of its own choice, as a
// resolver does: whether one is open at the moment of the look is chance.
func (c *comparison) extra(o Socket) {
	switch {
	case o.Proto == "udp" && random(c.candidate, o):
	case o.Proto == "unix", o.Proto == "udp" && o.Port >= 1024 && c.serves(o.Program):
		c.note("socket", "", SocketText(o), false)
	default:
		c.refute(SocketExtra, fmt.Sprintf("%s listens on %s, where nobody does in the baseline", orSomebody(o.Program), SocketText(o)), Evidence{Socket: &o})
	}
}

func orSomebody(program string) string {
	if program == "" {
		return "somebody"
	}
	return program
}

// serves reports whether the program holds a socket that corresponds to one of the baseline.
func (c *comparison) serves(program string) bool {
	return slices.ContainsFunc(c.candidate.Sockets, func(o Socket) bool {
		return o.Program == program && slices.ContainsFunc(c.baseline.Sockets, func(b Socket) bool { return c.corresponds(b, o) })
	})
}

// changesPorts reports whether the program bound UDP ports that it does not hold any more.
func changesPorts(o Outcome, program string) bool {
	return slices.ContainsFunc(o.Trace.Events, func(e trace.Event) bool {
		proto, port, ok := trace.Port(e.Addr)
		return ok && e.Kind == trace.Bind && e.Errno == "" && e.Exe == program && proto == "udp" && port >= 1024 &&
			!slices.ContainsFunc(o.Sockets, func(s Socket) bool { return s.Proto == "udp" && s.Port == port })
	})
}
