package program

import (
	"bytes"
	"debug/elf"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var (
	update = flag.Bool("update", false, "write the programs that were built into "+filepath.Dir(toolchainFile))
	all    = flag.Bool("all", false, "rebuild the programs (minutes, where nothing is cached)")
)

// machines that a program of a platform must be made for.
var machines = map[string]elf.Machine{
	"386": elf.EM_386, "amd64": elf.EM_X86_64, "arm": elf.EM_ARM, "arm64": elf.EM_AARCH64,
	"ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
}

func TestFor(t *testing.T) {
	t.Parallel()
	for _, p := range Platforms() {
		for _, variant := range []string{"", "v7"} {
			content, ok, err := For(p.OS, p.Arch, variant)
			if err != nil || !ok {
				t.Errorf("%s %q: %v, %v", p, variant, ok, err)
				continue
			}
			look(t, p, content)
		}
	}
}

// look holds what a program promises: static, for its machine, stripped, small.
func look(t *testing.T, p Platform, content []byte) {
	t.Helper()
	if len(content) > MaxSize {
		t.Errorf("%s: %d bytes, at most %d are wanted", p, len(content), MaxSize)
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Errorf("%s: %v", p, err)
		return
	}
	if f.Machine != machines[p.Arch] {
		t.Errorf("%s: made for %s", p, f.Machine)
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Errorf("%s: it is not stripped", p)
	}
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP || prog.Type == elf.PT_DYNAMIC {
			t.Errorf("%s: it is not static: it has %s", p, prog.Type)
		}
	}
}

func TestNone(t *testing.T) {
	t.Parallel()
	for _, p := range []Platform{{"windows", "amd64"}, {"linux", "mips"}, {"", ""}} {
		if content, ok, err := For(p.OS, p.Arch, ""); ok || err != nil || content != nil {
			t.Errorf("%s: %d bytes, %v, %v", p, len(content), ok, err)
		}
	}
}

// TestRebuilt builds every program again with the version of Go that built the committed ones, and
// compares the bytes.
func TestRebuilt(t *testing.T) {
	if !*all {
		t.Skip("without -all the programs are not built again: make test-programs does it")
	}
	version := Toolchain()
	if *update {
		version = command(t, nil, "go", "env", "GOVERSION")
		write(t, toolchainFile, []byte(version+"\n"))
	}
	if installed := command(t, nil, "go", "env", "GOVERSION"); installed != version {
		t.Logf("the installed Go is %s, the programs were built by %s: Go fetches that one", installed, version)
	}
	for _, p := range Platforms() {
		t.Run(p.Arch, func(t *testing.T) {
			content := build(t, p, version)
			look(t, p, content)
			if *update {
				write(t, "built/"+p.File()+".zst", pack(t, content))
				return
			}
			committed, _, err := For(p.OS, p.Arch, "")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(committed, content) {
				t.Errorf("%s: the committed program is not what the source gives (%d and %d bytes): run make programs and commit built/", p, len(committed), len(content))
			}
		})
	}
}

// build gives a platform's program. Everything that the bytes depend on is named here; what the
// environment says is put aside.
func build(t *testing.T, p Platform, version string) []byte {
	t.Helper()
	to := filepath.Join(t.TempDir(), p.File())
	env := []string{
		"GOTOOLCHAIN=" + version, "GOOS=" + p.OS, "GOARCH=" + p.Arch, "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GOFIPS140=off",
		"GOAMD64=v1", "GO386=sse2", "GOARM=5", "GOARM64=v8.0", "GOPPC64=power8", "GORISCV64=rva20u64",
	}
	// unroot_release and -checklinkname=0: see process/runtime_release.go. asyncpreemptoff: Go's scheduler
	// would interrupt its threads with SIGURG, and a first process passes that signal on.
	command(t, env, "go", "build", "-trimpath", "-buildvcs=false", "-tags=unroot_release",
		"-ldflags=-s -w -buildid= -checklinkname=0 -X=runtime.godebugDefault=asyncpreemptoff=1", "-o", to, "unroot/cmd/unroot-init")
	content, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

func pack(t *testing.T, content []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(content, nil)
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
