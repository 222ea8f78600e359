// Package oracle says what a test does when the judge that it needs is not there.
package oracle

import (
	"os"
	"os/exec"
	"testing"
)

// RequireAll is the environment variable that turns every missing oracle into a failure. CI sets
// it: a skip is not a pass.
const RequireAll = "UNROOT_REQUIRE_ALL"

// Missing ends the test: as skipped, or as failed where RequireAll is 1.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(RequireAll) == "1" {
		t.Fatalf("oracle missing: "+format, args...)
	}
	t.Skipf("oracle missing: "+format, args...)
}

// Program gives the path of a program, or ends the test through Missing.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Missing(t, "program %s: install it, or see the packages in the Makefile", name)
	}
	return path
}

// Root ends the test through Missing where it does not run as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "root: this test changes ids or starts an engine")
	}
}
