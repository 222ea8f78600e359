package recipe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unroot/internal/finding"
)

func FuzzRead(f *testing.F) {
	inputs, err := filepath.Glob("testdata/*/*.in")
	if err != nil || len(inputs) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range inputs {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("x.conf", content)
	}
	for _, s := range []string{
		"listen 80", "server { listen [::1; }", "bind :80-70\n", "frontend a\n bind ::1:80,\"", "a: {b: [", "port: |\n  80\nport: 80",
		"Listen 80 \\", "<VirtualHost", "</>", "<>", "[", "[[a]]\nport=1", "server.port = (80", "x = \"\"\"", "export PORT=\"80", "PORT=${PORT:=80}",
		"{\"port\": 80", "listen ${PORT:-80};", "listen 00080;", "options { listen-on", "server:\n", "- - - port: 80", "\"port\" : 80", "'", "`", "${", "}", "-p 80",
	} {
		f.Add("", []byte(s))
	}
	f.Fuzz(func(t *testing.T, path string, content []byte) {
		for _, d := range Read(path, content) {
			checkDirective(t, path, content, d)
		}
		for _, name := range Recognise(path, content) {
			for _, r := range References(content, name, 80) {
				if digits := strings.TrimLeft(string(content[r.Start:r.End]), "0"); digits != "80" {
					t.Fatalf("reference %+v: %q", r, digits)
				}
			}
		}
	})
}

// checkDirective holds what every directive promises to who edits by it.
func checkDirective(t *testing.T, path string, content []byte, d Directive) {
	t.Helper()
	if !within(content, d.Start, d.End) || !within(content, d.ValueStart, d.ValueEnd) || !within(content, d.PortStart, d.PortEnd) {
		t.Fatalf("%+v: out of range of %d bytes", d, len(content))
	}
	if d.Line != 1+strings.Count(string(content[:d.Start]), "\n") {
		t.Fatalf("%+v: wrong line", d)
	}
	if string(content[d.ValueStart:d.ValueEnd]) != d.Value || d.Port != 0 && d.PortStart == d.PortEnd || d.Fatal && !d.Drop {
		t.Fatalf("%+v: does not agree with itself", d)
	}
	if _, err := finding.Apply(content, []finding.Edit{Remove(content, d)}); err != nil {
		t.Fatalf("%+v: remove: %v", d, err)
	}
	if d.Port == 0 && d.Implied == 0 {
		if e := MovePort(content, d, 8080); e.New != "" || e.Start != e.End {
			t.Fatalf("%+v: moves what is no port: %+v", d, e)
		}
		return
	}
	after, err := finding.Apply(content, []finding.Edit{MovePort(content, d, 8080)})
	if err != nil {
		t.Fatalf("%+v: move: %v", d, err)
	}
	for _, again := range Read(path, after) {
		sameKey := again.Key == d.Key || d.ValueStart == d.Start // a site address is its own key
		if again.Port == 8080 && sameKey && again.Role == d.Role && again.PortStart >= d.PortStart && again.PortStart <= d.PortEnd+len(d.Insert) {
			return
		}
	}
	if len(after) <= MaxContent {
		t.Fatalf("%+v: not found again in\n%q", d, after)
	}
}

// TestHostileSizes: every grammar reads a hostile file in time that grows with its length only.
func TestHostileSizes(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{
		"{", "}", "[", "]", "(", ")", "<", "\"", "'", "`", "\\", "\\\n", "${", "{{", "#", "/*", "//", "a\n", "a ", "a=b\n", "a: b\n", "- ", "-\n", " ", "\n",
		"a{", "a{\n", "a {\n", "<a>\n", "[a]\n", "a:\n", "listen 80;", "listen 80;\n", "listen 80\n", "bind :80,", "frontend a\n", "\"a\":[", "{\"a\":", "|\n", "a: |\n",
		"=", ":", "a=", "a:", "a: \"", "$(", "((", "`a", "if ", "x = (\n", "server:\n", "'''", "\"\"\"", "\r", "a\x01",
	} {
		for _, head := range []string{"", "server.modules = ( "} {
			content := []byte(head + strings.Repeat(piece, (1<<16)/len(piece)))
			for name, g := range dialects().grammars {
				start := time.Now()
				doc := lex(g, content)
				if took := time.Since(start); took > 3*time.Second { // milliseconds, or minutes where it is quadratic
					t.Errorf("%q after %q as %s: %v", piece, head, name, took)
				}
				if len(doc.statements) > maxStatements || len(doc.sections) > maxStatements+1 {
					t.Errorf("%q after %q as %s: %d statements", piece, head, name, len(doc.statements))
				}
			}
		}
	}
}
