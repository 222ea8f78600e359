package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"unroot/internal/image"
	"unroot/internal/oracle"
)

// fastBackoff keeps retries in tests short.
var fastBackoff = backoff{attempts: 6, first: time.Millisecond, longest: 5 * time.Millisecond, patience: 3 * time.Second}

// testStore is a Store that reads no file of the user and retries without long pauses.
func testStore(t testing.TB, options Options) *Store {
	t.Helper()
	if options.TempDir == "" {
		options.TempDir = t.TempDir()
	}
	s := New(options)
	s.backoff = fastBackoff
	s.transport.(*retrier).backoff = fastBackoff
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

// startRegistry serves go-containerregistry's registry, inside what wrap makes of it, and gives its
// host:port.
func startRegistry(t testing.TB, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	handler := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// testImage makes a Docker image of random gzip layers.
func testImage(t testing.TB, layers int, size int64) v1.Image {
	t.Helper()
	return platformImage(t, "linux", "amd64", types.DockerLayer, layers, size)
}

// ociImage is testImage in the OCI format.
func ociImage(t testing.TB, layers int, size int64) v1.Image {
	t.Helper()
	img := platformImage(t, "linux", "amd64", types.OCILayer, layers, size)
	return mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
}

func platformImage(t testing.TB, os, arch string, layer types.MediaType, layers int, size int64) v1.Image {
	t.Helper()
	img := empty.Image
	for range layers {
		l, err := random.Layer(size, layer)
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = os, arch
	config.Config.Labels = map[string]string{"test": t.Name()}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// testIndex makes an index of two platforms, an attestation and a nested index.
func testIndex(t testing.TB) v1.ImageIndex {
	t.Helper()
	add := func(os, arch string, format types.MediaType, annotations map[string]string) mutate.IndexAddendum {
		img := platformImage(t, os, arch, format, 2, 512)
		if format == types.OCILayer {
			img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
		}
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: os, Architecture: arch}, Annotations: annotations}}
	}
	oci := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	return mutate.AppendManifests(oci,
		add("linux", "amd64", types.OCILayer, nil),
		add("linux", "arm64", types.DockerLayer, nil),
		add("unknown", "unknown", types.OCILayer, map[string]string{"vnd.docker.reference.type": "attestation-manifest"}),
		mutate.IndexAddendum{Add: mutate.AppendManifests(oci, add("linux", "riscv64", types.OCILayer, nil))},
	)
}

// push writes with go-containerregistry and gives the reference for us.
func push(t testing.TB, to string, what remote.Taggable) Ref {
	t.Helper()
	if err := remote.Push(mustName(t, to), what); err != nil {
		t.Fatal(err)
	}
	return mustParse(t, to)
}

func mustName(t testing.TB, s string) name.Reference {
	t.Helper()
	n, err := name.ParseReference(s, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustParse(t testing.TB, s string) Ref {
	t.Helper()
	ref, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func mustOpen(t testing.TB, s *Store, ref string) image.Source {
	t.Helper()
	source, err := s.Open(t.Context(), mustParse(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func mustPut(t testing.TB, s *Store, ref string, source image.Source) string {
	t.Helper()
	id, err := s.Put(t.Context(), mustParse(t, ref), source)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// readLayer gives a layer's stored bytes.
func readLayer(t testing.TB, l image.Layer) []byte {
	t.Helper()
	in, err := l.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	data, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// validRemote lets go-containerregistry judge what is in a registry: every digest, size, diff id.
func validRemote(t testing.TB, ref string) {
	t.Helper()
	got, err := remote.Get(mustName(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	if got.MediaType.IsIndex() {
		index, err := got.ImageIndex()
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(index); err != nil {
			t.Errorf("go-containerregistry on %s: %v", ref, err)
		}
		return
	}
	img, err := got.Image()
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(img); err != nil {
		t.Errorf("go-containerregistry on %s: %v", ref, err)
	}
}

// rawManifest gives what a registry has under a name.
func rawManifest(t testing.TB, ref string) []byte {
	t.Helper()
	got, err := remote.Get(mustName(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	return got.Manifest
}

// program runs an oracle and gives its standard output.
func program(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, oracle.Program(t, name), args...)
	command.Env = append(os.Environ(), "HOME="+t.TempDir(), "REGISTRY_AUTH_FILE="+filepath.Join(t.TempDir(), "none"))
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errs.Bytes())
	}
	return out.Bytes()
}

// noLeftovers fails where a folder holds an unfinished file of ours.
func noLeftovers(t testing.TB, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if isTempName(e.Name()) || strings.HasPrefix(e.Name(), "unroot-") {
				t.Errorf("left behind: %s", filepath.Join(dir, e.Name()))
			}
		}
	}
}

// counter counts requests by method and kind of address.
type counter struct {
	next http.Handler
	log  chan string
}

func countRequests(log chan string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return counter{next, log} }
}

func (c counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.log <- fmt.Sprintf("%s %s", r.Method, r.URL.RequestURI())
	c.next.ServeHTTP(w, r)
}

// taken empties the log.
func taken(log chan string) []string {
	var all []string
	for {
		select {
		case line := <-log:
			all = append(all, line)
		default:
			return all
		}
	}
}

// manifestOf gives the bytes and the digest of a source's root.
func manifestOf(source image.Source) ([]byte, string) {
	if source.Index != nil {
		return source.Index.Raw, source.Index.Digest.String()
	}
	return source.Image.Manifest, source.Image.Digest.String()
}

// readDiscard reads a layer to its end.
func readDiscard(t testing.TB, l image.Layer) {
	t.Helper()
	in, err := l.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Fatal(err)
	}
}
