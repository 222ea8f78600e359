package survey

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/finding"
)

// moved makes the edits with another port, as the plan does.
func moved(t *testing.T, text string, places []finding.Edit, to uint16) string {
	t.Helper()
	edits := make([]finding.Edit, len(places))
	for i, e := range places {
		e.New += strconv.Itoa(int(to))
		edits[i] = e
	}
	out, err := finding.Apply([]byte(text), edits)
	if err != nil {
		t.Fatalf("%q with %+v: %v", text, edits, err)
	}
	return string(out)
}

func TestPortWords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		argv string // words, separated by one space; an underscore stands for a space in a word
		want string // the same with port 80 moved to 8080
	}{
		{"python3 -m http.server 80", "python3 -m http.server 8080"},
		{"server --listen=:80", "server --listen=:8080"},
		{"server --listen :80", "server --listen :8080"},
		{"server --port 80 --other x", "server --port 8080 --other x"},
		{"server --port=80 x", "server --port=8080 x"},
		{"server -p 80 x", "server -p 8080 x"},
		{"server -p80 x", "server -p8080 x"},
		{"server -l 80 x", "server -l 8080 x"},
		{"server --http-port 80 x", "server --http-port 8080 x"},
		{"server --server.port=80 x", "server --server.port=8080 x"},
		{"server -Dserver.port=80 x", "server -Dserver.port=8080 x"},
		{"server --bind 0.0.0.0:80 x", "server --bind 0.0.0.0:8080 x"},
		{"server --address=[::]:80 x", "server --address=[::]:8080 x"},
		{"server PORT=80 x", "server PORT=8080 x"},
		{"server [::]:80 x", "server [::]:8080 x"},
		{"sh -c exec_server_--port_80_--x", "sh -c exec_server_--port_8080_--x"},
		{"sh -c exec_server_--listen=':80'_&&_true", "sh -c exec_server_--listen=':8080'_&&_true"},
		{"sh -c python3_-m_http.server_80", "sh -c python3_-m_http.server_8080"},
		// What is no port of this container's own, or another one.
		{"80", "80"},
		{"server --port 8080 x", "server --port 8080 x"},
		{"server --port 180 x", "server --port 180 x"},
		{"server --port=1.80 x", "server --port=1.80 x"},
		{"server --upstream http://example.com:80/ x", "server --upstream http://example.com:80/ x"},
		{"server --upstream=http://example.com:80 x", "server --upstream=http://example.com:80 x"},
		{"server --workers 80 x", "server --workers 80 x"},
		{"slapd -h ldap:///_ldapi:///", "slapd -h ldap:///_ldapi:///"},
		{"server http:///", "server http://:8080/"},
		{"server -l http://0.0.0.0:80/,https://:443", "server -l http://0.0.0.0:8080/,https://:443"},
		{"server --upstream http://db/ http://db:80/", "server --upstream http://db/ http://db:80/"},
		{"server --timeout=80 x", "server --timeout=80 x"},
		{"server 80 x", "server 80 x"},
		{"server --version=80 x", "server --version=80 x"},
		{"sh -c sleep_80_&&_server_-x", "sh -c sleep_80_&&_server_-x"},
	}
	for _, tt := range tests {
		argv := strings.Split(tt.argv, " ")
		for i := range argv {
			argv[i] = strings.ReplaceAll(argv[i], "_", " ")
		}
		got := make([]string, len(argv))
		for i := range argv {
			got[i] = strings.ReplaceAll(moved(t, argv[i], PortWords(argv, i, 80), 8080), " ", "_")
		}
		if diff := cmp.Diff(tt.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", tt.argv, diff)
		}
	}
}

func TestPortInURL(t *testing.T) {
	t.Parallel()
	argv := []string{"slapd", "-h", "ldap:/// ldapi:/// ldaps://*/ ldap://127.0.0.1:389"}
	want := "ldap://:1389/ ldapi:/// ldaps://*/ ldap://127.0.0.1:1389"
	if got := moved(t, argv[2], PortWords(argv, 2, 389), 1389); got != want {
		t.Errorf("%s became %s, want %s", argv[2], got, want)
	}
}

func TestPortVariable(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		"PORT=80": "PORT=8080", "HTTP_PORT=80": "HTTP_PORT=8080", "LISTEN_ADDR=0.0.0.0:80": "LISTEN_ADDR=0.0.0.0:8080", "BIND=:80": "BIND=:8080",
		"ADDRESS=[::]:80": "ADDRESS=[::]:8080", "SERVERPORT=80": "SERVERPORT=8080", "ASPNETCORE_HTTP_PORTS=80": "ASPNETCORE_HTTP_PORTS=8080",
		"VERSION=80": "VERSION=80", "PORT=8080": "PORT=8080", "PORT=180": "PORT=180", "REPORT_LEVEL=80": "REPORT_LEVEL=80", "IMPORTANT=80": "IMPORTANT=80",
		"PORT": "PORT", "PORT=": "PORT=", "TRANSPORT_TIMEOUT=80": "TRANSPORT_TIMEOUT=80", "SUPPORTED=80": "SUPPORTED=80", "UPSTREAM=http://example.com:80": "UPSTREAM=http://example.com:80",
	} {
		if got := moved(t, env, PortVariable([]string{env}, 0, 80), 8080); got != want {
			t.Errorf("%s became %s, want %s", env, got, want)
		}
	}
}

