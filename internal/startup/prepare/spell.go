package prepare

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// show spells a path or a name for people: as it is where it can be read, else quoted, since names
// from images and volumes may hold anything, such as what moves a terminal's cursor.
func show(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) || r == utf8.RuneError || r == '"' || r == '\\' {
			return clip(strconv.Quote(s))
		}
	}
	return clip(s)
}

// clip keeps one name from filling the message.
func clip(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// shell spells a word for a shell. Control characters get bash's $'…', which dash's next release and
// POSIX 2024 know too.
func shell(s string) string {
	plain, printable := s != "", true
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			plain, printable = false, false
		} else if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/._-:,=+@%", c) >= 0) {
			plain = false
		}
	}
	switch {
	case plain:
		return s
	case printable:
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			b.WriteString(`\` + pad(strconv.FormatUint(uint64(c), 8), 3))
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + "'"
}

// yaml spells a string in a flow collection of YAML: plain where nothing of it has a meaning there,
// else as JSON has it, which YAML reads.
func yaml(s string) string {
	plain := s != ""
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '/' || c == '_'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '-' || c == '.')) {
			plain = false
		}
	}
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		plain = false
	}
	if plain {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r >= 0x7f && r < 0xa0:
			b.WriteString(`\u` + pad(strconv.FormatUint(uint64(r), 16), 4))
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

func pad(s string, n int) string { return strings.Repeat("0", max(0, n-len(s))) + s }

func octal(mode uint32) string { return pad(strconv.FormatUint(uint64(mode), 8), 4) }

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func owner(st status) string { return decimal(st.uid) + ":" + decimal(st.gid) }

// owner is what a path is to be given to.
func (id identity) owner() string { return decimal(id.uid) + ":" + decimal(id.gid) }

// words is who runs.
func (id identity) words() string {
	out := "uid " + decimal(id.uid) + ", gid " + decimal(id.gid)
	if len(id.groups) == 0 {
		return out
	}
	const most = 8
	out += ", groups"
	for i, g := range id.groups {
		if i == most {
			return out + " and " + strconv.Itoa(len(id.groups)-most) + " more"
		}
		out += " " + decimal(g)
	}
	return out
}
