package store

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"unroot/internal/image"
)

// What is opened and put back has the same manifest bytes (law 2), and go-containerregistry finds
// every blob of it.
func TestRegistryRoundTrip(t *testing.T) {
	t.Parallel()
	host := startRegistry(t, nil)
	tests := map[string]remote.Taggable{
		"docker": testImage(t, 3, 1000),
		"oci":    ociImage(t, 2, 2000),
		"index":  testIndex(t),
	}
	for name, what := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ref := push(t, host+"/src/"+name+":1", what)
			s := testStore(t, Options{})
			source := mustOpen(t, s, ref.String())
			if source.Ref != ref.String() {
				t.Errorf("Ref is %q, want %q", source.Ref, ref)
			}
			to := host + "/dst/" + name + ":2"
			id := mustPut(t, s, to, source)
			want := rawManifest(t, host+"/src/"+name+":1")
			if got := rawManifest(t, to); !bytes.Equal(got, want) {
				t.Errorf("manifest is\n%s\nwant\n%s", got, want)
			}
			if id != digest.FromBytes(want).String() {
				t.Errorf("id is %s, want the manifest's digest", id)
			}
			validRemote(t, to)
		})
	}
}

// Between registries blobs are copied.
func TestRegistryToRegistry(t *testing.T) {
	t.Parallel()
	from, to := startRegistry(t, nil), startRegistry(t, nil)
	push(t, from+"/a:1", testIndex(t))
	s := testStore(t, Options{})
	mustPut(t, s, to+"/b:1", mustOpen(t, s, from+"/a:1"))
	validRemote(t, to+"/b:1")
}

func TestRegistryIndexMembers(t *testing.T) {
	t.Parallel()
	host := startRegistry(t, nil)
	push(t, host+"/a:1", testIndex(t))
	source := mustOpen(t, testStore(t, Options{}), host+"/a:1")
	if source.Image != nil || len(source.Index.Members) != 4 {
		t.Fatalf("got image %v and %d members, want an index of 4", source.Image, len(source.Index.Members))
	}
	m := source.Index.Members
	for i, want := range []string{"image", "image", "raw", "index"} {
		got := "raw"
		switch {
		case m[i].Image != nil:
			got = "image"
		case m[i].Index != nil:
			got = "index"
		}
		if got != want {
			t.Errorf("member %d is %s, want %s", i, got, want)
		}
	}
	if m[0].Image.MediaType == image.DockerManifest || m[1].Image.MediaType != image.DockerManifest {
		t.Errorf("media types %q and %q: want OCI and Docker", m[0].Image.MediaType, m[1].Image.MediaType)
	}
	if len(m[2].Blobs) != 3 {
		t.Errorf("the attestation has %d blobs, want config and two layers", len(m[2].Blobs))
	}
	if len(m[3].Index.Members) != 1 || m[3].Index.Members[0].Image == nil {
		t.Errorf("the nested index has no image")
	}
}

func TestRegistryByDigest(t *testing.T) {
	t.Parallel()
	host := startRegistry(t, nil)
	img := testImage(t, 1, 100)
	push(t, host+"/a:1", img)
	hash, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	s := testStore(t, Options{})
	source := mustOpen(t, s, host+"/a@"+hash.String())
	if source.Image.Digest.String() != hash.String() {
		t.Errorf("digest is %s, want %s", source.Image.Digest, hash)
	}
	mustPut(t, s, host+"/b@"+hash.String(), source)
	validRemote(t, host+"/b@"+hash.String())

	other := strings.Repeat("0", 64)
	if _, err := s.Put(t.Context(), mustParse(t, host+"/b@sha256:"+other), source); err == nil {
		t.Error("a put under the wrong digest succeeds")
	}
	if _, err := s.Open(t.Context(), mustParse(t, host+"/a@sha256:"+other)); !errors.Is(err, ErrNotFound) {
		t.Errorf("opening an unknown digest: %v, want not found", err)
	}
}

func TestRegistryErrors(t *testing.T) {
	t.Parallel()
	status := func(code int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				w.WriteHeader(code)
			}
		}))
		t.Cleanup(server.Close)
		return strings.TrimPrefix(server.URL, "http://")
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	gone := strings.TrimPrefix(closed.URL, "http://")
	closed.Close()
	tests := []struct {
		name, host string
		want       error
	}{
		{"no such repository", startRegistry(t, nil), ErrNotFound},
		{"401", status(401), ErrUnauthorized},
		{"403", status(403), ErrUnauthorized},
		{"429 without end", status(429), ErrUnreachable},
		{"500 without end", status(500), ErrUnreachable},
		{"nobody there", gone, ErrUnreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := testStore(t, Options{}).Open(t.Context(), mustParse(t, test.host+"/x:1"))
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			var hint *HintError
			if !errors.As(err, &hint) || hint.Hint == "" {
				t.Errorf("%v has no hint", err)
			}
		})
	}
}

// A warm convert inside one registry asks no more than it must. The figures are what the protocol
// needs, so this test also says where the time goes.
func TestRegistryRequests(t *testing.T) {
	t.Parallel()
	log := make(chan string, 1000)
	host := startRegistry(t, countRequests(log))
	push(t, host+"/a:1", testImage(t, 3, 1000))
	cache := OpenCache(t.TempDir())
	expect := func(what string, max int) {
		t.Helper()
		if got := taken(log); len(got) > max {
			t.Errorf("%s: %d requests, want at most %d:\n%s", what, len(got), max, strings.Join(got, "\n"))
		}
	}
	taken(log)
	s := testStore(t, Options{Cache: cache})
	source := mustOpen(t, s, host+"/a:1")
	expect("cold open: ping, manifest, config", 3)

	s = testStore(t, Options{Cache: cache})
	source = mustOpen(t, s, host+"/a:1")
	expect("warm open: ping, manifest", 2)

	mustPut(t, s, host+"/a:2", source)
	expect("put into the same repository: old manifest, config, manifest", 3)

	mustPut(t, s, host+"/b:1", source)
	// This registry does not mount: it answers with an upload, which is looked behind and ended.
	expect("put into another repository: old manifest, 3 × (mount, look, end), config, manifest", 12)

	mustPut(t, s, host+"/b:1", source)
	expect("the same again: old manifest, manifest", 2)

	byDigest := host + "/a@" + source.Image.Digest.String()
	mustOpen(t, testStore(t, Options{Cache: cache}), byDigest)
	expect("cold open by digest: ping, manifest", 2)
	mustOpen(t, testStore(t, Options{Cache: cache}), byDigest)
	expect("warm open by digest", 0)
}
