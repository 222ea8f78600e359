package store

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

// BenchmarkWarm changes the user of an image from one repository of a registry to another, as a warm
// convert does, beside the same with go-containerregistry, as crane mutate does.
func BenchmarkWarm(b *testing.B) {
	host, _ := startDistribution(b)
	push(b, host+"/from:1", ociImage(b, 6, 1<<20))
	cache := OpenCache(b.TempDir())
	b.Run("unroot", func(b *testing.B) {
		for i := range b.N {
			s := New(Options{Cache: cache})
			source, err := s.Open(context.Background(), mustParse(b, host+"/from:1"))
			if err != nil {
				b.Fatal(err)
			}
			img := *source.Image
			img.Config = bytes.Replace(img.Config, []byte(`"config":{`), fmt.Appendf(nil, `"config":{"User":"%d",`, i), 1)
			var layers []ocispec.Descriptor
			for _, l := range img.Layers {
				layers = append(layers, l.Descriptor())
			}
			img.Manifest = ManifestFor(img.Config, layers, ocispec.MediaTypeImageManifest)
			img.Digest = digest.FromBytes(img.Manifest)
			if _, err := s.Put(context.Background(), mustParse(b, host+"/to:1"), image.Source{Image: &img}); err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
	b.Run("crane", func(b *testing.B) {
		for i := range b.N {
			img, err := remote.Image(mustName(b, host+"/from:1"))
			if err != nil {
				b.Fatal(err)
			}
			changed, err := mutate.Config(img, v1.Config{User: fmt.Sprint(i)})
			if err != nil {
				b.Fatal(err)
			}
			if err := remote.Write(mustName(b, host+"/to2:1"), changed); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDownload reads a layer from a registry, verified.
func BenchmarkDownload(b *testing.B) {
	host, _ := startDistribution(b)
	push(b, host+"/a:1", ociImage(b, 1, 64<<20))
	s := testStore(b, Options{})
	source := mustOpen(b, s, host+"/a:1")
	b.SetBytes(source.Image.Layers[0].Descriptor().Size)
	for b.Loop() {
		readDiscard(b, source.Image.Layers[0])
	}
}
