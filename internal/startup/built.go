package startup

import "slices"

// Platforms is the architectures of Linux, as GOARCH has them, for which unroot-init is built.
var Platforms = []string{"386", "amd64", "arm", "arm64", "ppc64le", "riscv64", "s390x"}

// Runs reports whether there is an unroot-init for the platform.
func Runs(os, arch string) bool { return os == "linux" && slices.Contains(Platforms, arch) }

// Emulates reports whether calls that only root may make can be answered on the architecture.
func Emulates(arch string) bool {
	return slices.Contains([]string{"amd64", "arm64"}, arch)
}
