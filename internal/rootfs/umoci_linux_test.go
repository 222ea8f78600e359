package rootfs

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
	"unroot/internal/oracle"
)

// TestUmociAgrees unpacks random layers with umoci and compares every name, kind, owner, mode, link
// and hard link.
//
// Where umoci and the engines part, the random layers do not go:
//   - An entry below a file of a lower layer: umoci stops with ENOTDIR. Docker's overlay2 and
//     containerd unpack into an own directory, where the file is not, so it gives way; Merge does
//     the same.
//   - A whiteout behind entries of the same layer in the same directory: umoci keeps a directory
//     that the layer only passes through with the owner and mode of the directory that the whiteout
//     removes. Merge makes it anew, as if the whiteout stood first; so they stand first here, and
//     TestWhiteoutOrder shows that Merge does not mind.
//   - A directory that no layer names, in a setgid directory: umoci and containerd leave it with the
//     group and the setgid bit that the kernel hands down, Docker gives it to root again. Merge says
//     root:root 0755 everywhere; directories have no setgid bit here.
//   - A whiteout through a link that the same layer replaces: see ownPaths.
func TestUmociAgrees(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	umoci := oracle.Program(t, "umoci")
	images := 150
	if testing.Short() {
		images = 10
	}
	seen := map[Kind]int{}
	for i := range images {
		layers := randomLayers(rand.New(rand.NewPCG(*kernelSeed, uint64(i))))
		tree := mustMerge(t, layers...)
		rootfs, err := unpack(t, umoci, layers)
		if err != nil {
			t.Fatalf("image %d of seed %d: umoci refuses what we take: %v\n%s", i, *kernelSeed, err, layerListing(layers))
		}
		if diff := cmp.Diff(diskListing(t, rootfs), listing(tree)); diff != "" {
			t.Fatalf("image %d of seed %d (-umoci +ours):\n%s\n%s", i, *kernelSeed, diff, layerListing(layers))
		}
		for _, layer := range layers {
			for _, e := range layer {
				seen[e.Kind]++
			}
		}
	}
	t.Logf("entries by kind: %v", seen)
	for _, kind := range []Kind{File, Dir, Symlink, Hardlink, Fifo, Whiteout, Opaque} {
		if seen[kind] == 0 {
			t.Errorf("no layer has an entry of kind %d", kind)
		}
	}
}

// TestUmociRefuses checks that what Merge calls broken cannot be unpacked.
func TestUmociRefuses(t *testing.T) {
	oracle.Root(t)
	umoci := oracle.Program(t, "umoci")
	for name, layers := range map[string][][]Entry{
		"link to nowhere":   {{hardEntry("/a", "/none")}},
		"link to itself":    {{fileEntry("/a", 0, 0, 0)}, {hardEntry("/a", "/a")}},
		"link to directory": {{dirEntry("/d", 0, 0, 0), hardEntry("/a", "/d")}},
		"link to later":     {{hardEntry("/a", "/b"), fileEntry("/b", 0, 0, 0)}},
		"file in file":      {{fileEntry("/a", 0, 0, 0), fileEntry("/a/b", 0, 0, 0)}},
		"through a loop":    {{linkEntry("/a", "b"), linkEntry("/b", "a"), fileEntry("/a/x", 0, 0, 0)}},
		"long name":         {{fileEntry("/"+strings.Repeat("n", maxName+1), 0, 0, 0)}},
	} {
		if _, err := Merge(layers...); err == nil {
			t.Errorf("%s: Merge takes it", name)
		}
		if _, err := unpack(t, umoci, layers); err == nil {
			t.Errorf("%s: umoci unpacks it", name)
		}
	}
}

