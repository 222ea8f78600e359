package libc_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"unroot/internal/oracle"
	"unroot/internal/startup/libc"
)

func TestAsksNscd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		content string
		asks    bool
	}{
		{"", false},
		{"\x7fELF\x00/var/run/nscd/socket\x00", true},
		{"\x7fELF\x00/var/run/nscd/so.dC\x00", true}, // glibc 2.36, x86-64
		{"\x00__nss_disable_nscd\x00", true},         // glibc 2.36, i386
		{"\x00nscd_getpw_r.c\x00/var/run/nscd/", false},
		{"\x00/var/run/dbus\x00__nss_configure_lookup\x00", false},
	} {
		if got := libc.AsksNscd([]byte(test.content)); got != test.asks {
			t.Errorf("AsksNscd(%q) = %v", test.content, got)
		}
	}
}

// TestAsksNscdOfThisMachine looks at what compilers and distributions really made.
func TestAsksNscdOfThisMachine(t *testing.T) {
	t.Parallel()
	found := 0
	for _, path := range libc.Paths() {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		found++
		if !libc.AsksNscd(content) {
			t.Errorf("%s: asks nobody, but Debian builds its libraries with the client", path)
		}
	}
	if found == 0 {
		oracle.Missing(t, "a C library in the usual places")
	}
}

func TestAsksNscdOfStaticPrograms(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "a.c")
	text := "#include <pwd.h>\nint main(void) { return getpwuid(1) != 0; }\n"
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, compiler := range []string{"gcc", "musl-gcc"} {
		if _, err := exec.LookPath(compiler); err != nil {
			oracle.Missing(t, compiler)
		}
		program := strings.TrimSuffix(source, ".c") + compiler
		if out, err := exec.Command(compiler, "-O2", "-s", "-static", "-w", "-o", program, source).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", compiler, err, out)
		}
		content, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if !libc.AsksNscd(content) {
			t.Errorf("a static program of %s: asks nobody", compiler)
		}
	}
}
