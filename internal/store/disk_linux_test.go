package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/image"
	"unroot/internal/oracle"
)

// smallDisk mounts a file system of a size, for the time of the test.
func smallDisk(t testing.TB, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		oracle.Missing(t, "mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// A full disk fails every put with a hint, and leaves the old and nothing beside it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	disk := smallDisk(t, "256k")
	s := testStore(t, Options{})
	small, large := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 1000))), mustOpen(t, s, fromRegistry(t, s, ociImage(t, 3, 200_000)))
	for _, to := range []string{"oci:" + disk + "/layout:a", "oci-archive:" + disk + "/oci.tar:a", "docker-archive:" + disk + "/docker.tar:a:1"} {
		mustPut(t, s, to, small)
		_, err := s.Put(t.Context(), mustParse(t, to), large)
		if !errors.Is(err, syscall.ENOSPC) || hintOf(err) == "" {
			t.Errorf("%s: %v, hint %q", to, err, hintOf(err))
		}
		old := mustOpen(t, s, to)
		if string(old.Image.Config) != string(small.Image.Config) {
			t.Errorf("%s: the old image is gone", to)
		}
		readLayer(t, old.Image.Layers[0])
		noLeftovers(t, disk)
	}
	noLeftovers(t, filepath.Join(disk, "layout"))

	full := testStore(t, Options{TempDir: disk})
	archive := filepath.Join(t.TempDir(), "a.tar")
	mustPut(t, s, "docker-archive:"+archive, large)
	in, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	full.options.Stdin = in
	if _, err := full.Open(t.Context(), mustParse(t, "-")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("unpacking to a full disk: %v", err)
	}
	noLeftovers(t, disk)
}

// A full disk: nothing is kept, nothing is left half.
func TestCacheFullDisk(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	dir := smallDisk(t, "64k")
	c := OpenCache(dir)
	for i := range 10 {
		c.Put(fmt.Sprint(i), bytes.Repeat([]byte("x"), 20_000))
	}
	for i := range 10 {
		if got, ok := c.Get(fmt.Sprint(i)); ok && len(got) != 20_000 {
			t.Errorf("%d: %d bytes", i, len(got))
		}
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && isTempName(d.Name()) {
			t.Errorf("left behind: %s", path)
		}
		return nil
	})
}

// killedPut is the environment variable that makes TestMain put an image again and again.
const killedPut = "UNROOT_TEST_PUT"

func TestMain(m *testing.M) {
	if to := os.Getenv(killedPut); to != "" {
		putForever(to, os.Getenv(killedPut+"_FROM"))
	}
	os.Exit(m.Run())
}

// putForever writes two images by turns until it is killed.
func putForever(to, from string) {
	s := New(Options{})
	ref, err := Parse(to)
	if err != nil {
		panic(err)
	}
	var sources []image.Source
	for _, tag := range []string{"one", "two"} {
		source, err := s.Open(context.Background(), Ref{Transport: OCILayout, Path: from, Name: tag})
		if err != nil {
			panic(err)
		}
		sources = append(sources, source)
	}
	fmt.Println("ready")
	for i := 0; ; i++ {
		if _, err := s.Put(context.Background(), ref, sources[i%2]); err != nil {
			panic(err)
		}
	}
}

// A put that is killed at any moment leaves the old or the new image, whole; the next put removes
// what the killed one left.
func TestKilledPut(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	from := filepath.Join(t.TempDir(), "from")
	digests := map[string]bool{}
	for _, tag := range []string{"one", "two"} {
		source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 3, 300_000)))
		mustPut(t, s, "oci:"+from+":"+tag, source)
		digests[string(source.Image.Config)] = true
	}
	for _, transport := range []string{"oci-archive:", "docker-archive:"} {
		t.Run(transport, func(t *testing.T) {
			dir := t.TempDir()
			to := transport + filepath.Join(dir, "a.tar")
			mustPut(t, s, to, mustOpen(t, s, "oci:"+from+":one"))
			for round := range 12 {
				killPut(t, to, from, time.Duration(round*round)*time.Millisecond)
				got := mustOpen(t, s, to)
				if !digests[string(got.Image.Config)] {
					t.Fatalf("round %d: neither the old nor the new image", round)
				}
				for _, l := range got.Image.Layers {
					readLayer(t, l)
				}
			}
			mustPut(t, s, to, mustOpen(t, s, "oci:"+from+":two"))
			noLeftovers(t, dir)
		})
	}
}

// A layout that is written when its writer is killed: its tag leads to what is whole, its other tag
// is untouched.
func TestKilledLayoutPut(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	from := filepath.Join(t.TempDir(), "from")
	for _, tag := range []string{"one", "two"} {
		mustPut(t, s, "oci:"+from+":"+tag, mustOpen(t, s, fromRegistry(t, s, ociImage(t, 3, 300_000))))
	}
	whole := 0
	for round := range 12 {
		dir := filepath.Join(t.TempDir(), "to") // a fresh one: a killed first put is the hardest case
		if round%2 == 1 {
			mustPut(t, s, "oci:"+dir+":other", mustOpen(t, s, "oci:"+from+":one"))
		}
		killPut(t, "oci:"+dir+":app", from, time.Duration(round*round)*time.Millisecond)
		if round%2 == 1 {
			mustOpen(t, s, "oci:"+dir+":other")
		}
		got, err := s.Open(t.Context(), mustParse(t, "oci:"+dir+":app"))
		switch {
		case err == nil:
			whole++
			for _, l := range got.Image.Layers {
				readLayer(t, l)
			}
		case !errors.Is(err, ErrNotFound):
			t.Fatalf("round %d: neither an image nor none: %v", round, err)
		}
		mustPut(t, s, "oci:"+dir+":app", mustOpen(t, s, "oci:"+from+":two"))
		mustPut(t, s, "oci:"+dir+":app2", mustOpen(t, s, "oci:"+from+":one"))
		validLayout(t, dir)
		noLeftovers(t, dir)
	}
	t.Logf("%d of 12 kills came after the first whole put", whole)
}

// killPut starts a process that puts without end and kills it some time after its first put began.
func killPut(t *testing.T, to, from string, after time.Duration) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(self)
	command.Env = append(os.Environ(), killedPut+"="+to, killedPut+"_FROM="+from)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var ready [1]byte
	if _, err := out.Read(ready[:]); err != nil {
		t.Fatalf("the process that puts did not start: %v", err)
	}
	time.Sleep(after)
	command.Process.Kill()
	if err := command.Wait(); err == nil {
		t.Fatal("the process that puts ended by itself")
	}
}