// TestWhiteoutOrder checks that it does not matter where whiteouts stand in their layer.
func TestWhiteoutOrder(t *testing.T) {
	t.Parallel()
	for i := range 300 {
		r := rand.New(rand.NewPCG(2, uint64(i)))
		layers := randomLayers(r)
		want := listing(mustMerge(t, layers...))
		for j, layer := range layers {
			var marks, files []Entry
			for _, e := range layer {
				if e.Kind == Whiteout || e.Kind == Opaque {
					marks = append(marks, e)
				} else {
					files = append(files, e)
				}
			}
			for _, mark := range marks {
				at := r.IntN(len(files) + 1)
				files = append(files[:at], append([]Entry{mark}, files[at:]...)...)
			}
			layers[j] = files
		}
		if diff := cmp.Diff(want, listing(mustMerge(t, layers...))); diff != "" {
			t.Fatalf("image %d (-whiteouts first +anywhere):\n%s\n%s", i, diff, layerListing(layers))
		}
	}
}

// randomLayers gives layers that Merge takes, with much overlap.
func randomLayers(r *rand.Rand) [][]Entry {
	var layers [][]Entry
	for i := range 2 + r.IntN(3) {
		layers = append(layers, nil)
		passed := map[string]bool{} // links that whiteouts of this layer go through
		marks := 0
		if i > 0 {
			marks = r.IntN(5)
		}
		for range marks + 4 + r.IntN(12) {
			e := randomLayerEntry(r, marks > 0)
			marks--
			if fits(layers, e, passed) {
				layers[i] = append(layers[i], e)
			}
		}
	}
	return layers
}

func fits(layers [][]Entry, e Entry, passed map[string]bool) bool {
	last := len(layers) - 1
	tree, err := Merge(layers...)
	if err != nil {
		panic(err)
	}
	above := path.Dir(e.Path)
	if e.Kind == Opaque {
		above = e.Path
	}
	if dir, err := tree.Resolve(above); err != nil && !isMissing(tree, above) || err == nil && !dir.IsDir() || passed[e.Path] {
		return false
	}
	if e.Kind == Whiteout || e.Kind == Opaque {
		m := merger{root: tree.root}
		d, err := m.descend(above)
		if err != nil {
			return false
		}
		for _, link := range d.links {
			passed[link.Path()] = true
		}
	}
	with := append(append([][]Entry(nil), layers[:last]...), append(layers[last][:len(layers[last]):len(layers[last])], e))
	_, err = Merge(with...)
	return err == nil
}

// isMissing reports whether only names that are not there stop the path, no file and no loop.
func isMissing(tree *Tree, p string) bool {
	m := merger{root: tree.root}
	d, err := m.descend(p)
	return err == nil && (len(d.missing) == 0 || d.at.Child(d.missing[0]) == nil)
}

func randomLayerEntry(r *rand.Rand, mark bool) Entry {
	randomClean := func() string {
		p := "/"
		for range 1 + r.IntN(3) {
			p = path.Join(p, pick(r, someNames))
		}
		return p
	}
	p := randomClean()
	if mark {
		return Entry{Path: p, Kind: pick(r, []Kind{Whiteout, Whiteout, Opaque})}
	}
	switch n := r.IntN(20); {
	case n == 0:
		return layerDir(r, "/")
	case n < 5:
		return layerDir(r, p)
	case n < 9:
		e := randomEntry(r, p, Symlink)
		e.Mode, e.Link = 0o777, pick(r, []string{"", "/", "../", "/../", "./"})+pick(r, someNames)+pick(r, []string{"", "", "/", "/../" + pick(r, someNames), "/" + pick(r, someNames)})
		return e
	case n < 14:
		return hardEntry(p, randomClean())
	case n < 15:
		return randomEntry(r, p, Fifo)
	}
	return randomEntry(r, p, File)
}

func layerDir(r *rand.Rand, p string) Entry {
	e := randomEntry(r, p, Dir)
	e.Mode &^= SetGID
	return e
}

func layerListing(layers [][]Entry) string {
	var b strings.Builder
	for i, layer := range layers {
		for _, e := range layer {
			fmt.Fprintf(&b, "layer %d: %c %04o %d:%d %s %s\n", i, "?fdlhcbpWO"[e.Kind], e.Mode, e.UID, e.GID, e.Path, e.Link)
		}
	}
	return b.String()
}

