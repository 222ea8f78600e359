package recipe

import (
	"testing"

	"unroot/internal/finding"
)

func TestRemove(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ before, want string }{
		"own line":           {"user a;\nlisten 80;\n", "listen 80;\n"},
		"indented":           {"\tuser a;\nlisten 80;\n", "listen 80;\n"},
		"last, no newline":   {"listen 80;\nuser a;", "listen 80;\n"},
		"note after it":      {"user a; # note\nlisten 80;\n", " # note\nlisten 80;\n"},
		"with another":       {"user a; listen 80;\n", " listen 80;\n"},
		"after another":      {"listen 80; user a;\n", "listen 80;\n"},
		"windows line ends":  {"user a;\r\nlisten 80;\r\n", "listen 80;\r\n"},
		"over two lines":     {"user\n  a;\nlisten 80;\n", "listen 80;\n"},
		"haproxy, the whole": {"global\n\tuser a\n\tmaxconn 1\n", "global\n\tmaxconn 1\n"},
		"haproxy, two words": {"global\n\tstats socket /s user a mode 600\n", "global\n\tstats socket /s mode 600\n"},
		"unbound, replaced":  {"server:\n  username: \"a\"\n  chroot: \"\"\n  do-ip6: no\n", "server:\n  username: \"\"\n  chroot: \"\"\n  do-ip6: no\n"},
		"unbound, unquoted":  {"server:\n  username: \"\"\n  chroot: /a # here\n  do-ip6: no\n", "server:\n  username: \"\"\n  chroot: \"\" # here\n  do-ip6: no\n"},
		"unbound, absent":    {"server:\n  do-ip6: no\n", "server:\n    username: \"\"\n    chroot: \"\"\n  do-ip6: no\n"},
		"a name is needed":   {"ServerType inetd\nUser a\n", "ServerType inetd\nUser a\n"},
	} {
		var edits []finding.Edit
		for _, d := range Read("x", []byte(tc.before)) {
			if d.Drop {
				edits = append(edits, Remove([]byte(tc.before), d))
			}
		}
		got, err := finding.Apply([]byte(tc.before), edits)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tc.want)
		}
	}
}

func TestRemoveFromJSON(t *testing.T) {
	t.Parallel()
	for before, want := range map[string]string{
		`{"port": 80, "a": 1}`:              `{ "a": 1}`,
		`{"a": 1, "port": 80}`:              `{"a": 1}`,
		`{"port": 80}`:                      `{}`,
		"{\n  \"port\": 80,\n  \"a\": 1\n}": "{\n  \"a\": 1\n}",
	} {
		d := Read("x.json", []byte(before))
		if len(d) != 1 {
			t.Fatalf("%s: %v", before, d)
		}
		got, err := finding.Apply([]byte(before), []finding.Edit{Remove([]byte(before), d[0])})
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", before, got, err, want)
		}
	}
}

func TestEditsOutsideChangeNothing(t *testing.T) {
	t.Parallel()
	content := []byte("listen 80;")
	for _, d := range []Directive{
		{Start: -1, End: 4, PortStart: 1, PortEnd: 99, Port: 80, ValueEnd: 400},
		{Start: 90, End: 95, PortStart: 9, PortEnd: 1, Port: 80, ValueStart: -3},
	} {
		for _, e := range []finding.Edit{MovePort(content, d, 1), Remove(content, d), SetValue(content, d, "x")} {
			got, err := finding.Apply(content, []finding.Edit{e})
			if err != nil || string(got) != string(content) {
				t.Errorf("%+v: %+v gives %q, %v", d, e, got, err)
			}
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	plain, haproxy, unbound := &Rule{Prefixes: map[string]string{"unix:": "unix"}}, &Rule{LastSep: true}, &Rule{Sep: "@", Bare: "host"}
	for _, tc := range []struct {
		text   string
		rule   *Rule
		ok     bool
		host   string
		port   uint16
		last   uint16
		socket string
	}{
		{text: "80", rule: plain, ok: true, port: 80},
		{text: "0", rule: plain},
		{text: "65536", rule: plain},
		{text: "80x", rule: plain, ok: true, host: "80x"},
		{text: ":80", rule: plain, ok: true, port: 80},
		{text: "*:80", rule: plain, ok: true, host: "*", port: 80},
		{text: "[::]:80", rule: plain, ok: true, host: "[::]", port: 80},
		{text: "[::]", rule: plain, ok: true, host: "[::]"},
		{text: "[::]80", rule: plain},
		{text: "[::", rule: plain},
		{text: "::1", rule: plain, ok: true, host: "::1"},
		{text: "::1:80", rule: plain, ok: true, host: "::1:80"},
		{text: "::1:80", rule: haproxy, ok: true, host: "::1", port: 80},
		{text: ":::80", rule: haproxy, ok: true, host: "::", port: 80},
		{text: ":80-85", rule: haproxy, ok: true, port: 80, last: 85},
		{text: ":85-80", rule: haproxy},
		{text: "127.0.0.1@53", rule: unbound, ok: true, host: "127.0.0.1", port: 53},
		{text: "53", rule: unbound, ok: true, host: "53"},
		{text: "unix:/a:80", rule: plain, ok: true, socket: "/a:80"},
		{text: "/a", rule: plain, ok: true, socket: "/a"},
		{text: "host:http", rule: plain},
		{text: "a b:80", rule: plain},
		{text: "$PORT", rule: plain, ok: true},
		{text: "${HOST}:${PORT}", rule: plain, ok: true, host: "${HOST}"},
		{text: "${PORT:-80}", rule: plain, ok: true, port: 80},
		{text: "*:${PORT:-80}", rule: plain, ok: true, host: "*", port: 80},
		{text: "", rule: plain},
	} {
		a, ok := readAddress(tc.text, tc.rule)
		if ok != tc.ok || ok && (a.host != tc.host || a.port != tc.port || a.last != tc.last || a.socket != tc.socket) {
			t.Errorf("%q: %+v, %v", tc.text, a, ok)
		}
	}
}

func TestMovePort(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		before string
		to     uint16
		want   string
	}{
		"digits":        {"listen 80;", 8080, "listen 8080;"},
		"implied":       {"listen 127.0.0.1;", 8080, "listen 127.0.0.1:8080;"},
		"variable":      {"listen ${PORT};", 8080, "listen ${PORT};"},
		"default":       {"listen ${PORT:-80};", 8080, "listen ${PORT:-8080};"},
		"range":         {"listen a\n bind :20-25\n", 8020, "listen a\n bind :8020-8025\n"},
		"range, at end": {"listen a\n bind :20-25\n", 65533, "listen a\n bind :65533-65535\n"},
		"clause":        {"server:\n  do-ip6: no\n", 5353, "server:\n    port: 5353\n  do-ip6: no\n"},
	} {
		var edits []finding.Edit
		for _, d := range Read("x", []byte(tc.before)) {
			edits = append(edits, MovePort([]byte(tc.before), d, tc.to))
		}
		got, err := finding.Apply([]byte(tc.before), edits)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tc.want)
		}
	}
}
