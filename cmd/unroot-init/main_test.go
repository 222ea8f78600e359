//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"unroot/internal/startup"
)

// asProgram is the variable that makes this test the program itself.
const asProgram = "UNROOT_INIT_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		os.Unsetenv(asProgram)
		main()
	}
	os.Exit(m.Run())
}

// program runs a command line, and gives its exit code and outputs.
func program(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args           string
		code           int
		stdout, stderr string // in them; "" means nothing
	}{
		{"--help", 0, "Exit codes", ""},
		{"--version", 0, "unroot-init ", ""},
		{"", 2, "", "unroot-init: no program is named\nname it"},
		{"--", 2, "", "no program is named"},
		{"--exec", 2, "", "no program is named"},
		{"--frob -- true", 2, "", `unroot-init: reading "--frob": there is no such option` + "\nunroot-init --help"},
		{"--umask=9 -- true", 2, "", "octal"},
		{"--exec -- printf %s --help", 0, "--help", ""},
		{"--exec -- no-such-program", 127, "", "unroot-init: starting"},
		{"--stay -- no-such-program", 127, "", "unroot-init: starting"},
		{"--stay -- echo stayed", 0, "stayed\n", ""},
		{"--names=off --umask=0027 -- sh -c umask", 0, "0027\n", ""},
		{"echo no options", 0, "no options\n", ""},
		{"--writable=/proc/no/such -- echo x", 78, "", "unroot-init: "},
	} {
		code, stdout, stderr := program(t, strings.Fields(test.args)...)
		if code != test.code || !says(stdout, test.stdout) || !says(stderr, test.stderr) {
			t.Errorf("%q: exit code %d, want %d; stdout %q, stderr %q", test.args, code, test.code, stdout, stderr)
		}
	}
}

func says(got, want string) bool {
	return strings.Contains(got, want) && (want != "" || got == "")
}

// TestHelp: every option that an order can be spelled with is in the help text.
func TestHelp(t *testing.T) {
	t.Parallel()
	mask := uint16(0)
	orders := []startup.Order{{}, {
		Names: startup.NamesNscd, Home: "/h", Java: true, Umask: &mask, Writable: []string{"/w"}, Fill: []string{"/f"}, Compat: startup.CompatSimple, Stay: true,
		Private: []startup.Private{{Path: "/p"}, {Path: "/d", Dir: true}},
	}}
	for _, o := range orders {
		for _, arg := range o.Args() {
			name, _, _ := strings.Cut(arg, "=")
			if !strings.Contains(usage, "  "+name) && name != "--" {
				t.Errorf("%s is not in the help text", name)
			}
		}
	}
}

// TestAsksNothing: only the order that asks for nothing goes straight to the program.
func TestAsksNothing(t *testing.T) {
	t.Parallel()
	mask := uint16(0)
	if !asksNothing(startup.Order{}) {
		t.Error("the zero order asks for something")
	}
	for _, o := range []startup.Order{
		startup.Default(), {Home: "/h"}, {Java: true}, {Umask: &mask}, {Writable: []string{"/"}}, {Fill: []string{"/"}},
		{Private: []startup.Private{{}}}, {Compat: startup.CompatSimple}, {Stay: true},
	} {
		if asksNothing(o) {
			t.Errorf("%+v asks for nothing", o)
		}
	}
}

// TestSmall: nothing that unroot-init does needs these, and each makes it larger and slower to start.
func TestSmall(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "unroot/cmd/unroot-init").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		switch dep {
		case "fmt", "net", "os/exec", "os/user", "encoding/json", "regexp", "text/template", "log", "log/slog", "net/http", "crypto/tls", "path/filepath":
			t.Errorf("it imports %s", dep)
		}
	}
}
