package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const inToto = "application/vnd.in-toto+json"

func mustAttach(t testing.TB, s *Store, ref, blob string) digest.Digest {
	t.Helper()
	d, err := s.Attach(t.Context(), mustParse(t, ref), []byte(blob), inToto)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// attached gives the blobs beside an image, in any order.
func attached(t testing.TB, s *Store, ref, artifactType string) map[string]digest.Digest {
	t.Helper()
	found, err := s.Referrers(t.Context(), mustParse(t, ref), artifactType)
	if err != nil {
		t.Fatal(err)
	}
	blobs := map[string]digest.Digest{}
	for _, r := range found {
		blobs[string(r.Blob)] = r.Digest
	}
	return blobs
}

// registries are the ways in which registries keep what refers to a manifest.
func registries(t *testing.T) map[string]func() string {
	serve := func(handler http.Handler) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return strings.TrimPrefix(server.URL, "http://")
	}
	quiet := ggcr.Logger(log.New(io.Discard, "", 0))
	return map[string]func() string{
		"tag":          func() string { return serve(ggcr.New(quiet)) },
		"list":         func() string { return serve(ggcr.New(quiet, ggcr.WithReferrersSupport(true))) },
		"list, told":   func() string { return serve(tellsSubject(ggcr.New(quiet, ggcr.WithReferrersSupport(true)))) },
		"paged list":   func() string { return serve(paged(ggcr.New(quiet, ggcr.WithReferrersSupport(true)))) },
		"distribution": func() string { host, _ := startDistribution(t); return host },
	}
}

// tellsSubject answers a manifest with a subject as the specification wants it.
func tellsSubject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			data, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(data))
			var m ocispec.Manifest
			if json.Unmarshal(data, &m) == nil && m.Subject != nil {
				w.Header().Set("OCI-Subject", m.Subject.Digest.String())
			}
		}
		next.ServeHTTP(w, r)
	})
}

// paged gives a list one entry a page.
func paged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			next.ServeHTTP(w, r)
			return
		}
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, r)
		var index ocispec.Index
		at := 0
		fmt.Sscan(r.URL.Query().Get("at"), &at)
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		json.Unmarshal(whole.Body.Bytes(), &index)
		// the registry's own order is a map's
		slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
		if at+1 < len(index.Manifests) {
			w.Header().Set("Link", fmt.Sprintf(`<%s?at=%d>; rel="next"`, r.URL.Path, at+1))
		}
		if at < len(index.Manifests) {
			index.Manifests = index.Manifests[at : at+1]
		}
		json.NewEncoder(w).Encode(index)
	})
}

// What is attached is read back, by unroot and by go-containerregistry; the image's tag leads to the
// same bytes as before.
func TestAttachRegistry(t *testing.T) {
	t.Parallel()
	for kind, start := range registries(t) {
		for format, what := range map[string]remote.Taggable{"docker": testImage(t, 1, 100), "oci": ociImage(t, 1, 100), "index": testIndex(t)} {
			t.Run(kind+"/"+format, func(t *testing.T) {
				t.Parallel()
				ref := start() + "/some/app:1"
				push(t, ref, what)
				before := rawManifest(t, ref)
				s := testStore(t, Options{})
				if got := attached(t, s, ref, inToto); len(got) != 0 {
					t.Fatalf("nothing is attached, and: %v", got)
				}
				first := mustAttach(t, s, ref, `{"proof":1}`)
				if again := mustAttach(t, testStore(t, Options{}), ref, `{"proof":1}`); again != first {
					t.Errorf("the same blob becomes %s and %s", first, again)
				}
				if kind != "paged list" { // the judge does not turn pages
					foreign(t, ref, first, 1)
				}
				second := mustAttach(t, s, ref, `{"proof":2}`)
				if got := attached(t, testStore(t, Options{}), ref, inToto); len(got) != 2 || got[`{"proof":1}`] != first || got[`{"proof":2}`] != second {
					t.Errorf("attached %v", got)
				}
				if got := attached(t, s, ref, ""); len(got) != 2 {
					t.Errorf("of any type: %v", got)
				}
				if got := attached(t, s, ref, "application/other"); len(got) != 0 {
					t.Errorf("of another type: %v", got)
				}
				if !bytes.Equal(before, rawManifest(t, ref)) {
					t.Error("the image changed")
				}
			})
		}
	}
}

