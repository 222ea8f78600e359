package entrypoint

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHostile reads scripts that are made to cost time, memory or stack.
func TestHostile(t *testing.T) {
	t.Parallel()
	nested := func(open, body, shut string, n int) string {
		return strings.Repeat(open, n) + body + strings.Repeat(shut, n)
	}
	many := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	cases := map[string]string{
		"subshells":        nested("(\n", "chown a b", "\n)", 200_000),
		"substitutions":    nested("$(", "id", ")", 200),
		"deep conditions":  nested("if [ -n \"$x\" ]; then\n", "chown a b\n", "fi\n", 5_000),
		"elif":             "if a; then b;\n" + many("elif [ \"$x\" = %d ]; then chown a /p;\n", 20_000) + "fi",
		"and list":         strings.Repeat("a&&", 300_000) + "b",
		"pipeline":         strings.Repeat("a|", 300_000) + "b",
		"arithmetic":       "((" + strings.Repeat("1+", 400_000) + "1))",
		"negations":        "((" + strings.Repeat("!", 900_000) + "1))",
		"recursion":        "f() { f; f; g; }; g() { f; g; }; f",
		"calls of calls":   many("f%[1]d() { f%[1]d0; f%[1]d1; f%[1]d0; f%[1]d1; }\n", 10) + many("f%[1]d0() { f%[1]d1; }\n", 100) + many("f%d\n", 10),
		"doubling":         "x=aaaaaaaa\n" + strings.Repeat("x=$x$x\n", 60) + "chown a /$x",
		"doubling args":    "set -- a b\n" + strings.Repeat("set -- \"$@\" \"$@\"\n", 60) + "exec gosu a \"$@\"",
		"doubling array":   "a=(x y)\n" + strings.Repeat("a=(\"${a[@]}\" \"${a[@]}\")\n", 60) + "\"${a[@]}\"",
		"braces":           "mkdir " + strings.Repeat("{a,b,{c,d}}", 40),
		"case items":       "case $x in\n" + many("%d*) chown a /p ;;\n", 20_000) + "esac",
		"loops in loops":   nested("for i in 1 2 3 4 5 6 7 8; do\n", "chown a /$i\n", "done\n", 40),
		"while in while":   nested("while [ \"$KNOWN\" ]; do\n", "chown a /$i\n", "done\n", 40),
		"variables":        many("x%d=1\n", 60_000) + many("if a%d; then x=1; fi\n", 10_000),
		"children":         many("export x%d=1\n", 20_000) + many("/e.sh %d\n", 10_000),
		"tests":            "[ " + strings.Repeat("! ", 10_000) + "x ]\n[ " + strings.Repeat("( ", 10_000) + "x ]",
		"long pattern":     "case aaaaaaaaaaaaaaaaaaaaaaaaaaaa in " + strings.Repeat("*a", 20_000) + ") x;; esac",
		"commands":         many("chown a /p%d\n", 60_000),
		"edits":            "set -e\n" + many("chown a /p%d\n", 60_000),
		"sources itself":   ". /e.sh\n. /e.sh\nchown a /b",
		"runs itself":      "/e.sh\n/e.sh x\nexec /e.sh \"$@\"",
		"text in text":     "sh -c 'sh -c \"sh -c x\"; eval \"eval \\\"x\\\"\"'",
		"too large":        strings.Repeat("# comment\n", 200_000),
		"trims":            "x=" + strings.Repeat("ab", 500) + "\n" + strings.Repeat("y=${x%%*b*b*b}; y=${x##*a*a*a}\n", 5_000),
		"pieces":           "x='" + strings.Repeat("a ", 4000) + "'\n" + strings.Repeat("chown a $x\n", 20_000),
		"captured":         "f() { echo $(f) $(f); }\nx=$(f)$(f)",
		"continued lines":  strings.Repeat("\\\n", 500_000) + "chown a b",
		"here-documents":   strings.Repeat("cat <<A <<B\nx\nA\ny\nB\n", 20_000),
		"many assignments": "a=" + strings.Repeat("$(id)", 50_000),
	}
	for name, script := range cases {
		t.Run(name, func(t *testing.T) {
			fs := tree{}
			fs.add(File{Path: "/e.sh", Content: []byte(script), Interp: "/bin/bash", Executable: true})
			fs.add(File{Path: "/bin/bash", ELF: true, Executable: true})
			began := time.Now()
			story := Read(fs, Start{Entrypoint: []string{"/e.sh"}, Cmd: []string{"server"}, Env: []string{"KNOWN=yes"}})
			took := time.Since(began)
			t.Logf("%d bytes: %v, %d tasks, %d problems", len(script), took.Round(time.Millisecond), len(story.Tasks), len(story.Problems))
			if took > 20*time.Second { // two cores that others use too
				t.Errorf("reading took %v", took)
			}
			if len(story.Tasks) > maxTasks {
				t.Errorf("%d tasks", len(story.Tasks))
			}
		})
	}
}
