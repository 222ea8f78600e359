package recipe

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDataNamesNoPath holds the law that dialects name no path of one package. Patterns may hold a
// slash as the start of any path, but no path of two names, and no directory of the root.
func TestDataNamesNoPath(t *testing.T) {
	t.Parallel()
	path := regexp.MustCompile(`(^|[^A-Za-z0-9_.*\])])/[A-Za-z0-9_.-]{2,}`)
	for i, line := range strings.Split(string(dialectData), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		if m := path.FindString(line); m != "" {
			t.Errorf("line %d names the path %q: %s", i+1, m, line)
		}
	}
	if path.FindString(`match: "/etc/x"`) == "" || path.FindString("value: /run/x.pid") == "" {
		t.Error("the pattern finds no paths")
	}
}

func TestDataIsStrict(t *testing.T) {
	t.Parallel()
	const head = "grammars:\n  g: {form: lines}\ndialects:\n"
	const good = head + "  - {name: a, doc: d, grammar: g, signs: [{key: x}], rules: [{key: [x], role: listen, kind: port}]}\n"
	if _, err := load([]byte(good)); err != nil {
		t.Fatalf("good data: %v", err)
	}
	for name, tc := range map[string]struct{ from, to, want string }{
		"unknown field":     {"doc: d", "doc: d, extra: 1", "extra"},
		"unknown rule":      {"kind: port", "kind: port, colour: 1", "colour"},
		"unknown grammar":   {"grammar: g", "grammar: h", `grammar "h"`},
		"unknown form":      {"form: lines", "form: prose", `form "prose"`},
		"unknown role":      {"role: listen", "role: bind", `role "bind"`},
		"unknown kind":      {"kind: port", "kind: number", `kind "number"`},
		"no doc":            {"doc: d, ", "", "doc"},
		"no signs":          {"signs: [{key: x}], ", "", "signs"},
		"no key":            {"key: [x]", "key: []", "key"},
		"fatal stays":       {"kind: port", "kind: port, fatal: true", "drop"},
		"bad pattern":       {"kind: port", "kind: port, match: '('", "pattern"},
		"two groups":        {"kind: port", "kind: port, match: '(a)(b)'", "one group"},
		"bad proto":         {"kind: port", "kind: port, proto: sctp", "sctp"},
		"implied, nowhere":  {"kind: port", "kind: port, implied: 80", "{port}"},
		"bad bare":          {"kind: port", "kind: port, bare: both", "both"},
		"reference, no use": {"role: listen, kind: port", "role: reference, kind: path", "reference"},
	} {
		data := strings.Replace(good, tc.from, tc.to, 1)
		if data == good {
			t.Fatalf("%s: nothing replaced", name)
		}
		if _, err := load([]byte(data)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one that names %q", name, err, tc.want)
		}
	}
	twice := good + "  - {name: a, doc: d, grammar: g, signs: [{key: x}], rules: []}\n"
	if _, err := load([]byte(twice)); err == nil {
		t.Error("a dialect may be there twice")
	}
}

func TestDialects(t *testing.T) {
	t.Parallel()
	all := Dialects()
	if len(all) < 20 {
		t.Fatalf("%d dialects", len(all))
	}
	used := map[string]bool{}
	for _, d := range all {
		used[d.Grammar] = true
		if !strings.HasSuffix(d.Doc, ".") {
			t.Errorf("%s: doc %q is no sentence", d.Name, d.Doc)
		}
		if !slices.ContainsFunc(d.Rules, func(r Rule) bool { return r.Role == Listen }) && d.Name != "slapd" {
			t.Errorf("%s: no rule for listening", d.Name)
		}
	}
	for name := range dialects().grammars {
		if !used[name] {
			t.Errorf("grammar %s is not used", name)
		}
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ path, content, want string }{
		"empty":              {"a.conf", "", ""},
		"only comments":      {"nginx.conf", "# listen 80;\n", ""},
		"binary":             {"nginx.conf", "server { listen 80; }\x00", ""},
		"prose":              {"README", "To listen on a port, set port to 80 and restart the server.\n", ""},
		"go source":          {"main.go", "package main\n\nfunc main() {\n\tlisten(80);\n}\n", ""},
		"shell program":      {"run.sh", "#!/bin/sh\nPORT=80\nexec server\n", ""},
		"passwd":             {"passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n", ""},
		"services":           {"services", "http\t80/tcp\twww\nhttps\t443/tcp\n", ""},
		"unclosed braces":    {"a", "server { listen 80;", "nginx"},
		"name does not lie":  {"nginx.conf", "Listen 80\n<VirtualHost *:80>\n</VirtualHost>\n", "apache"},
		"nginx one line":     {"x", "listen 80;", "nginx"},
		"apache one line":    {"x", "Listen 80\n", "apache"},
		"haproxy no global":  {"x", "frontend f\n  bind :80\n", "haproxy"},
		"spring yaml":        {"application.yml", "server:\n  port: 80\n", "yaml"},
		"spring properties":  {"application.properties", "server.port=80\n", "pairs"},
		"unbound, not yaml":  {"x", "server:\n  port: 80\n  do-ip6: no\n", "unbound"},
		"toml":               {"x.toml", "[http]\nport = 80\n", "pairs"},
		"json":               {"x.json", `{"port": 80}`, "json"},
		"compose":            {"compose.yml", "services:\n  web:\n    image: x\n    ports:\n      - \"80:80\"\n", ""},
		"client settings":    {"x.yml", "smtp:\n  port: 25\nremote:\n  address: :80\n", ""},
		"a template":         {"x", "{{ if .Port }}port = 80{{ end }}\n", ""},
		"php pool in docker": {"zz.conf", "[global]\ndaemonize = no\n\n[www]\nlisten = 9000\n", "php-fpm"},
		"windows line ends":  {"x", "server {\r\n\tlisten 80;\r\n}\r\n", "nginx"},
	} {
		got := strings.Join(Recognise(tc.path, []byte(tc.content)), " ")
		if first, _, _ := strings.Cut(got, " "); first != tc.want {
			t.Errorf("%s: %q, want %q first", name, got, tc.want)
		}
	}
	if got := Recognise("x", []byte(strings.Repeat("listen 80;\n", MaxContent/10))); len(got) != 0 {
		t.Errorf("over the limit: %q", got)
	}
}