func TestPortReferences(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"curl -f http://localhost/ || exit 1":              "curl -f http://localhost:8080/ || exit 1",
		"wget -q -O- http://127.0.0.1:80/health":           "wget -q -O- http://127.0.0.1:8080/health",
		"curl http://localhost":                            "curl http://localhost:8080",
		"curl 'http://localhost?x=80'":                     "curl 'http://localhost:8080?x=80'",
		"curl http://[::1]/":                               "curl http://[::1]:8080/",
		"curl http://[::1]:80/":                            "curl http://[::1]:8080/",
		"curl http://0.0.0.0:80/x":                         "curl http://0.0.0.0:8080/x",
		"curl http://$HOSTNAME/ http://${HOSTNAME}:80/":    "curl http://$HOSTNAME:8080/ http://${HOSTNAME}:8080/",
		"curl HTTP://LOCALHOST/":                           "curl HTTP://LOCALHOST:8080/",
		"nc -z localhost:80":                               "nc -z localhost:8080",
		"curl http://user@localhost:80/":                   "curl http://user@localhost:8080/",
		"nc -z localhost 80":                               "nc -z localhost 8080",
		"nc -z -w 3 127.0.0.1 80 || exit 1":                "nc -z -w 3 127.0.0.1 8080 || exit 1",
		"nc 127.0.0.1:80 localhost 8080 localhost 180":     "nc 127.0.0.1:8080 localhost 8080 localhost 180",
		"curl http://localhost:8080/":                      "curl http://localhost:8080/",
		"curl http://localhost:180/":                       "curl http://localhost:180/",
		"curl http://localhost:8000/":                      "curl http://localhost:8000/",
		"curl https://localhost/":                          "curl https://localhost/",
		"curl http://example.com/ http://example.com:80/":  "curl http://example.com/ http://example.com:80/",
		"curl http://localhost.example.com/":               "curl http://localhost.example.com/",
		"curl http://localhost-backup:80/":                 "curl http://localhost-backup:80/",
		"curl http://127.0.0.11/ http://127.0.0.1.nip.io/": "curl http://127.0.0.11/ http://127.0.0.1.nip.io/",
		"curl http://mylocalhost/":                         "curl http://mylocalhost/",
		"curl http://localhost:$PORT/":                     "curl http://localhost:$PORT/",
		"curl http://localhost:${PORT:-80}/":               "curl http://localhost:${PORT:-8080}/",
		"":                                                 "",
	} {
		if got := moved(t, text, PortReferences([]string{text}, 0, 80), 8080); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", text, got, want)
		}
	}
	test := []string{"CMD", "nc", "-z", "localhost", "80"}
	if got := moved(t, test[4], PortReferences(test, 4, 80), 8080); got != "8080" {
		t.Errorf("%q: %s", test, got)
	}
	test[3] = "db"
	if got := moved(t, test[4], PortReferences(test, 4, 80), 8080); got != "80" {
		t.Errorf("%q: %s", test, got)
	}
	if got := moved(t, "curl -k https://localhost/", PortReferences([]string{"curl -k https://localhost/"}, 0, 443), 8443); got != "curl -k https://localhost:8443/" {
		t.Error(got)
	}
}

// FuzzPorts: the places lie inside, apart from one another, and hold the port or nothing; after the
// move the new port is found in as many places, and the old one in none.
func FuzzPorts(f *testing.F) {
	for _, text := range []string{
		"curl -f http://localhost/ || exit 1", "http://127.0.0.1:80/health", "--listen=:80", "80", "-p80", "PORT=80", "localhost:80 http://localhost:80",
		"sh -c 'x --port 80'", "http://localhosthttp://localhost", "80 80 80", "--port=0.0.0.0:80 :80", "http://[::1]:8080", "a=:80", "\xff:80",
	} {
		f.Add(text, "--port", uint16(80), uint16(9091))
	}
	f.Fuzz(func(t *testing.T, text, before string, from, to uint16) {
		if from == 0 || to < 1024 || from >= 1024 {
			return
		}
		finders := map[string]func(string, uint16) []finding.Edit{
			"references": func(s string, port uint16) []finding.Edit { return PortReferences([]string{before, s}, 1, port) },
			"words":      func(s string, port uint16) []finding.Edit { return PortWords([]string{"x", before, s}, 2, port) },
			"variable":   func(s string, port uint16) []finding.Edit { return PortVariable([]string{s}, 0, port) },
		}
		for name, find := range finders {
			places, there := find(text, from), len(find(text, to))
			for _, e := range places {
				if e.Start < 0 || e.End > len(text) || e.Start > e.End || e.Start < e.End && text[e.Start:e.End] != strconv.Itoa(int(from)) {
					t.Fatalf("%s: edit %+v in %q", name, e, text)
				}
			}
			after := moved(t, text, places, to)
			if left := find(after, from); len(left) > 0 {
				t.Errorf("%s: %q became %q, which still names port %d at %+v", name, text, after, from, left)
			}
			if got := len(find(after, to)); got != len(places)+there {
				t.Errorf("%s: %q became %q: port %d is found %d times, want %d", name, text, after, to, got, len(places)+there)
			}
		}
	})
}
