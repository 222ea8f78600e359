// Package command builds the unroot command for tests, as it is released.
package command

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build builds the command as one static file, which can also be the agent in an engine's container, in
// a folder of its own. It gives the file's path, and what removes the folder.
func Build() (path string, remove func() error, err error) {
	dir, err := os.MkdirTemp("", "unroot-command-")
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return os.RemoveAll(dir) }
	path = filepath.Join(dir, "unroot")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "unroot/cmd/unroot")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("building the command: %w\n%s", err, out), remove())
	}
	return path, remove, nil
}
