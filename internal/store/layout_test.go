package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/oracle"
)

// validLayout lets go-containerregistry judge a whole layout.
func validLayout(t testing.TB, dir string) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Errorf("go-containerregistry on %s: %v", dir, err)
	}
}

// fromRegistry opens an image that go-containerregistry has written.
func fromRegistry(t testing.TB, s *Store, what remote.Taggable) (source string) {
	t.Helper()
	return push(t, startRegistry(t, nil)+"/a:1", what).String()
}

func TestLayoutRoundTrip(t *testing.T) {
	t.Parallel()
	for name, what := range map[string]remote.Taggable{
		"docker": testImage(t, 3, 1000), "oci": ociImage(t, 2, 2000), "index": testIndex(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testStore(t, Options{})
			source := mustOpen(t, s, fromRegistry(t, s, what))
			want, err := what.RawManifest()
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "new", "layout")
			id := mustPut(t, s, "oci:"+dir+":v1", source)
			validLayout(t, dir)
			noLeftovers(t, dir)
			again := mustOpen(t, s, "oci:"+dir+":v1")
			raw, self := manifestOf(again)
			if !bytes.Equal(raw, want) || self != id {
				t.Errorf("manifest changed on its way through a layout")
			}
			other := filepath.Join(t.TempDir(), "other")
			if got := mustPut(t, s, "oci:"+other, again); got != id {
				t.Errorf("id is %s in a second layout, %s in the first", got, id)
			}
			mustOpen(t, s, "oci:"+other) // the only image needs no tag
		})
	}
}

// Other tags stay, a tag that is there moves, and entries keep what other tools put into them.
func TestLayoutTags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := testStore(t, Options{})
	one, two := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 100))), mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 100)))
	mustPut(t, s, "oci:"+dir+":a", one)
	path := filepath.Join(dir, "index.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte(`"annotations":{`), []byte(`"x-vendor":[1, 2],"annotations":{"k":"v",`), 1)
	data = bytes.Replace(data, []byte(`"schemaVersion"`), []byte(`"x-top":true,"schemaVersion"`), 1)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	b := mustPut(t, s, "oci:"+dir+":b", two)
	if b2 := mustPut(t, s, "oci:"+dir+":c", one); b2 == b {
		t.Fatal("the test's two images are one")
	}
	moved := mustPut(t, s, "oci:"+dir+":c", two)
	if moved != b {
		t.Errorf("one image has two digests: %s and %s", moved, b)
	}
	data, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"x-vendor"`, `"x-top"`, `"k":"v"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("index.json has lost %s:\n%s", want, data)
		}
	}
	var index struct{ Manifests []json.RawMessage }
	if err := json.Unmarshal(data, &index); err != nil || len(index.Manifests) != 3 {
		t.Errorf("%d entries (%v), want 3:\n%s", len(index.Manifests), err, data)
	}
	if _, err := s.Open(t.Context(), mustParse(t, "oci:"+dir)); !errors.Is(err, ErrNotFound) {
		t.Errorf("opening one of many without a tag: %v", err)
	} else if hint := hintOf(err); !strings.Contains(hint, `"a", "b", "c"`) {
		t.Errorf("hint is %q, want the tags", hint)
	}
}

func hintOf(err error) string {
	var hint *HintError
	if errors.As(err, &hint) {
		return hint.Hint
	}
	return ""
}

// Many writers at once: every tag is there at the end.
func TestLayoutConcurrentPuts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "layout")
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 2, 1000)))
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			other := testStore(t, Options{})
			if _, err := other.Put(t.Context(), mustParse(t, fmt.Sprintf("oci:%s:t%d", dir, i)), source); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range 12 {
		mustOpen(t, s, fmt.Sprintf("oci:%s:t%d", dir, i))
	}
	validLayout(t, dir)
	noLeftovers(t, dir)
}

// A damaged blob is written anew; a whole one is left alone.
func TestLayoutRepairsBlobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 2, 1000)))
	mustPut(t, s, "oci:"+dir+":a", source)
	blob := func(i int) string {
		return filepath.Join(dir, filepath.FromSlash(blobPath(source.Image.Layers[i].Descriptor().Digest)))
	}
	before, err := os.Stat(blob(1))
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(blob(0))
	if err != nil {
		t.Fatal(err)
	}
	data[10] ^= 1
	if err := os.WriteFile(blob(0), data, 0o644); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "oci:"+dir+":b", source)
	validLayout(t, dir)
	after, err := os.Stat(blob(1))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("a whole blob was written again (%v)", err)
	}
}

