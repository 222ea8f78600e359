//go:build linux && (amd64 || arm64)

package compat

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The judge of every shape is the kernel: a program of each ABI prints what it is given.
func TestStatLayouts(t *testing.T) {
	t.Parallel()
	abis := map[fileABI]string{fileAMD64: "amd64", file386: "386"}
	if runtime.GOARCH == "arm64" {
		abis = map[fileABI]string{fileARM64: "arm64", fileARM: "arm"}
	}
	files := oddFiles(t)
	for abi, arch := range abis {
		program := statProgram(t, arch)
		for _, nr := range fileCalls(abi) {
			call, _ := fileCallOf(abi, nr)
			if call.op != opStat {
				continue
			}
			for _, file := range files {
				checkLayout(t, program, arch, nr, call, file)
			}
		}
	}
}

func checkLayout(t *testing.T, program, arch string, nr uint32, call fileCall, file string) {
	t.Helper()
	how := "path"
	switch {
	case call.fd != none:
		how = "fd"
	case call.layout == layoutStatx:
		how = "statx"
	case call.dir != none:
		how = "at"
	}
	var stderr bytes.Buffer
	cmd := exec.Command(program, how, strconv.Itoa(int(nr)), file)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && !strings.Contains(stderr.String(), unix.EOVERFLOW.Error()) {
		t.Fatalf("%s %s %d %s: %v %s", arch, how, nr, file, err, stderr.String())
	}
	nofollow := call.link || how == "at" || how == "statx"
	var b [512]byte
	s := askStatx(t, file, nofollow)
	if fits := call.layout.encode(b[:], s); fits != (err == nil) {
		t.Errorf("%s call %d on %s: it fits: %v, but for the kernel: %v", arch, nr, file, fits, err)
		return
	}
	if err != nil {
		return
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b[:]) {
		for i := range want {
			if want[i] != b[i] {
				t.Errorf("%s call %d on %s: byte %d is %#x, want %#x", arch, nr, file, i, b[i], want[i])
			}
		}
	}
}

func askStatx(t *testing.T, file string, nofollow bool) *statx {
	t.Helper()
	var s statx
	flags := 0
	if nofollow {
		flags = unix.AT_SYMLINK_NOFOLLOW
	}
	if err := unix.Statx(unix.AT_FDCWD, file, flags, 0xfff, (*unix.Statx_t)(unsafe.Pointer(&s))); err != nil {
		t.Fatal(err)
	}
	return &s
}

// oddFiles is files that use every field, with numbers that need all its bytes.
func oddFiles(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	files := []string{dir, "/dev/null", "/proc/version"}
	add := func(name string) string {
		files = append(files, filepath.Join(dir, name))
		return files[len(files)-1]
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	big := add("big")
	check(os.WriteFile(big, []byte("content"), 0o640))
	check(os.Truncate(big, 5<<32+77)) // EOVERFLOW in a narrow one
	check(os.Chtimes(big, time.Unix(1<<31+5, 123456789), time.Unix(-7, 5)))
	small := add("small")
	check(os.WriteFile(small, make([]byte, 70000), 0o4711))
	check(os.Link(small, add("another")))
	check(os.Symlink("small", add("link")))
	check(unix.Mkfifo(add("fifo"), 0o600))
	if os.Getuid() == 0 {
		check(os.Lchown(small, 0x12345, 0xabcdef))
		if unix.Mknod(filepath.Join(dir, "device"), unix.S_IFBLK|0o600, int(unix.Mkdev(200, 77))) == nil {
			add("device")
		}
	}
	return files
}

// statProgram gives the program for a machine: built, or where the test runs without a compiler, from
// beside it.
func statProgram(t *testing.T, arch string) string {
	t.Helper()
	if ready := "/statraw-" + arch; exists(ready) {
		return ready
	}
	program := filepath.Join(t.TempDir(), "statraw")
	cmd := exec.Command("go", "build", "-o", program, "./testdata/statraw")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building for %s: %v\n%s", arch, err, out)
	}
	return program
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