// foreign lets go-containerregistry look for what refers to an image, and read it.
func foreign(t *testing.T, ref string, want digest.Digest, n int) {
	t.Helper()
	subject := mustName(t, ref).Context().Digest(digest.FromBytes(rawManifest(t, ref)).String())
	index, err := remote.Referrers(subject)
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Manifests) != n || list.Manifests[0].Digest.String() != want.String() {
		t.Fatalf("go-containerregistry finds %+v, want %s", list.Manifests, want)
	}
	img, err := remote.Image(subject.Context().Digest(want.String()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	if m.ArtifactType != inToto || m.Subject.Digest.String() != subject.DigestStr() || m.Config.MediaType != ocispec.MediaTypeEmptyJSON || len(m.Layers) != 1 {
		t.Errorf("%s", raw)
	}
}

// skopeo reads the attached manifest by its digest, and copies the image as before.
func TestAttachSkopeo(t *testing.T) {
	t.Parallel()
	host, _ := startDistribution(t)
	ref := host + "/app:1"
	push(t, ref, ociImage(t, 2, 1000))
	s := testStore(t, Options{})
	d := mustAttach(t, s, ref, `{"proof":1}`)
	raw := program(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+host+"/app@"+d.String())
	if digest.FromBytes(raw) != d {
		t.Errorf("skopeo reads %s", raw)
	}
	dir := filepath.Join(t.TempDir(), "layout")
	program(t, "skopeo", "copy", "--src-tls-verify=false", "docker://"+ref, "oci:"+dir+":v1")
	attachment := mustAttach(t, s, "oci:"+dir+":v1", `{"proof":1}`)
	program(t, "skopeo", "inspect", "oci:"+dir+":v1")
	program(t, "skopeo", "copy", "oci:"+dir+":v1", "oci:"+filepath.Join(t.TempDir(), "other")+":v1")
	if attachment != d {
		t.Errorf("the same proof of the same image is %s in a layout and %s in a registry", attachment, d)
	}
}

func TestAttachLayout(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 100)))
	mustPut(t, s, "oci:"+dir, source)
	first := mustAttach(t, s, "oci:"+dir, `{"proof":1}`)
	mustAttach(t, s, "oci:"+dir, `{"proof":1}`)
	if got := attached(t, s, "oci:"+dir, inToto); len(got) != 1 || got[`{"proof":1}`] != first {
		t.Errorf("attached %v", got)
	}
	mustOpen(t, s, "oci:"+dir) // what is attached is not another image of the layout
	mustPut(t, s, "oci:"+dir, source)
	mustPut(t, s, "oci:"+dir+":v1", source)
	if got := attached(t, s, "oci:"+dir+":v1", ""); len(got) != 1 {
		t.Errorf("after other puts: %v", got)
	}
	noLeftovers(t, dir)

	// go-containerregistry sees it in index.json, with its type.
	path, err := layout.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, d := range list.Manifests {
		if d.ArtifactType == inToto && d.Digest.String() == first.String() {
			n++
		}
	}
	if n != 1 {
		t.Errorf("index.json: %+v", list.Manifests)
	}
}

func TestAttachMember(t *testing.T) {
	t.Parallel()
	host := startRegistry(t, nil)
	index := testIndex(t)
	ref := push(t, host+"/app:1", index)
	list, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	member := digest.Digest(list.Manifests[1].Digest.String())
	s := testStore(t, Options{})
	d, err := s.AttachMember(t.Context(), ref, member, []byte("{}"), inToto)
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.MemberReferrers(t.Context(), ref, member, inToto)
	if err != nil || len(found) != 1 || found[0].Digest != d || found[0].ArtifactType != inToto {
		t.Errorf("%+v %v", found, err)
	}
	if got := attached(t, s, host+"/app@"+member.String(), ""); len(got) != 1 {
		t.Errorf("by its digest: %v", got)
	}
	if got := attached(t, s, host+"/app:1", ""); len(got) != 0 {
		t.Errorf("beside the index: %v", got)
	}
	other := digest.FromString("other")
	if _, err := s.AttachMember(t.Context(), ref, other, nil, inToto); !errors.Is(err, ErrNotFound) {
		t.Errorf("to no member: %v", err)
	}
}

