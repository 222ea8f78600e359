//go:build linux

// Package arm64 runs the tracer's tests on an emulated arm64 machine, with the kernel that Debian has for it.
package arm64

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"unroot/internal/oracle"
)

// limit is for the whole run of the machine. Without KVM it takes a minute.
const limit = 8 * time.Minute

func TestARM64UnderEmulation(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an emulated machine is slow")
	}
	qemu := oracle.Program(t, "qemu-system-aarch64")
	kernel := kernelImage(t)
	dir := t.TempDir()
	initramfs := filepath.Join(dir, "initramfs")
	writeInitramfs(t, initramfs, map[string]string{
		"init":   build(t, dir, "arm64", "test", "-c", "-o", "init", "unroot/internal/sandbox/tracer"),
		"narrow": build(t, dir, "arm", "build", "-o", "narrow", "unroot/test/arm64/narrow"),
	})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	// cortex-a57 also runs 32-bit programs
	cmd := exec.CommandContext(ctx, qemu, "-M", "virt", "-cpu", "cortex-a57", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot", "-nic", "none",
		"-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyAMA0 rdinit=/init panic=-1 quiet")
	out, err := cmd.CombinedOutput()
	text := strings.ReplaceAll(string(out), "\r", "")
	if !strings.Contains(text, "\nUNROOT-RESULT <nil>\n") {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, test := range []string{"TestCoreFiles", "TestCoreNarrow", "TestCoreRefusedByTheProfile", "TestCoreThreadsLoseNothing"} {
		if !strings.Contains(text, "--- PASS: "+test+" ") {
			t.Errorf("%s was not run\n%s", test, text)
		}
	}
}

// build makes a static program for another machine.
func build(t *testing.T, dir, goarch string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	output := filepath.Join(dir, args[len(args)-2])
	cmd.Args[len(cmd.Args)-2] = output
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=-ldflags=-s")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %q: %v\n%s", args, err, out)
	}
	return output
}

// writeInitramfs writes programs as a cpio archive of the "newc" format: the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
func writeInitramfs(t *testing.T, name string, programs map[string]string) {
	t.Helper()
	var b bytes.Buffer
	entry := func(name string, mode uint32, content []byte) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		pad(&b)
		b.Write(content)
		pad(&b)
	}
	for _, dir := range []string{"dev", "proc", "tmp", "sys", "mnt"} {
		entry(dir, 0o40755, nil)
	}
	for name, file := range programs {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		entry(name, 0o100755, content)
	}
	entry("TRAILER!!!", 0, nil)
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if _, err := w.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func pad(b *bytes.Buffer) { b.Write(make([]byte, (4-b.Len()%4)%4)) }

// kernelImage gives Debian's kernel for arm64, unpacked, from the cache or from the mirrors that this
// machine uses. A cached one has its hash in its name.
func kernelImage(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		oracle.Missing(t, "a cache for the kernel: %v", err)
	}
	cache = filepath.Join(cache, "unroot-oracles")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(filepath.Join(cache, "vmlinuz-arm64-*"))
	for _, name := range found {
		if content, err := os.ReadFile(name); err == nil && name == kernelName(cache, content) {
			return name
		}
	}
	content := fetchKernel(t)
	name := kernelName(cache, content)
	part := name + fmt.Sprintf(".part%d", os.Getpid())
	if err := os.WriteFile(part, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, name); err != nil {
		t.Fatal(err)
	}
	return name
}

func kernelName(cache string, content []byte) string {
	return filepath.Join(cache, fmt.Sprintf("vmlinuz-arm64-%.8x", sha256.Sum256(content)))
}

// fetchKernel downloads with a state of apt of its own: the machine's stays as it is.
func fetchKernel(t *testing.T) []byte {
	t.Helper()
	oracle.Program(t, "apt-get")
	dir := t.TempDir()
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := fmt.Sprintf("Dir::State %q;\nDir::State::lists %q;\nDir::State::status %q;\nDir::Cache %q;\nAPT::Architecture \"arm64\";\nAPT::Architectures { \"arm64\"; };\nAPT::Sandbox::User \"\";\n",
		dir, filepath.Join(dir, "lists"), filepath.Join(dir, "status"), filepath.Join(dir, "cache"))
	for name, text := range map[string]string{"apt.conf": conf, "status": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	apt := func(program string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"-c", filepath.Join(dir, "apt.conf")}, args...)...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			oracle.Missing(t, "Debian's kernel for arm64: %s %q: %v\n%s", program, args, err, out)
		}
		return string(out)
	}
	apt("apt-get", "update")
	// the package is an empty one that depends on the newest
	_, newest, ok := strings.Cut(apt("apt-cache", "depends", "linux-image-arm64"), "Depends: ")
	if !ok {
		oracle.Missing(t, "Debian's kernel for arm64: no package")
	}
	newest, _, _ = strings.Cut(newest, "\n")
	apt("apt-get", "download", newest)
	packages, _ := filepath.Glob(filepath.Join(dir, "linux-image-*.deb"))
	if len(packages) != 1 {
		t.Fatalf("packages: %q", packages)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards './boot/vmlinuz-*'`, "sh", packages[0])
	content, err := cmd.Output()
	if err != nil || len(content) < 1<<20 {
		t.Fatalf("unpacking %s: %d bytes, %v", packages[0], len(content), err)
	}
	return content
}
