package store

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"unroot/internal/image"
	"unroot/internal/oracle"
)

func TestOCIArchiveRoundTrip(t *testing.T) {
	t.Parallel()
	for name, what := range map[string]remote.Taggable{
		"docker": testImage(t, 2, 1000), "oci": ociImage(t, 2, 2000), "index": testIndex(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testStore(t, Options{})
			source := mustOpen(t, s, fromRegistry(t, s, what))
			dir := t.TempDir()
			file := filepath.Join(dir, "a.tar")
			id := mustPut(t, s, "oci-archive:"+file+":v1", source)
			noLeftovers(t, dir)
			again := mustOpen(t, s, "oci-archive:"+file+":v1")
			want, _ := manifestOf(source)
			if raw, self := manifestOf(again); !bytes.Equal(raw, want) || self != id {
				t.Error("manifest changed")
			}
			second := filepath.Join(dir, "b.tar")
			mustPut(t, s, "oci-archive:"+second+":v1", again)
			if !sameBytes(t, file, second) {
				t.Error("the same image gives another archive")
			}
		})
	}
}

func sameBytes(t testing.TB, a, b string) bool {
	t.Helper()
	left, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	right, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(left, right)
}

// A docker-archive keeps the config and the layers' stored bytes, and go-containerregistry reads it.
func TestDockerArchiveRoundTrip(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, testImage(t, 3, 1000)))
	file := filepath.Join(t.TempDir(), "a.tar")
	id := mustPut(t, s, "docker-archive:"+file+":docker.io/library/app:1", source)
	if want := digest.FromBytes(source.Image.Config).String(); id != want {
		t.Errorf("id is %s, want the config's digest %s", id, want)
	}
	again := mustOpen(t, s, "docker-archive:"+file)
	if again.Image.Manifest != nil || again.Image.Digest.String() != id || !bytes.Equal(again.Image.Config, source.Image.Config) {
		t.Errorf("opened %+v", again.Image)
	}
	for i, l := range again.Image.Layers {
		if got, want := l.Descriptor(), source.Image.Layers[i].Descriptor(); got.Digest != want.Digest || got.Size != want.Size || got.MediaType != image.DockerLayerGzip {
			t.Errorf("layer %d is %+v, want %+v", i, got, want)
		}
		readLayer(t, l)
	}
	tag, err := name.NewTag("app:1")
	if err != nil {
		t.Fatal(err)
	}
	judged, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(judged); err != nil {
		t.Errorf("go-containerregistry: %v", err)
	}
}

// zstd layers are unpacked, since old engines cannot.
func TestDockerArchiveUnpacksZstd(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	plain := mustOpen(t, s, fromRegistry(t, s, testImage(t, 1, 5000)))
	l := plain.Image.Layers[0]
	unpacked, err := decompress(bytes.NewReader(readLayer(t, l)))
	if err != nil {
		t.Fatal(err)
	}
	var content, packed bytes.Buffer
	content.ReadFrom(unpacked)
	zip, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	zip.Write(content.Bytes())
	zip.Close()
	source := image.Source{Image: &image.Image{Config: plain.Image.Config,
		Layers: []image.Layer{bytesBlob(image.DockerLayerZstd, packed.Bytes())}}}
	file := filepath.Join(t.TempDir(), "a.tar")
	mustPut(t, s, "docker-archive:"+file, source)
	again := mustOpen(t, s, "docker-archive:"+file)
	if got := readLayer(t, again.Image.Layers[0]); !bytes.Equal(got, content.Bytes()) {
		t.Errorf("the layer has %d bytes, want %d plain ones", len(got), content.Len())
	}
}

