package probe

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/verify"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want verify.Probe
	}{
		{"http://:8080/path", verify.Probe{Kind: "http", Address: "http://127.0.0.1:8080/path"}},
		{"http://", verify.Probe{Kind: "http", Address: "http://127.0.0.1:80/"}},
		{"https://:8443", verify.Probe{Kind: "http", Address: "https://127.0.0.1:8443/"}},
		{"https:///x?y=z#f", verify.Probe{Kind: "http", Address: "https://127.0.0.1:443/x?y=z"}},
		{"http://[::1]:8080/", verify.Probe{Kind: "http", Address: "http://[::1]:8080/"}},
		{"http://shop.example/", verify.Probe{Kind: "http", Address: "http://shop.example/"}},
		{"tcp://:5432", verify.Probe{Kind: "tcp", Address: "127.0.0.1:5432"}},
		{"tcp://[::1]:5432/", verify.Probe{Kind: "tcp", Address: "[::1]:5432"}},
		{"udp://:53", verify.Probe{Kind: "udp", Address: "127.0.0.1:53"}},
		{"unix:/run/x.sock", verify.Probe{Kind: "unix", Address: "/run/x.sock"}},
		{"unix:///run/x.sock", verify.Probe{Kind: "unix", Address: "/run/x.sock"}},
		{"unix:@name", verify.Probe{Kind: "unix", Address: "@name"}},
		{"exec:pg_isready -h /tmp", verify.Probe{Kind: "exec", Args: []string{"pg_isready", "-h", "/tmp"}}},
		{`exec: sh  -c "a \"b\" $c" '' x\ y '\z'`, verify.Probe{Kind: "exec", Args: []string{"sh", "-c", `a "b" $c`, "", "x y", `\z`}}},
	}
	for _, test := range tests {
		got, err := Parse(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.text, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                  "it has no kind",
		"8080":              "it has no kind",
		"ftp://:21":         `there is no kind "ftp"`,
		"http:8080":         "the address begins with //",
		"http://:0/":        `the port "0"`,
		"http://:99999/":    `the port "99999"`,
		"http://u:p@:80/":   "it names a user",
		"http://[::1/":      "missing ']'",
		"tcp:5432":          "the address begins with //",
		"tcp://localhost":   "is not HOST:PORT",
		"tcp://:http":       `the port "http"`,
		"unix:run/x.sock":   "is absolute",
		"unix:":             "is absolute",
		"unix://run/x.sock": "is absolute",
		"unix:/a\x00b":      "zero byte",
		"exec:":             "names no command",
		"exec:  ":           "names no command",
		"exec:sh -c 'x":     "a quote is not closed",
		"exec:sh \x00":      "zero byte",
	} {
		_, err := Parse(text)
		var form *FormError
		if !errors.As(err, &form) || !strings.Contains(err.Error(), want) || form.Hint() == "" {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// FuzzParse holds that what Parse takes can be asked: its address is one, and printed it is read the same again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"http://:8080/path", "https://[::1]:1/?q", "tcp://:5432", "udp://h:53/", "unix:/run/x", "exec:a 'b c' \\d", "http://%", "tcp://[::1%25eth0]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		switch p.Kind {
		case "http":
			_, _, err = webEndpoint(p.Address)
			if again, e := Parse(p.Address); e != nil || again.Address != p.Address {
				t.Errorf("%q: %q is read as %q, %v", text, p.Address, again.Address, e)
			}
		case "exec":
			if len(p.Args) == 0 {
				t.Errorf("%q has no command", text)
			}
		default:
			_, err = endpointOf(p)
		}
		if err != nil {
			t.Errorf("%q cannot be asked: %v", text, err)
		}
	})
}