func TestAttachErrors(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	host := startRegistry(t, nil)
	for ref, want := range map[string]error{
		host + "/none:1": ErrNotFound, "oci:" + filepath.Join(t.TempDir(), "none"): ErrNotFound, "docker-archive:x.tar": ErrUnsupported,
		"docker-daemon:x": ErrUnsupported, "-": ErrUnsupported, "127.0.0.1:1/x:1": ErrUnreachable,
	} {
		if _, err := s.Attach(t.Context(), mustParse(t, ref), []byte("{}"), inToto); !errors.Is(err, want) {
			t.Errorf("attaching to %s: %v, want %v", ref, err, want)
		}
		if _, err := s.Referrers(t.Context(), mustParse(t, ref), ""); !errors.Is(err, want) {
			t.Errorf("reading from %s: %v, want %v", ref, err, want)
		}
	}
	ref := push(t, host+"/app:1", testImage(t, 1, 10))
	if _, err := s.Attach(t.Context(), ref, make([]byte, maxAttachment+1), inToto); !errors.Is(err, ErrLimit) {
		t.Errorf("too large: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Attach(ctx, ref, []byte("{}"), inToto); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A registry that lies about what refers to an image, or about its bytes, is not believed.
func TestReferrersHostile(t *testing.T) {
	t.Parallel()
	host := startRegistry(t, nil)
	one := push(t, host+"/app:1", ociImage(t, 1, 10))
	push(t, host+"/app:2", ociImage(t, 1, 10))
	s := testStore(t, Options{})
	d := mustAttach(t, s, host+"/app:2", `{"of":2}`)
	about2 := rawManifest(t, host+"/app@"+d.String())
	tagOf := func(ref Ref) name.Tag {
		subject := digest.FromBytes(rawManifest(t, strings.TrimPrefix(ref.Name, "docker.io/")))
		return mustName(t, host+"/app:1").Context().Tag(referrersTag(subject))
	}
	lie := func(list string) {
		request, err := http.NewRequest(http.MethodPut, "http://"+host+"/v2/app/manifests/"+tagOf(one).TagStr(), strings.NewReader(list))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", ocispec.MediaTypeImageIndex)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	entry := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"artifactType":%q}`, ocispec.MediaTypeImageManifest, d, len(about2), inToto)
	lie(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[` + entry + `]}`)
	if got := attached(t, s, host+"/app:1", ""); len(got) != 0 {
		t.Errorf("what is about another image is taken: %v", got)
	}
	lie(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[` + strings.Replace(entry, fmt.Sprintf(`"size":%d`, len(about2)), `"size":-1`, 1) + `]}`)
	if _, err := s.Referrers(t.Context(), one, ""); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a negative size: %v", err)
	}
	if got := attached(t, s, host+"/app:2", ""); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// Two that attach to one layout at the same time both stay, and each leaves the image whole.
func TestAttachTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 100)))
	mustPut(t, s, "oci:"+dir+":v1", source)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			if _, err := New(Options{}).Attach(t.Context(), Ref{Transport: OCILayout, Path: dir, Name: "v1"}, fmt.Append(nil, i), inToto); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := attached(t, s, "oci:"+dir+":v1", inToto); len(got) != 8 {
		t.Errorf("%d of 8 stayed", len(got))
	}
	mustOpen(t, s, "oci:"+dir+":v1")
}

// Where the last write fails, the layout is what it was.
func TestAttachInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := testStore(t, Options{})
	mustPut(t, s, "oci:"+dir+":v1", mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 100))))
	before, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, stop := range []int{1, 2, 3} {
		place := &failing{layoutShelf{folder(dir), mustParse(t, "oci:"+dir+":v1")}, stop}
		if _, err := attach(t.Context(), place, "", fmt.Append(nil, stop), inToto); err == nil {
			t.Fatal("no error")
		}
		after, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("index.json changed: %v", err)
		}
		if got := attached(t, s, "oci:"+dir+":v1", ""); len(got) != 0 {
			t.Errorf("%v", got)
		}
	}
}

// failing is a layout whose blobs cannot be read any more after the first ones.
type failing struct {
	layoutShelf
	after int
}

func (f *failing) put(ctx context.Context, subject, d ocispec.Descriptor, manifest *blob, blobs []*blob) error {
	all := append(blobs, manifest)
	for i, b := range all {
		if i+1 == f.after {
			b.open = func(context.Context) (io.ReadCloser, error) { return nil, errors.New("gone") }
		}
	}
	return f.layoutShelf.put(ctx, subject, d, all[len(all)-1], all[:len(all)-1])
}