// skopeo is the judge both ways, and writes what `docker save` writes: plain layers, links for
// Docker before 1.10.
func TestArchiveJudge(t *testing.T) {
	t.Parallel()
	oracle.Program(t, "skopeo")
	host := startRegistry(t, nil)
	push(t, host+"/a:1", ociImage(t, 2, 5000))
	dir := t.TempDir()
	s := testStore(t, Options{})
	source := mustOpen(t, s, host+"/a:1")

	theirs := filepath.Join(dir, "theirs.tar")
	program(t, "skopeo", "copy", "--src-tls-verify=false", "docker://"+host+"/a:1", "docker-archive:"+theirs+":app:1")
	read := mustOpen(t, s, "docker-archive:"+theirs+":app:1")
	for i, l := range read.Image.Layers {
		if l.Descriptor().MediaType != image.DockerLayer {
			t.Errorf("layer %d is %s, want plain", i, l.Descriptor().MediaType)
		}
		readLayer(t, l)
	}
	ours := filepath.Join(dir, "ours.tar")
	mustPut(t, s, "docker-archive:"+ours+":app:2", source)
	program(t, "skopeo", "inspect", "docker-archive:"+ours+":app:2")
	program(t, "skopeo", "copy", "docker-archive:"+ours+":app:2", "dir:"+filepath.Join(dir, "d"))

	theirs = filepath.Join(dir, "theirs-oci.tar")
	program(t, "skopeo", "copy", "--src-tls-verify=false", "docker://"+host+"/a:1", "oci-archive:"+theirs+":app")
	again := mustOpen(t, s, "oci-archive:"+theirs+":app")
	if !bytes.Equal(again.Image.Manifest, source.Image.Manifest) {
		t.Error("an oci-archive of skopeo has another manifest")
	}
	ours = filepath.Join(dir, "ours-oci.tar")
	mustPut(t, s, "oci-archive:"+ours+":app", source)
	program(t, "skopeo", "copy", "oci-archive:"+ours+":app", "dir:"+filepath.Join(dir, "o"))
	if raw := program(t, "skopeo", "inspect", "--raw", "oci-archive:"+ours+":app"); !bytes.Equal(raw, source.Image.Manifest) {
		t.Error("skopeo reads another manifest")
	}
}

// Several images in one archive: a name is needed, and the error lists them.
func TestDockerArchiveOfMany(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.tar")
	many := map[name.Tag]v1.Image{}
	for _, s := range []string{"app:1", "registry.example/team/other:2"} {
		tag, err := name.NewTag(s)
		if err != nil {
			t.Fatal(err)
		}
		many[tag] = testImage(t, 1, 100)
	}
	if err := tarball.MultiWriteToFile(file, many); err != nil {
		t.Fatal(err)
	}
	s := testStore(t, Options{})
	_, err := s.Open(t.Context(), mustParse(t, "docker-archive:"+file))
	if !errors.Is(err, ErrNotFound) || !strings.Contains(hintOf(err), "registry.example/team/other:2") {
		t.Errorf("got %v with the hint %q", err, hintOf(err))
	}
	mustOpen(t, s, "docker-archive:"+file+":docker.io/library/app:1")
	mustOpen(t, s, "docker-archive:"+file+":registry.example/team/other:2")
	if _, err := s.Open(t.Context(), mustParse(t, "docker-archive:"+file+":app:3")); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown tag: %v", err)
	}
}

// Compressed archives, a pipe and standard input are unpacked to a temporary file, which is gone at
// the end.
func TestPackedArchives(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 5000)))
	dir := t.TempDir()
	docker, oci := filepath.Join(dir, "docker.tar"), filepath.Join(dir, "oci.tar")
	mustPut(t, s, "docker-archive:"+docker, source)
	mustPut(t, s, "oci-archive:"+oci, source)
	for _, from := range []string{docker, oci} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		var zipped, zstandard bytes.Buffer
		gz := gzip.NewWriter(&zipped)
		gz.Write(data)
		gz.Close()
		zs, err := zstd.NewWriter(&zstandard)
		if err != nil {
			t.Fatal(err)
		}
		zs.Write(data)
		zs.Close()
		transport := "docker-archive:"
		if from == oci {
			transport = "oci-archive:"
		}
		for kind, packed := range map[string][]byte{"gzip": zipped.Bytes(), "zstd": zstandard.Bytes()} {
			temp := t.TempDir()
			file := filepath.Join(t.TempDir(), "packed")
			if err := os.WriteFile(file, packed, 0o600); err != nil {
				t.Fatal(err)
			}
			own := New(Options{TempDir: temp})
			got, err := own.Open(t.Context(), mustParse(t, transport+file))
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			readLayer(t, got.Image.Layers[0])
			own.Close()
			noLeftovers(t, temp)

			small := testStore(t, Options{SpoolLimit: 2000})
			if _, err := small.Open(t.Context(), mustParse(t, transport+file)); !errors.Is(err, ErrLimit) {
				t.Errorf("%s: over the limit: %v", kind, err)
			}
		}
		stdin := testStore(t, Options{Stdin: bytes.NewReader(data)})
		readLayer(t, mustOpen(t, stdin, "-").Image.Layers[0])
	}
}

