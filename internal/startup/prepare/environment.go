package prepare

import "strings"

// settings is what the environment of the program must say.
type settings struct {
	home string // "": there is none, and what was there stays
	name string // login name
	java bool   // a Java machine must be told both, since no account file knows the user
}

// value is what a variable is set to; the first counts, as for getenv(3).
func value(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// environment is env with what settings ask for. HOME is set; USER and LOGNAME are, where they are
// missing or empty; JAVA_TOOL_OPTIONS gets what it does not say already. The order of the rest stays.
func environment(env []string, want settings) []string {
	out := append(make([]string, 0, len(env)+4), env...)
	if want.home != "" {
		out = set(out, "HOME", want.home)
	}
	for _, name := range []string{"USER", "LOGNAME"} {
		if want.name != "" && value(out, name) == "" {
			out = set(out, name, want.name)
		}
	}
	if want.java {
		out = set(out, javaOptions, withJava(value(out, javaOptions), value(out, "HOME"), value(out, "USER")))
	}
	return out
}

// set gives a variable a value: in its place where it is there, once.
func set(env []string, name, v string) []string {
	out, done := env[:0], false
	for _, e := range env {
		if strings.HasPrefix(e, name+"=") {
			if done {
				continue
			}
			e, done = name+"="+v, true
		}
		out = append(out, e)
	}
	if !done {
		out = append(out, name+"="+v)
	}
	return out
}

// javaOptions is read by every HotSpot and OpenJ9 machine (JVM Tool Interface, "JAVA_TOOL_OPTIONS").
const javaOptions = "JAVA_TOOL_OPTIONS"

// withJava appends the home and the name to a Java machine's options. What the options say already
// is the user's wish and stays.
func withJava(options, home, name string) string {
	for _, p := range [][2]string{{"-Duser.home=", home}, {"-Duser.name=", name}} {
		if p[1] == "" || strings.Contains(options, p[0]) {
			continue
		}
		if options != "" {
			options += " "
		}
		options += javaWord(p[0] + p[1])
	}
	return options
}

// javaWord spells one option in JAVA_TOOL_OPTIONS: white space ends an option, either quote mark
// keeps everything up to its next occurrence together, anywhere in a word, and nothing escapes one
// (HotSpot, Arguments::parse_options_buffer).
func javaWord(s string) string {
	if !strings.ContainsAny(s, " \t\n\v\f\r'\"") {
		return s
	}
	var b strings.Builder
	for i, part := range strings.Split(s, `"`) {
		if i > 0 {
			b.WriteString(`'"'`)
		}
		if part != "" {
			b.WriteString(`"` + part + `"`)
		}
	}
	return b.String()
}
