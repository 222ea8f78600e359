//go:build linux && (amd64 || arm64)

package tracer

import (
	"os"
	"testing"

	"unroot/internal/sandbox/launch"
)

// A tracer reaps all children of its process: what is traced in tests is started by the stage of this
// package, which the test binary is as well. Programs to be traced are parts of it, too.
func TestMain(m *testing.M) {
	launch.Stage()
	if play, ok := tracees[os.Getenv("UNROOT_TEST_TRACEE")]; ok {
		play()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var tracees = map[string]func(){}
