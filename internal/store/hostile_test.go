package store

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

// forgery is a place whose manifests and blobs a test makes up.
type forgery map[digest.Digest][]byte

func (f forgery) add(mediaType string, data []byte) ocispec.Descriptor {
	d := bytesBlob(mediaType, data).descriptor
	f[d.Digest] = data
	return d
}

// image makes up an image and gives its descriptor.
func (f forgery) image(change func(m map[string]any)) ocispec.Descriptor {
	layer := f.add(ocispec.MediaTypeImageLayer, []byte("layer"))
	config := f.add(ocispec.MediaTypeImageConfig,
		[]byte(fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]}}`, layer.Digest)))
	m := map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": config,
		"layers": []ocispec.Descriptor{layer}}
	if change != nil {
		change(m)
	}
	return f.add(ocispec.MediaTypeImageManifest, mustJSON(m))
}

func (f forgery) config(m map[string]any, text string) {
	m["config"] = f.add(ocispec.MediaTypeImageConfig, []byte(text))
}

func (f forgery) layer(m map[string]any, mediaType string) {
	m["layers"] = []ocispec.Descriptor{f.add(mediaType, []byte("layer"))}
}

// serve puts the forgery behind the protocol of a registry, root under every tag, and into a layout.
func (f forgery) serve(t *testing.T, root ocispec.Descriptor) (refs []string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		data, ok := f[digest.Digest(last)]
		switch {
		case r.URL.Path == "/v2/":
		case last == "tag":
			w.Header().Set("Content-Type", root.MediaType)
			w.Write(f[root.Digest])
		case ok:
			w.Write(data)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	for d, data := range f {
		path := filepath.Join(dir, filepath.FromSlash(blobPath(d)))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string][]byte{"oci-layout": layoutFile, "index.json": (&layoutIndex{}).with(root, "tag")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{strings.TrimPrefix(server.URL, "http://") + "/x:tag", "oci:" + dir + ":tag"}
}

// Every image here is refused, with an error of the right kind that says why, from a registry and
// from a layout.
func TestHostileImages(t *testing.T) {
	t.Parallel()
	index := func(f forgery, members ...ocispec.Descriptor) ocispec.Descriptor {
		return f.add(ocispec.MediaTypeImageIndex, mustJSON(map[string]any{"schemaVersion": 2,
			"mediaType": ocispec.MediaTypeImageIndex, "manifests": members}))
	}
	raw := func(mediaType, text string) func(forgery) ocispec.Descriptor {
		return func(f forgery) ocispec.Descriptor { return f.add(mediaType, []byte(text)) }
	}
	changed := func(change func(f forgery, m map[string]any)) func(forgery) ocispec.Descriptor {
		return func(f forgery) ocispec.Descriptor { return f.image(func(m map[string]any) { change(f, m) }) }
	}
	tests := []struct {
		name  string
		forge func(forgery) ocispec.Descriptor
		want  error
		says  string
	}{
		{"manifest is not JSON", raw(ocispec.MediaTypeImageManifest, "hello"), ErrCorrupt, "not a JSON object"},
		{"manifest is cut", raw(ocispec.MediaTypeImageManifest, `{"schemaVersion": 2, "config": {`), ErrCorrupt, "manifest"},
		{"manifest is an array", raw(ocispec.MediaTypeImageManifest, `[]`), ErrCorrupt, "not a JSON object"},
		{"bytes behind the manifest", raw(ocispec.MediaTypeImageManifest, `{"schemaVersion":2} {}`), ErrCorrupt, "after its end"},
		{"no config", raw(ocispec.MediaTypeImageManifest, `{"schemaVersion":2}`), ErrCorrupt, "no config"},
		{"a key twice", raw(ocispec.MediaTypeImageManifest, `{"layers":[],"layers":[]}`), ErrCorrupt, "twice"},
		{"a key in another case", raw(ocispec.MediaTypeImageManifest, `{"layers":[],"Layers":[]}`), ErrCorrupt, `"Layers"`},
		{"image and index at once", raw("", `{"config":{},"manifests":[]}`), ErrCorrupt, "both"},
		{"index called image", raw(ocispec.MediaTypeImageManifest, `{"manifests":[]}`), ErrCorrupt, "index's fields"},
		{"image called index", raw(ocispec.MediaTypeImageIndex, `{"layers":[]}`), ErrCorrupt, "image's fields"},
		{"unknown media type", raw("application/x-unknown", `{}`), ErrUnsupported, "application/x-unknown"},
		{"Docker schema 1", raw(dockerSchema1Signed, `{"schemaVersion":1,"fsLayers":[]}`), ErrUnsupported, "schema 1"},
		{"huge manifest", func(f forgery) ocispec.Descriptor {
			return f.add(ocispec.MediaTypeImageManifest, bytes.Repeat([]byte(" "), maxManifest+1))
		}, ErrLimit, "bytes"},
		{"artifact", changed(func(f forgery, m map[string]any) {
			m["config"] = f.add("application/vnd.cncf.helm.config.v1+json", []byte("{}"))
		}), ErrUnsupported, "artifact (application/vnd.cncf.helm"},
		{"config is not JSON", changed(func(f forgery, m map[string]any) { f.config(m, "hello") }), ErrCorrupt, "config"},
		{"config lies about layers", changed(func(f forgery, m map[string]any) { f.config(m, `{"os":"linux"}`) }), ErrCorrupt, "names 0 layers"},
		{"Windows", changed(func(f forgery, m map[string]any) { f.config(m, `{"os":"windows"}`) }), ErrUnsupported, "windows"},
		{"huge config", changed(func(f forgery, m map[string]any) {
			d := f.add(ocispec.MediaTypeImageConfig, []byte("{}"))
			d.Size = maxConfig + 1
			m["config"] = d
		}), ErrLimit, "at most"},
		{"config of a negative size", changed(func(f forgery, m map[string]any) {
			m["config"] = map[string]any{"mediaType": ocispec.MediaTypeImageConfig, "digest": digest.FromString("x"), "size": -1}
		}), ErrCorrupt, "negative"},
		{"config of another size", changed(func(f forgery, m map[string]any) {
			d := f.add(ocispec.MediaTypeImageConfig, []byte("{}"))
			d.Size = 3
			m["config"] = d
		}), ErrCorrupt, "descriptor says 3"},
		{"config with another digest", changed(func(f forgery, m map[string]any) {
			d := m["config"].(ocispec.Descriptor)
			f[d.Digest] = bytes.ToUpper(f[d.Digest])
		}), ErrCorrupt, "have the digest"},
		{"config that is not there", changed(func(f forgery, m map[string]any) { delete(f, m["config"].(ocispec.Descriptor).Digest) }), ErrNotFound, "config"},
		{"encrypted layer", changed(func(f forgery, m map[string]any) { f.layer(m, ocispec.MediaTypeImageLayerGzip+"+encrypted") }), ErrUnsupported, "encrypted"},
		{"foreign layer", changed(func(f forgery, m map[string]any) {
			f.layer(m, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")
		}), ErrUnsupported, "foreign"},
		{"layer of an unknown type", changed(func(f forgery, m map[string]any) { f.layer(m, "text/plain") }), ErrUnsupported, "text/plain"},
		{"layer without digest", changed(func(f forgery, m map[string]any) {
			m["layers"] = []map[string]any{{"mediaType": ocispec.MediaTypeImageLayer, "size": 1}}
		}), ErrCorrupt, "digest"},
		{"layer that is a path", changed(func(f forgery, m map[string]any) {
			m["layers"] = []map[string]any{{"mediaType": ocispec.MediaTypeImageLayer, "size": 1, "digest": "sha256:../../../etc/passwd"}}
		}), ErrCorrupt, "digest"},
		{"too many layers", changed(func(f forgery, m map[string]any) {
			m["layers"] = make([]ocispec.Descriptor, maxLayers+1)
		}), ErrLimit, "layers"},
		{"index with a member that is not there", func(f forgery) ocispec.Descriptor {
			d := f.image(nil)
			delete(f, d.Digest)
			return index(f, d)
		}, ErrNotFound, "manifest sha256:"},
		{"index with a member of another digest", func(f forgery) ocispec.Descriptor {
			d := f.image(nil)
			f[d.Digest] = append([]byte(" "), f[d.Digest][1:]...)
			return index(f, d)
		}, ErrCorrupt, "have the digest"},
		{"index that lists itself", func(f forgery) ocispec.Descriptor {
			// No index can name its own digest, so the registry sends the index for another one.
			other := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString("self")}
			self := index(f, other)
			other.Size = self.Size
			self = index(f, other)
			f[other.Digest] = f[self.Digest]
			return self
		}, ErrCorrupt, ""},
		{"indexes too deep", func(f forgery) ocispec.Descriptor {
			d := f.image(nil)
			for range maxDepth + 1 {
				d = index(f, d)
			}
			return d
		}, ErrLimit, "deep"},
		{"too many members", func(f forgery) ocispec.Descriptor {
			d := f.image(nil)
			all := make([]ocispec.Descriptor, maxMembers+1)
			for i := range all {
				all[i] = d
			}
			return index(f, all...)
		}, ErrLimit, "manifests"},
		{"members that multiply", func(f forgery) ocispec.Descriptor {
			d := f.image(nil)
			for range 3 {
				all := make([]ocispec.Descriptor, 40)
				for i := range all {
					all[i] = d
				}
				d = index(f, all...)
			}
			return d
		}, ErrLimit, "more than"},
		{"index with an encrypted image", func(f forgery) ocispec.Descriptor {
			return index(f, f.image(func(m map[string]any) { f.layer(m, ocispec.MediaTypeImageLayer+"+encrypted") }))
		}, ErrUnsupported, "encrypted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := forgery{}
			for _, ref := range f.serve(t, test.forge(f)) {
				_, err := testStore(t, Options{}).Open(t.Context(), mustParse(t, ref))
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%s: %v, want %v that says %q", ref, err, test.want, test.says)
				}
			}
		})
	}
}

// What is unusual but right is read: members that cannot be converted are carried along.
func TestUnusualImages(t *testing.T) {
	t.Parallel()
	f := forgery{}
	windows := f.image(func(m map[string]any) {
		f.config(m, `{"os":"windows"}`)
		m["layers"] = []map[string]any{{"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
			"digest": digest.FromString("far"), "size": 3, "urls": []string{"https://example.com"}}}
	})
	windows.Platform = &ocispec.Platform{OS: "windows", Architecture: "amd64"}
	artifact := f.add(artifactManifest, mustJSON(map[string]any{"mediaType": artifactManifest,
		"blobs": []ocispec.Descriptor{f.add("text/plain", []byte("sbom"))}}))
	untyped := f.image(func(m map[string]any) { delete(m, "mediaType") })
	untyped.MediaType = ""
	root := f.add(ocispec.MediaTypeImageIndex, mustJSON(map[string]any{"schemaVersion": 2,
		"manifests": []ocispec.Descriptor{windows, artifact, untyped}}))
	root.MediaType = "application/json"
	for _, ref := range f.serve(t, root) {
		source := mustOpen(t, testStore(t, Options{}), ref)
		m := source.Index.Members
		if m[0].Raw == nil || len(m[0].Blobs) != 1 { // the config; the foreign layer stays where it is
			t.Errorf("%s: Windows: raw %t, %d blobs", ref, m[0].Raw != nil, len(m[0].Blobs))
		}
		if m[1].Raw == nil || len(m[1].Blobs) != 1 {
			t.Errorf("%s: artifact: raw %t, %d blobs", ref, m[1].Raw != nil, len(m[1].Blobs))
		}
		if m[2].Image == nil || m[2].Image.MediaType != ocispec.MediaTypeImageManifest {
			t.Errorf("%s: a manifest without media type: %+v", ref, m[2].Image)
		}
	}
}

type member struct {
	name, link string
	kind       byte
	data       string
}

func makeTar(t testing.TB, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		if m.kind == 0 {
			m.kind = tar.TypeReg
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: m.kind, Name: m.name, Linkname: m.link, Size: int64(len(m.data)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// dockerMembers is a small docker-archive as `docker save` before 25 writes it.
func dockerMembers() []member {
	layer := "layer bytes, not a tar"
	config := fmt.Sprintf(`{"os":"linux","rootfs":{"diff_ids":[%q]}}`, digest.FromString(layer))
	name := digest.FromString(config).Encoded() + ".json"
	entries := mustJSON([]dockerEntry{{Config: name, RepoTags: []string{"app:1"}, Layers: []string{"v1id/layer.tar"}}})
	return []member{
		{name: "v1id/", kind: tar.TypeDir},
		{name: "v1id/layer.tar", kind: tar.TypeSymlink, link: "../other/layer.tar"},
		{name: "other/layer.tar", data: layer},
		{name: name, data: config},
		{name: "manifest.json", data: string(entries)},
	}
}

func TestHostileArchives(t *testing.T) {
	t.Parallel()
	with := func(change func(m []member) []member) []byte { return makeTar(t, change(dockerMembers())...) }
	link := func(to string, kind byte) []byte {
		return with(func(m []member) []member { m[1].link, m[1].kind = to, kind; return m })
	}
	whole := makeTar(t, dockerMembers()...)
	tests := []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"right", whole, nil, ""},
		{"hard link", link("other/layer.tar", tar.TypeLink), nil, ""},
		{"empty", nil, ErrNotFound, "docker save"},
		{"not a tar", bytes.Repeat([]byte("text "), 500), ErrCorrupt, "archive"},
		{"cut in a header", whole[:len(whole)-1700], ErrCorrupt, "archive"},
		{"cut in a body", whole[:1540], ErrCorrupt, "archive"},
		{"link out of the archive", link("../../etc/passwd", tar.TypeSymlink), ErrCorrupt, "leaves the archive"},
		{"absolute link", link("/etc/passwd", tar.TypeSymlink), ErrCorrupt, "out of the archive"},
		{"link to itself", link("layer.tar", tar.TypeSymlink), ErrCorrupt, "lead nowhere"},
		{"link to nothing", link("nothing", tar.TypeSymlink), ErrNotFound, "no member"},
		{"member out of the archive", with(func(m []member) []member { return append(m, member{name: "a/../../b"}) }), ErrCorrupt, "leaves the archive"},
		{"two manifests", with(func(m []member) []member { return append(m, m[4]) }), ErrCorrupt, "more than once"},
		{"two layers of one name", with(func(m []member) []member { return append(m, m[2]) }), ErrCorrupt, "more than once"},
		{"two of what nobody reads", with(func(m []member) []member { return append(m, member{name: "x"}, member{name: "x"}) }), nil, ""},
		{"manifest is not JSON", with(func(m []member) []member { m[4].data = "hello"; return m }), ErrCorrupt, "manifest.json"},
		{"manifest of nothing", with(func(m []member) []member { m[4].data = "[]"; return m }), ErrNotFound, "no image"},
		{"config with another digest", with(func(m []member) []member { m[3].data += " "; return m }), ErrCorrupt, "digest"},
		{"config out of the archive", with(func(m []member) []member { m[4].data = `[{"Config":"../../etc/passwd"}]`; return m }), ErrCorrupt, "leaves the archive"},
		{"config lies about layers", with(func(m []member) []member {
			m[4].data = strings.Replace(m[4].data, `"v1id/layer.tar"`, `"v1id/layer.tar","other/layer.tar"`, 1)
			return m
		}), ErrCorrupt, "names 1 layers"},
		{"layer that is not there", with(func(m []member) []member { return append(m[:2], m[3:]...) }), ErrNotFound, "no member"},
		{"Docker before 1.10", makeTar(t, member{name: "repositories", data: "{}"}), ErrNotFound, "docker save"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "a.tar")
			if err := os.WriteFile(file, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			source, err := testStore(t, Options{}).Open(t.Context(), mustParse(t, "docker-archive:"+file))
			if !errors.Is(err, test.want) || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Fatalf("%v, want %v that says %q", err, test.want, test.says)
			}
			if err == nil {
				readLayer(t, source.Image.Layers[0])
			}
		})
	}
}

// A layer with other bytes than its diff id says fails when it is read.
func TestArchiveLayerIsVerified(t *testing.T) {
	t.Parallel()
	members := dockerMembers()
	members[2].data = strings.ToUpper(members[2].data)
	s := testStore(t, Options{Stdin: bytes.NewReader(makeTar(t, members...))})
	l := mustOpen(t, s, "-").Image.Layers[0]
	in, err := l.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(in); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestHostileLayouts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, layout, index string
		want                error
	}{
		{"index is not JSON", string(layoutFile), "hello", ErrCorrupt},
		{"index is a number", string(layoutFile), "1", ErrCorrupt},
		{"manifests is a number", string(layoutFile), `{"manifests":1}`, ErrCorrupt},
		{"digest is a path", string(layoutFile), `{"manifests":[{"digest":"sha256:../../x"}]}`, ErrCorrupt},
		{"no image", string(layoutFile), `{}`, ErrNotFound},
		{"layout is not JSON", "hello", `{}`, ErrCorrupt},
		{"layout of the future", `{"imageLayoutVersion":"2.0.0"}`, `{}`, ErrUnsupported},
		{"huge index", string(layoutFile), strings.Repeat(" ", maxManifest+1), ErrLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, data := range map[string]string{"oci-layout": test.layout, "index.json": test.index} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := testStore(t, Options{}).Open(t.Context(), mustParse(t, "oci:"+dir))
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	forge := forgery{}
	f.Add(forge[forge.image(nil).Digest], ocispec.MediaTypeImageManifest)
	f.Add([]byte(`{"manifests":[{"digest":"sha256:0","size":1}]}`), ocispec.MediaTypeImageIndex)
	f.Add([]byte(`{"schemaVersion":1}`), dockerSchema1)
	f.Fuzz(func(t *testing.T, raw []byte, told string) {
		m, err := parseManifest(raw, told)
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q is not JSON", raw)
		}
		for _, d := range m.descriptors() {
			if d.Digest.Validate() != nil || d.Size < 0 {
				t.Fatalf("descriptor %+v went through", d)
			}
		}
		if converted, err := rewriteTypes(raw, ocispec.MediaTypeImageManifest, nil); err != nil || !json.Valid(converted) {
			t.Fatalf("converted to %q, %v", converted, err)
		}
	})
}

func FuzzDockerArchive(f *testing.F) {
	f.Add(makeTar(f, dockerMembers()...))
	f.Add(makeTar(f, member{name: "manifest.json", data: `[{"Config":"a"}]`}, member{name: "a", kind: tar.TypeSymlink, link: "b"}, member{name: "b", kind: tar.TypeLink, link: "a"}))
	f.Add(makeTar(f, member{name: "oci-layout", data: string(layoutFile)}, member{name: "index.json", data: "{}"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := indexArchive(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		source, err := (&Store{}).dockerSource(t.Context(), a, "")
		if err != nil {
			return
		}
		for _, l := range source.Image.Layers {
			in, err := l.Open(t.Context())
			if err != nil {
				continue
			}
			var out bytes.Buffer
			if _, err := out.ReadFrom(in); err == nil && digest.FromBytes(out.Bytes()) != l.Descriptor().Digest {
				t.Fatal("a layer went through with another digest")
			}
			in.Close()
		}
	})
}

func FuzzLayoutIndex(f *testing.F) {
	f.Add((&layoutIndex{}).with(bytesBlob("x", nil).descriptor, "tag"))
	f.Add([]byte(`{"manifests":null,"annotations":{"a":"b"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		index, err := parseLayoutIndex(data)
		if err != nil {
			return
		}
		again, err := parseLayoutIndex(index.with(bytesBlob(image.DockerManifest, data).descriptor, "new"))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if entry, err := again.find("new"); err != nil || entry.Digest != digest.FromBytes(data) {
			t.Fatalf("the new tag leads to %+v, %v", entry, err)
		}
	})
}