// An archive of Docker 25 or later has an OCI layout inside. With compressed layers its manifest is
// the image's; a manifest of plain layers, made up by the engine, is not.
func TestDockerArchiveWithLayoutInside(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain=%t", plain), func(t *testing.T) {
			img := ociImage(t, 2, 1000)
			if plain {
				img = plainImage(t)
			}
			source := mustOpen(t, s, fromRegistry(t, s, img))
			dir := t.TempDir()
			oci, both := filepath.Join(dir, "oci.tar"), filepath.Join(dir, "both.tar")
			mustPut(t, s, "oci-archive:"+oci+":app", source)
			entry := dockerEntry{Config: blobPath(digest.FromBytes(source.Image.Config)), RepoTags: []string{"app:1"}}
			for _, l := range source.Image.Layers {
				entry.Layers = append(entry.Layers, blobPath(l.Descriptor().Digest))
			}
			appendMember(t, oci, both, dockerManifestFile, mustJSON([]dockerEntry{entry}))
			again := mustOpen(t, s, "docker-archive:"+both+":app:1")
			if got := again.Image.Manifest != nil; got == plain {
				t.Errorf("has a manifest: %t", got)
			}
			for _, l := range again.Image.Layers {
				readLayer(t, l)
			}
		})
	}
}

func plainImage(t testing.TB) v1.Image {
	t.Helper()
	l, err := random.Layer(1000, types.OCIUncompressedLayer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(ociImage(t, 0, 0), l)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// appendMember copies an archive and adds a member.
func appendMember(t testing.TB, from, to, name string, data []byte) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		var body bytes.Buffer
		body.ReadFrom(r)
		w.WriteHeader(h)
		w.Write(body.Bytes())
	}
	if err := tarBytes(w, name, data); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// An index does not fit into a place for one image.
func TestArchiveOfIndex(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, testIndex(t)))
	dir := t.TempDir()
	for _, to := range []string{"docker-archive:" + filepath.Join(dir, "a.tar"), "docker-daemon:app:1"} {
		if _, err := s.Put(t.Context(), mustParse(t, to), source); !errors.Is(err, ErrNeedsPlatform) || hintOf(err) == "" {
			t.Errorf("%s: %v", to, err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// A put that fails leaves the old archive and nothing beside it.
func TestArchiveFailedPut(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 2, 1000)))
	lying := source.Image.Layers[1].Descriptor()
	source.Image.Layers[1] = &blob{descriptor: lying, open: bytesBlob("", make([]byte, lying.Size)).open}
	dir := t.TempDir()
	file := filepath.Join(dir, "a.tar")
	if err := os.WriteFile(file, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"docker-archive:", "oci-archive:"} {
		if _, err := s.Put(t.Context(), mustParse(t, to+file), source); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", to, err)
		}
		if data, err := os.ReadFile(file); err != nil || string(data) != "old" {
			t.Errorf("%s: the old archive is %q, %v", to, data, err)
		}
	}
	noLeftovers(t, dir)
}

// Wrong transports get a hint to the right one.
func TestArchiveHints(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 100)))
	dir := t.TempDir()
	docker, oci := filepath.Join(dir, "docker.tar"), filepath.Join(dir, "oci.tar")
	mustPut(t, s, "docker-archive:"+docker, source)
	mustPut(t, s, "oci-archive:"+oci, source)
	mustPut(t, s, "oci:"+filepath.Join(dir, "layout"), source)
	tests := []struct{ ref, hint string }{
		{"oci-archive:" + docker, "docker-archive:"},
		{"docker-archive:" + oci, "oci-archive:"},
		{"oci:" + docker, "docker-archive:"},
		{"docker-archive:" + filepath.Join(dir, "layout"), "oci:"},
		{"docker-archive:" + filepath.Join(dir, "missing"), "check the path"},
		{"oci:" + filepath.Join(dir, "missing"), "check the path"},
	}
	for _, test := range tests {
		_, err := s.Open(t.Context(), mustParse(t, test.ref))
		if !errors.Is(err, ErrNotFound) || !strings.Contains(hintOf(err), test.hint) {
			t.Errorf("%s: %v, hint %q", test.ref, err, hintOf(err))
		}
	}
}
