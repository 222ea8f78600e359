package sandbox

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// engineMachines are the ELF engineMachines of the platforms that an agent can be built for.
var engineMachines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// agentBinary gives the program that is mounted into containers, after a look at whether it can
// start in any of them: an image need not have a dynamic linker.
func agentBinary(path, arch string) (string, error) {
	if path == "" {
		if runtime.GOOS != "linux" {
			return "", fmt.Errorf("an engine's container needs unroot for linux/%s: name one", arch)
		}
		own, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("looking for the running program: %w", err)
		}
		path = own
	}
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("looking for the agent's program: %w", err)
	}
	return path, checkBinary(path, arch)
}

func checkBinary(path, arch string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at the agent's program: %w", err)
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o5 != 0o5 {
		return fmt.Errorf("the agent's program %q has mode %04o: every user must be able to read and execute it", path, st.Mode().Perm())
	}
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("the agent's program %q is no Linux program: %w", path, err)
	}
	defer f.Close()
	if want, ok := engineMachines[arch]; ok && f.Machine != want {
		return fmt.Errorf("the agent's program %q is for %v, the engine is %s", path, f.Machine, arch)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("the agent's program %q needs a dynamic linker, which an image may not have: build it with CGO_ENABLED=0", path)
		}
	}
	return nil
}
