package prepare

import (
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  string
		want settings
		out  string
	}{
		{"nothing", "PATH=/bin", settings{}, "PATH=/bin"},
		{"what is missing", "PATH=/bin", settings{home: "/run/unroot/home", name: "app"}, "PATH=/bin HOME=/run/unroot/home USER=app LOGNAME=app"},
		{"what is there stays in its place", "HOME=/old A=b USER=me", settings{home: "/new", name: "app"}, "HOME=/new A=b USER=me LOGNAME=app"},
		{"empty is missing", "USER= LOGNAME=", settings{name: "app"}, "USER=app LOGNAME=app"},
		{"twice", "HOME=/a HOME=/b X=1", settings{home: "/c"}, "HOME=/c X=1"},
		{"java", "HOME=/h USER=u", settings{home: "/h", name: "app", java: true}, "HOME=/h USER=u LOGNAME=app JAVA_TOOL_OPTIONS=-Duser.home=/h|-Duser.name=u"},
		{"java with options", "JAVA_TOOL_OPTIONS=-Xmx1g|-Duser.name=me HOME=/h USER=u LOGNAME=u", settings{java: true}, "JAVA_TOOL_OPTIONS=-Xmx1g|-Duser.name=me|-Duser.home=/h HOME=/h USER=u LOGNAME=u"},
	} {
		split := func(s string) []string {
			out := strings.Fields(s)
			for i := range out {
				out[i] = strings.ReplaceAll(out[i], "|", " ")
			}
			return out
		}
		env := split(test.env)
		before := slices.Clone(env)
		if got, want := environment(env, test.want), split(test.out); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", test.name, got, want)
		}
		if !slices.Equal(env, before) {
			t.Errorf("%s: the caller's environment was changed to %q", test.name, env)
		}
	}
}

func TestJavaWord(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"-Da=b", "-Da=b c", `-Da="b"`, `-Da=it's "so"`, "-Da=\ttab", `""`, `"`, `'`, `a"'b`} {
		if got := javaSplit(javaWord(word) + " -Xnext"); !slices.Equal(got, []string{word, "-Xnext"}) {
			t.Errorf("%q is spelled %q, which a Java machine reads as %q", word, javaWord(word), got)
		}
	}
}

// javaSplit reads options as HotSpot does.
func javaSplit(s string) (out []string) {
	space := func(c byte) bool { return strings.IndexByte(" \t\n\v\f\r", c) >= 0 }
	for i := 0; i < len(s); {
		for i < len(s) && space(s[i]) {
			i++
		}
		if i == len(s) {
			break
		}
		var token []byte
		for i < len(s) && !space(s[i]) {
			if c := s[i]; c == '\'' || c == '"' {
				for i++; s[i] != c; i++ {
					token = append(token, s[i])
				}
				i++
				continue
			}
			token = append(token, s[i])
			i++
		}
		out = append(out, string(token))
	}
	return out
}