// A folder that is something else is not touched, and a failed put takes its folder back.
func TestLayoutRefusesOtherFolders(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 100)))
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), mustParse(t, "oci:"+home+":a"), source); err == nil {
		t.Error("a put into a folder of other things succeeds")
	}
	if entries, _ := os.ReadDir(home); len(entries) != 1 {
		t.Errorf("the folder has %d entries now", len(entries))
	}
	source.Image.Layers = nil // makes the put fail
	fresh := filepath.Join(t.TempDir(), "fresh")
	if _, err := s.Put(t.Context(), mustParse(t, "oci:"+fresh+":a"), source); err == nil {
		t.Error("a put of half an image succeeds")
	}
	if exists(fresh) {
		t.Error("a failed put leaves its folder")
	}
}

// What we write, skopeo and umoci read; what skopeo writes, we read. Both look only for OCI's
// manifests in a layout, so a Docker image needs OCIFormat.
func TestLayoutJudges(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"skopeo", "umoci"} {
		oracle.Program(t, p)
	}
	for name, what := range map[string]remote.Taggable{"docker": testImage(t, 2, 5000), "oci": ociImage(t, 2, 5000)} {
		t.Run(name, func(t *testing.T) {
			s := testStore(t, Options{OCIFormat: name == "docker"})
			source := mustOpen(t, s, fromRegistry(t, s, what))
			dir := filepath.Join(t.TempDir(), "l")
			id := mustPut(t, s, "oci:"+dir+":v1", source)
			raw := program(t, "skopeo", "inspect", "--raw", "oci:"+dir+":v1")
			if digest.FromBytes(raw).String() != id {
				t.Errorf("skopeo reads another manifest:\n%s", raw)
			}
			program(t, "skopeo", "inspect", "oci:"+dir+":v1")
			copied := filepath.Join(t.TempDir(), "c")
			program(t, "skopeo", "copy", "oci:"+dir+":v1", "oci:"+copied+":v2")
			mustOpen(t, s, "oci:"+copied+":v2")
			program(t, "umoci", "unpack", "--rootless", "--image", dir+":v1", filepath.Join(t.TempDir(), "bundle"))
		})
	}
}

// OCIFormat changes media types and nothing else.
func TestLayoutOCIFormat(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{OCIFormat: true})
	before := mustOpen(t, s, fromRegistry(t, s, testIndex(t)))
	dir := filepath.Join(t.TempDir(), "l")
	mustPut(t, s, "oci:"+dir, before)
	validLayout(t, dir)
	after := mustOpen(t, s, "oci:"+dir)
	was, is := before.Index.Members, after.Index.Members
	if !bytes.Equal(was[0].Image.Manifest, is[0].Image.Manifest) {
		t.Error("an OCI manifest changed")
	}
	if is[1].Image.MediaType != ocispec.MediaTypeImageManifest || !bytes.Equal(was[1].Image.Config, is[1].Image.Config) {
		t.Errorf("media type %q, or another config", is[1].Image.MediaType)
	}
	for i, l := range was[1].Image.Layers {
		if got := is[1].Image.Layers[i].Descriptor(); got.Digest != l.Descriptor().Digest || got.MediaType != ocispec.MediaTypeImageLayerGzip {
			t.Errorf("layer %d is %+v", i, got)
		}
	}
	if is[1].Descriptor.Platform == nil || is[1].Descriptor.Platform.Architecture != "arm64" {
		t.Errorf("the platform is lost: %+v", is[1].Descriptor)
	}
}

// One platform of an index that we wrote can be taken out by skopeo.
func TestLayoutIndexJudge(t *testing.T) {
	t.Parallel()
	oracle.Program(t, "skopeo")
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, testIndex(t)))
	dir := filepath.Join(t.TempDir(), "l")
	mustPut(t, s, "oci:"+dir+":v1", source)
	out := filepath.Join(t.TempDir(), "o")
	program(t, "skopeo", "copy", "--override-arch", "arm64", "--override-os", "linux", "oci:"+dir+":v1", "oci:"+out+":arm")
	one := mustOpen(t, s, "oci:"+out+":arm")
	if one.Image == nil || !bytes.Contains(one.Image.Config, []byte(`"architecture":"arm64"`)) {
		t.Error("skopeo took another platform")
	}
}
