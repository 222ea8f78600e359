package survey

import (
	"regexp"
	"strconv"
	"strings"

	"unroot/internal/finding"
)

// Where a port stands in a command line, an environment or a health check, as bytes. Each function
// gives edits whose New is empty; the caller puts the new port there.

// portFlag is an option that takes a port as the next word.
var portFlag = regexp.MustCompile(`^--?(p|port|[a-z-]*[-_]port|listen|bind|addr|address|l)$`)

// portOption is an option or assignment that names a port in the same word, up to the port.
var portOption = regexp.MustCompile(`^(?:-p|--?[A-Za-z0-9.-]*(?:port|listen|bind|addr|address)=|[A-Za-z0-9_.]*(?i:port|listen|bind|addr|address)=)(?:[^,\s]*:)?$`)

// PortWords finds a port in the word at i of a command line: "-p" "80", "--port=80", ":80",
// "0.0.0.0:80", and a last word "80" of a command, such as python's http.server takes. A word of
// several words (sh -c "…") is searched for the same forms.
func PortWords(argv []string, i int, port uint16) []finding.Edit {
	if strings.ContainsAny(strings.TrimSpace(argv[i]), " \t\n") {
		return portsInLine(argv[i], port)
	}
	before := ""
	if i > 0 {
		before = argv[i-1]
	}
	return portInWord(argv[i], before, i > 0 && i == len(argv)-1, port)
}

func portInWord(word, before string, last bool, port uint16) []finding.Edit {
	if edits := portInURL(word, port); edits != nil {
		return edits
	}
	digits := strconv.Itoa(int(port))
	head, ok := strings.CutSuffix(word, digits)
	if !ok {
		return nil
	}
	at := []finding.Edit{{Start: len(head), End: len(word)}}
	switch {
	case head == "" && (portFlag.MatchString(before) || last):
		return at
	case strings.HasSuffix(head, ":") && !strings.Contains(head, "/") && !strings.Contains(head, "="):
		return at
	case portOption.MatchString(head):
		return at
	}
	return nil
}

// serverURL is an address to listen on that is written as a URL, as slapd and many servers of
// message queues take it: the host is left out, or every or the container's own address.
var serverURL = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*)://(?:\*|0\.0\.0\.0|\[::\]|localhost|127\.0\.0\.1|\[::1\])?(:[0-9]+)?(?:[/?,]|$)`)

// schemePorts is the ports that URLs mean which name none (IANA's registry of URI schemes and RFC 4516
// for ldap).
var schemePorts = map[string]uint16{"http": 80, "https": 443, "ldap": 389, "ldaps": 636}

// portInURL finds a port in addresses that are written as URLs. Where the scheme means the port, the
// edit inserts it.
func portInURL(word string, port uint16) []finding.Edit {
	var edits []finding.Edit
	for _, m := range serverURL.FindAllStringSubmatchIndex(word, -1) {
		switch scheme := strings.ToLower(word[m[2]:m[3]]); {
		case m[4] >= 0 && word[m[4]+1:m[5]] == strconv.Itoa(int(port)):
			edits = append(edits, finding.Edit{Start: m[4] + 1, End: m[5]})
		case m[4] < 0 && schemePorts[scheme] == port:
			at := authorityEnd(word, m[0], m[1])
			edits = append(edits, finding.Edit{Start: at, End: at, New: ":"})
		}
	}
	return edits
}

// authorityEnd is where the host of the URL in word[start:end] ends.
func authorityEnd(word string, start, end int) int {
	host := start + strings.Index(word[start:end], "://") + len("://")
	if i := strings.IndexAny(word[host:], "/?,"); i >= 0 {
		return host + i
	}
	return len(word)
}