// diskListing is listing of a real directory.
func diskListing(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	first := map[uint64]string{}
	kinds := map[uint32]byte{unix.S_IFDIR: 'd', unix.S_IFREG: 'f', unix.S_IFLNK: 'l', unix.S_IFIFO: 'p'}
	var visit func(p string)
	visit = func(p string) {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, p), &st); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%c %04o %d:%d %s", kinds[st.Mode&unix.S_IFMT], st.Mode&0o7777, st.Uid, st.Gid, p)
		if target, err := os.Readlink(filepath.Join(root, p)); err == nil {
			line += " -> " + target
		}
		if name, ok := first[st.Ino]; ok {
			line += " = " + name
		} else {
			first[st.Ino] = p
		}
		lines = append(lines, line)
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			children, err := os.ReadDir(filepath.Join(root, p))
			if err != nil {
				t.Fatal(err)
			}
			for _, child := range children {
				visit(path.Join(p, child.Name()))
			}
		}
	}
	visit("/")
	return lines
}

// unpack writes the layers as an OCI layout, has umoci unpack it, and gives the root file system.
func unpack(t *testing.T, umoci string, layers [][]Entry) (string, error) {
	t.Helper()
	dir := t.TempDir()
	writeLayout(t, filepath.Join(dir, "image"), layers)
	bundle := filepath.Join(dir, "bundle")
	cmd := exec.Command("/bin/sh", "-c", `umask 022; exec "$0" unpack --image "$1" "$2"`, umoci, filepath.Join(dir, "image")+":test", bundle)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(bundle, "rootfs"), nil
}

func writeLayout(t *testing.T, dir string, layers [][]Entry) {
	t.Helper()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	type object = map[string]any
	put := func(mediaType string, b []byte) object {
		d := digest.FromBytes(b)
		if err := os.WriteFile(filepath.Join(blobs, d.Encoded()), b, 0o644); err != nil {
			t.Fatal(err)
		}
		return object{"mediaType": mediaType, "digest": d, "size": len(b)}
	}
	encode := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var descriptors []object
	var diffIDs []digest.Digest
	for _, layer := range layers {
		b := writeTar(t, layer)
		diffIDs = append(diffIDs, digest.FromBytes(b))
		descriptors = append(descriptors, put("application/vnd.oci.image.layer.v1.tar", b))
	}
	config := put("application/vnd.oci.image.config.v1+json", encode(object{
		"architecture": "amd64", "os": "linux", "rootfs": object{"type": "layers", "diff_ids": diffIDs},
	}))
	manifest := put("application/vnd.oci.image.manifest.v1+json", encode(object{
		"schemaVersion": 2, "config": config, "layers": descriptors,
	}))
	manifest["annotations"] = object{"org.opencontainers.image.ref.name": "test"}
	index := encode(object{"schemaVersion": 2, "manifests": []object{manifest}})
	for name, b := range map[string][]byte{"index.json": index, "oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func writeTar(t *testing.T, entries []Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	types := map[Kind]byte{File: tar.TypeReg, Dir: tar.TypeDir, Symlink: tar.TypeSymlink, Hardlink: tar.TypeLink, Fifo: tar.TypeFifo, Whiteout: tar.TypeReg, Opaque: tar.TypeReg}
	for _, e := range entries {
		h := tar.Header{Name: "." + e.Path, Typeflag: types[e.Kind], Linkname: e.Link, Mode: int64(e.Mode), Uid: int(e.UID), Gid: int(e.GID), Format: tar.FormatPAX}
		switch e.Kind {
		case Hardlink:
			h.Linkname = strings.TrimPrefix(e.Link, "/")
		case Whiteout:
			h.Name = "." + path.Join(path.Dir(e.Path), ".wh."+path.Base(e.Path))
		case Opaque:
			h.Name = "." + path.Join(e.Path, ".wh..wh..opq")
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
