package rewrite_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/rewrite"
)

const attestation = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"x/y"}`

// indexOf makes an index with odd spacing from descriptors that the members already have.
func indexOf(members ...image.Member) *image.Index {
	var list []string
	for _, m := range members {
		d, _ := json.Marshal(m.Descriptor) // a descriptor always marshals
		list = append(list, "    "+string(d))
	}
	raw := []byte(fmt.Sprintf("{ \"x-vendor\": 1.50,\n  \"mediaType\":%q,\"schemaVersion\" : 2,\n  \"manifests\": [\n%s\n  ],\n  \"annotations\":{\"a\":\"b\"}\n}\n",
		ocispec.MediaTypeImageIndex, strings.Join(list, ",\n")))
	return &image.Index{Raw: raw, MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Members: members}
}

func imageMember(t *testing.T, name string, platform ocispec.Platform) image.Member {
	t.Helper()
	img, _ := imagetest.Load(t, name)
	d := ocispec.Descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: int64(len(img.Manifest)), Platform: &platform, Annotations: map[string]string{"k": "v"}}
	return image.Member{Descriptor: d, Image: img}
}

func attestationMember() image.Member {
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(attestation), Size: int64(len(attestation)),
		Platform:    &ocispec.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}}
	return image.Member{Descriptor: d, Raw: []byte(attestation)}
}

func indexMember(index *image.Index) image.Member {
	return image.Member{Index: index, Descriptor: ocispec.Descriptor{MediaType: index.MediaType, Digest: index.Digest, Size: int64(len(index.Raw))}}
}

func convertIndex(t *testing.T, index *image.Index, drop bool) *image.Index {
	t.Helper()
	one := func(img *image.Image) (*image.Image, error) {
		return convert(t, imagetest.View(t, img), "").after.Image, nil
	}
	out, err := rewrite.Index(index, one, func(image.Member) bool { return drop })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// checkIndex: what the bytes of the index name is what the members are.
func checkIndex(t *testing.T, index *image.Index) {
	t.Helper()
	if index.Digest != digest.FromBytes(index.Raw) {
		t.Errorf("the index's digest is not that of its bytes")
	}
	var doc ocispec.Index
	if err := json.Unmarshal(index.Raw, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Manifests) != len(index.Members) {
		t.Fatalf("the bytes name %d members, there are %d", len(doc.Manifests), len(index.Members))
	}
	for i, m := range index.Members {
		if diff := cmp.Diff(doc.Manifests[i], m.Descriptor); diff != "" {
			t.Errorf("member %d in the bytes (-) and as descriptor (+):\n%s", i, diff)
		}
		raw := m.Raw
		switch {
		case m.Image != nil:
			raw = m.Image.Manifest
		case m.Index != nil:
			raw = m.Index.Raw
			checkIndex(t, m.Index)
		}
		if m.Descriptor.Digest != digest.FromBytes(raw) || m.Descriptor.Size != int64(len(raw)) {
			t.Errorf("member %d: its descriptor is not that of its bytes", i)
		}
	}
}

func wholeIndex(t *testing.T) *image.Index {
	amd64 := imageMember(t, "../plan/testdata/nginx.txtar", ocispec.Platform{OS: "linux", Architecture: "amd64"})
	arm := imageMember(t, "testdata/odd-oci.txtar", ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7", OSFeatures: []string{"x"}})
	done := imageMember(t, "testdata/done.txtar", ocispec.Platform{OS: "linux", Architecture: "s390x"})
	inner := indexOf(arm, attestationMember(), done)
	return indexOf(attestationMember(), amd64, indexMember(inner), attestationMember(), done)
}

func TestIndexKeepsEveryPlatform(t *testing.T) {
	t.Parallel()
	for _, drop := range []bool{false, true} {
		source := wholeIndex(t)
		out := convertIndex(t, source, drop)
		checkIndex(t, source)
		checkIndex(t, out)
		want := source.Members
		if drop {
			want = []image.Member{want[1], want[2], want[4]}
		}
		if len(out.Members) != len(want) {
			t.Fatalf("drop %v: %d members, want %d", drop, len(out.Members), len(want))
		}
		for i, m := range out.Members {
			if diff := cmp.Diff(want[i].Descriptor.Platform, m.Descriptor.Platform); diff != "" {
				t.Errorf("drop %v: platform of member %d:\n%s", drop, i, diff)
			}
			if (want[i].Image == nil) != (m.Image == nil) || (want[i].Index == nil) != (m.Index == nil) {
				t.Errorf("drop %v: member %d is of another kind", drop, i)
			}
		}
		indexBytes(t, drop, source, out)
	}
}

// indexBytes: put the old digests and sizes back, and the bytes are the old ones, but for the dropped
// members.
func indexBytes(t *testing.T, drop bool, source, out *image.Index) {
	t.Helper()
	got := string(out.Raw)
	at := 0
	for _, m := range source.Members {
		if drop && m.Raw != nil {
			continue
		}
		now := out.Members[at].Descriptor
		at++
		got = strings.Replace(got, now.Digest.String(), m.Descriptor.Digest.String(), 1)
		got = strings.Replace(got, fmt.Sprintf(`"size":%d`, now.Size), fmt.Sprintf(`"size":%d`, m.Descriptor.Size), 1)
	}
	if drop {
		got = strings.Replace(got, "[\n    ", "[\n    A,\n    ", 1)
		got = strings.Replace(got, ",\n    {\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\""+source.Members[4].Descriptor.Digest.String(),
			",\n    A,\n    {\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\""+source.Members[4].Descriptor.Digest.String(), 1)
		dropped, _ := json.Marshal(attestationMember().Descriptor)
		got = strings.ReplaceAll(got, "A,\n", string(dropped)+",\n")
	}
	if diff := cmp.Diff(strings.Split(string(source.Raw), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("drop %v: index (-before +after, digests put back):\n%s", drop, diff)
	}
}

// TestIndexUnchanged: where no member changes, the index keeps its bytes.
func TestIndexUnchanged(t *testing.T) {
	t.Parallel()
	done := imageMember(t, "testdata/done.txtar", ocispec.Platform{OS: "linux", Architecture: "amd64"})
	source := indexOf(done, attestationMember(), indexMember(indexOf(done)))
	if out := convertIndex(t, source, false); out != source {
		t.Errorf("the index became\n%s", out.Raw)
	}
	again := convertIndex(t, wholeIndex(t), true)
	if out := convertIndex(t, again, true); out != again {
		t.Errorf("converted again, the index became\n%s", out.Raw)
	}
}

func TestIndexFailsWithItsMember(t *testing.T) {
	t.Parallel()
	_, err := rewrite.Index(wholeIndex(t), func(*image.Image) (*image.Image, error) { return nil, fmt.Errorf("no") }, func(image.Member) bool { return true })
	if err == nil {
		t.Error("no error")
	}
}