// portsInLine goes over the words of a shell command line. Quotes stay with their words; a word
// that a quote ends is looked at without it.
func portsInLine(line string, port uint16) []finding.Edit {
	var edits []finding.Edit
	before := ""
	words := wordPattern.FindAllStringIndex(line, -1)
	for n, w := range words {
		word := line[w[0]:w[1]]
		for _, e := range portInWord(word, before, n == len(words)-1 && n > 0, port) {
			edits = append(edits, finding.Edit{Start: w[0] + e.Start, End: w[0] + e.End, New: e.New})
		}
		before = word
	}
	return edits
}

var wordPattern = regexp.MustCompile(`[^\s"';|&()<>]+`)

// portName is a variable that holds a port or an address to listen on.
var portName = regexp.MustCompile(`(?i)(^|_)(PORT|PORTS|LISTEN|BIND|ADDR|ADDRESS)($|_)|PORT$`)

// PortVariable finds a port that is the value, or the end of the address that is the value, of a
// variable of an environment whose name says so.
func PortVariable(env []string, i int, port uint16) []finding.Edit {
	name, value, ok := strings.Cut(env[i], "=")
	digits := strconv.Itoa(int(port))
	head, ends := strings.CutSuffix(value, digits)
	if !ok || !ends || !portName.MatchString(name) || head != "" && !strings.HasSuffix(head, ":") {
		return nil
	}
	end := len(env[i])
	return []finding.Edit{{Start: end - len(digits), End: end}}
}

// loopbackURL is a URL of the container itself: scheme, host, and perhaps a port. What follows must
// be looked at too: see ownHost.
var loopbackURL = regexp.MustCompile(`(?i)\b(https?)://(localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0|\$\{?HOSTNAME\}?)(:[0-9]+)?`)

// loopbackAddress is host:port of the container itself, also with the port as a variable's default,
// and host and port as two words, as nc takes them.
var loopbackAddress = regexp.MustCompile(`(?i)(?:^|[\s"'=/@])(?:localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0)(?::|:\$\{\w+:?-|[ \t]+)([0-9]+)\b`)

// loopbackHost is the container itself as a word of a command line.
var loopbackHost = regexp.MustCompile(`(?i)^(?:localhost|127\.0\.0\.1|::1|0\.0\.0\.0)$`)

var defaultPorts = map[string]uint16{"http": 80, "https": 443}

// ownHost reports whether the host of a URL ends where it was found to end: "localhost/" does,
// "localhost.example" and "127.0.0.11" do not, and behind a ":" comes a port that is not written out.
func ownHost(text string, end int) bool {
	if end == len(text) {
		return true
	}
	c := text[end]
	return strings.IndexByte(":.-_%@", c) < 0 && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c < 0x80
}

// PortReferences finds where the word at i of a command line, such as a health check, speaks to a
// port of its own container. A URL without a port means its scheme's: the edit then inserts, and New
// is ":" for the caller to put the port behind.
func PortReferences(argv []string, i int, port uint16) []finding.Edit {
	text, digits := argv[i], strconv.Itoa(int(port))
	if text == digits && i > 0 && loopbackHost.MatchString(argv[i-1]) {
		return []finding.Edit{{Start: 0, End: len(text)}}
	}
	var edits []finding.Edit
	seen := map[int]bool{}
	for _, m := range loopbackURL.FindAllStringSubmatchIndex(text, -1) {
		scheme := strings.ToLower(text[m[2]:m[3]])
		switch {
		case !ownHost(text, m[1]):
		case m[6] >= 0 && text[m[6]+1:m[7]] == digits:
			edits = append(edits, finding.Edit{Start: m[6] + 1, End: m[7]})
			seen[m[6]+1] = true
		case m[6] < 0 && defaultPorts[scheme] == port:
			edits = append(edits, finding.Edit{Start: m[1], End: m[1], New: ":"})
		}
	}
	for _, m := range loopbackAddress.FindAllStringSubmatchIndex(text, -1) {
		if text[m[2]:m[3]] == digits && !seen[m[2]] {
			edits = append(edits, finding.Edit{Start: m[2], End: m[3]})
		}
	}
	return edits
}
