package recipe

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// address is what a listen address says. Offsets are within the text that was read; portStart is
// -1 where no port is written.
type address struct {
	host               string
	socket             string // a Unix socket's path
	socketStart        int
	port, last         uint16
	portStart, portEnd int
	insertAt           int // where a port would be written, when none is
	proto              string
}

// readAddress reads "80", "host:80", "*:80", "[::]:80", ":80", ":::80" (haproxy), "host@53"
// (unbound), "unix:/path", "/path" and ranges, as the rule says. It says no to what is none.
func readAddress(text string, r *Rule) (address, bool) {
	a := address{portStart: -1}
	skip := 0
	if prefix := longestPrefix(text, r.Prefixes); prefix != "" {
		a.proto, skip = r.Prefixes[prefix], len(prefix)
	}
	if a.proto == "skip" {
		return a, false
	}
	rest := text[skip:]
	if a.proto == "unix" || strings.HasPrefix(rest, "/") {
		a.socket, a.socketStart = rest, skip
		return a, rest != ""
	}
	host, port, portAt := splitAddress(rest, r)
	a.host = host
	if !hostShaped(host) {
		return a, false
	}
	if portAt < 0 {
		a.insertAt = skip + len(rest)
		return a, host != "" && r.Bare != "port"
	}
	first, last, start, end, ok := readPort(port)
	if !ok {
		return a, false
	}
	a.port, a.last = first, last
	if first != 0 {
		a.portStart, a.portEnd = skip+portAt+start, skip+portAt+end
	}
	return a, true
}

// splitAddress gives host and port, and where the port starts, -1 without one.
func splitAddress(text string, r *Rule) (host, port string, at int) {
	sep := r.Sep
	if sep == "" {
		sep = ":"
	}
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return "[", "", -1 // not a host
		}
		if rest := text[end+1:]; strings.HasPrefix(rest, sep) {
			return text[:end+1], rest[len(sep):], end + 1 + len(sep)
		} else if rest != "" {
			return "[", "", -1
		}
		return text, "", -1
	}
	if r.Bare != "host" && portShaped.MatchString(text) {
		return "", text, 0
	}
	if !r.LastSep && sep == ":" {
		if _, err := netip.ParseAddr(text); err == nil {
			return text, "", -1
		}
	}
	if i := lastOutsideBraces(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], i + len(sep)
	}
	return text, "", -1
}

// lastOutsideBraces finds the last separator that is not part of a variable's default.
func lastOutsideBraces(text, sep string) int {
	limit := len(text)
	if open := strings.LastIndex(text, "${"); open >= 0 && strings.HasSuffix(text, "}") {
		limit = open
	}
	return strings.LastIndex(text[:limit], sep)
}

var (
	// A port is digits, a range, or a variable; a default inside a variable is digits at its end.
	portShaped   = regexp.MustCompile(`^(?:\d{1,5}|\d{1,5}-\d{1,5}|\$\{[A-Za-z0-9_.]+(?::?-\d{1,5})?\}|"?\$\{?[A-Za-z_][A-Za-z0-9_]*\}?"?|\{\{.*\}\}|@[A-Za-z0-9_]+@|%[A-Za-z0-9_]+%)$`)
	hostAllowed  = regexp.MustCompile(`^(?:\*|\[[0-9A-Fa-f:.*%A-Za-z]*\]|[A-Za-z0-9._*:%$\{\}+-]*)$`)
	localAllowed = regexp.MustCompile(`^(?:|\*|0\.0\.0\.0|::|\[::\])$`)
)

func hostShaped(host string) bool { return len(host) <= 255 && hostAllowed.MatchString(host) }

// anyHost tells whether an address binds every interface.
func anyHost(host string) bool { return localAllowed.MatchString(host) }

// loopbackHost tells whether an address is the container itself.
func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}

// readPort reads a port, a range or a variable with a numeric default, and where its digits are. A
// variable alone gives port 0; the number 0 and what is above 65535 are no ports.
func readPort(text string) (first, last uint16, start, end int, ok bool) {
	if !portShaped.MatchString(text) {
		return 0, 0, 0, 0, false
	}
	end = len(text)
	if c := text[0]; c == '$' || c == '"' || c == '{' || c == '@' || c == '%' {
		i := strings.LastIndexByte(text, '-')
		if c != '$' || i < 0 || !strings.HasSuffix(text, "}") {
			return 0, 0, 0, 0, true
		}
		start, end = i+1, len(text)-1
	}
	low, high, ranged := strings.Cut(text[start:end], "-")
	n, err := strconv.ParseUint(low, 10, 16)
	if err != nil || n == 0 {
		return 0, 0, 0, 0, false
	}
	if ranged {
		m, err := strconv.ParseUint(high, 10, 16)
		if err != nil || m < n {
			return 0, 0, 0, 0, false
		}
		last = uint16(m)
	}
	return uint16(n), last, start, end, true
}

// longestPrefix gives the longest key that text starts with.
func longestPrefix(text string, prefixes map[string]string) string {
	best := ""
	for p := range prefixes {
		if len(p) > len(best) && strings.HasPrefix(text, p) {
			best = p
		}
	}
	return best
}
