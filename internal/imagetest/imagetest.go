// Package imagetest builds small images in memory from a text that can be read, for tests.
package imagetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/image"
	"unroot/internal/layer"
	"unroot/internal/survey"
)

// Image builds the image that a txtar archive describes. Its sections:
//
//	config                      the config's inner "config" object, in JSON; the rest is made around it
//	image                       instead: the whole config; $DIFF_IDS stands for the elements of rootfs.diff_ids
//	manifest                    the whole manifest, with $CONFIG and $LAYERS for the descriptors; "none" for
//	                            an image without one; where it is missing, a plain OCI manifest
//	layer                       begins a layer; lines as entryOf reads them
//	/path [mode] [uid:gid] …    a file of the layer, 0644 0:0 unless said otherwise; "elf" puts an ELF
//	                            header before the text, whose lines become its strings; "cap+ep" and
//	                            "cap+p" give it file capabilities with and without the effective bit
//
// Other sections are the test's own. Files before the first layer section make a layer too.
func Image(ar *txtar.Archive) (*image.Image, error) {
	b := builder{sections: map[string]string{}}
	for _, f := range ar.Files {
		var err error
		switch name, _, _ := strings.Cut(f.Name, " "); {
		case strings.HasPrefix(name, "/"):
			err = b.file(f)
		case name == "layer":
			err = b.lines(f.Data)
		default:
			b.sections[f.Name] = string(bytes.TrimSuffix(f.Data, []byte("\n")))
		}
		if err != nil {
			return nil, fmt.Errorf("section %q: %w", f.Name, err)
		}
	}
	return b.image()
}

type builder struct {
	layers   []layer.Delta
	sections map[string]string
}

func (b *builder) add(e layer.DeltaEntry) {
	if len(b.layers) == 0 {
		b.layers = append(b.layers, layer.Delta{})
	}
	top := &b.layers[len(b.layers)-1]
	top.Entries = append(top.Entries, e)
}

// lines begins a layer with what is no file with content.
func (b *builder) lines(data []byte) error {
	b.layers = append(b.layers, layer.Delta{})
	for line := range strings.Lines(string(data)) {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := entryOf(strings.Fields(line))
		if err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		b.add(e)
	}
	return nil
}

func (b *builder) image() (*image.Image, error) {
	img := &image.Image{}
	var ids, layers []string
	for _, d := range b.layers {
		blob, id, err := d.Compress(layer.Gzip)
		if err != nil {
			return nil, err
		}
		l := &memory{blob, ocispec.Descriptor{MediaType: b.layerType(), Digest: digest.FromBytes(blob), Size: int64(len(blob))}}
		img.Layers = append(img.Layers, l)
		ids = append(ids, fmt.Sprintf("%q", id))
		layers = append(layers, compact(l.descriptor))
	}
	img.Config = []byte(strings.ReplaceAll(b.config(), "$DIFF_IDS", strings.Join(ids, ",")))
	img.Digest = digest.FromBytes(img.Config)
	b.manifest(img, layers)
	return img, nil
}

// config is the whole config. Around the inner object it has what builders write.
func (b *builder) config() string {
	if whole, ok := b.sections["image"]; ok {
		return whole
	}
	inner := b.sections["config"]
	if inner == "" {
		inner = "{}"
	}
	history := make([]string, len(b.layers))
	for i := range history {
		history[i] = `{"created":"2024-02-03T04:05:06Z","created_by":"test"}`
	}
	return fmt.Sprintf(`{"architecture":"amd64","os":"linux","created":"2024-02-03T04:05:06.789Z","config":%s,"rootfs":{"type":"layers","diff_ids":[$DIFF_IDS]},"history":[%s]}`,
		inner, strings.Join(history, ","))
}

const plainManifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":$CONFIG,"layers":[$LAYERS]}`

func (b *builder) manifest(img *image.Image, layers []string) {
	text, ok := b.sections["manifest"]
	switch {
	case text == "none":
		return
	case !ok:
		text = plainManifest
	}
	config := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(img.Config), Size: int64(len(img.Config))}
	img.MediaType = ocispec.MediaTypeImageManifest
	if b.docker() {
		img.MediaType, config.MediaType = image.DockerManifest, image.DockerConfig
	}
	text = strings.ReplaceAll(text, "$CONFIG", compact(config))
	img.Manifest = []byte(strings.ReplaceAll(text, "$LAYERS", strings.Join(layers, ",")))
	img.Digest = digest.FromBytes(img.Manifest)
}

func (b *builder) docker() bool {
	return strings.Contains(b.sections["manifest"], image.DockerManifest)
}

func (b *builder) layerType() string {
	if b.docker() {
		return image.DockerLayerGzip
	}
	return ocispec.MediaTypeImageLayerGzip
}

func compact(d ocispec.Descriptor) string {
	text, _ := json.Marshal(d) // a descriptor always marshals
	return string(text)
}

// memory is a layer that lies in memory.
type memory struct {
	blob       []byte
	descriptor ocispec.Descriptor
}

// Descriptor is the layer as the manifest names it.
func (m *memory) Descriptor() ocispec.Descriptor { return m.descriptor }

// Open reads the stored bytes.
func (m *memory) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.blob)), nil
}

// Parse builds the image of a text, and ends the test where it cannot.
func Parse(t testing.TB, text string) *image.Image {
	t.Helper()
	img, err := Image(txtar.Parse([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Load builds the image of a file, and gives its archive too.
func Load(t testing.TB, name string) (*image.Image, *txtar.Archive) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	ar := txtar.Parse(text)
	img, err := Image(ar)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return img, ar
}

// View reads an image.
func View(t testing.TB, img *image.Image) *image.View {
	t.Helper()
	v, err := image.Open(t.Context(), img, image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Survey reads the image of a text and surveys it.
func Survey(t testing.TB, text string) *survey.Survey {
	t.Helper()
	return survey.Make(View(t, Parse(t, text)))
}

// Section is the data of a section of the archive, and whether there is one.
func Section(ar *txtar.Archive, name string) (string, bool) {
	for _, f := range ar.Files {
		if f.Name == name {
			return string(f.Data), true
		}
	}
	return "", false
}

// SetSection puts data into a section, at the end where there is none.
func SetSection(ar *txtar.Archive, name, data string) {
	for i := range ar.Files {
		if ar.Files[i].Name == name {
			ar.Files[i].Data = []byte(data)
			return
		}
	}
	ar.Files = append(ar.Files, txtar.File{Name: name, Data: []byte(data)})
}

var errForm = errors.New("not in the form of an entry")
