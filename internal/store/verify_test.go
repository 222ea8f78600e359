package store

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestVerifier(t *testing.T) {
	t.Parallel()
	const text = "the stored bytes"
	right := ocispec.Descriptor{Digest: digest.FromString(text), Size: int64(len(text))}
	with := func(change func(*ocispec.Descriptor)) ocispec.Descriptor {
		d := right
		change(&d)
		return d
	}
	tests := []struct {
		name string
		data string
		want ocispec.Descriptor
		err  string // "" for none
	}{
		{"right", text, right, ""},
		{"right, sha512", text, with(func(d *ocispec.Descriptor) { d.Digest = digest.SHA512.FromString(text) }), ""},
		{"empty", "", ocispec.Descriptor{Digest: digest.FromString("")}, ""},
		{"another byte", "The stored bytes", right, "digest"},
		{"too short", text[:5], right, "ends after 5 of 16 bytes"},
		{"too long", text + "!", right, "more than the 16 bytes"},
		{"nothing, but not empty", "", right, "ends after 0"},
		{"empty, but something", "x", ocispec.Descriptor{Digest: digest.FromString("")}, "more than the 0 bytes"},
		{"wrong digest of nothing", "", ocispec.Descriptor{Digest: digest.FromString("x")}, "digest"},
		{"unknown algorithm", text, with(func(d *ocispec.Descriptor) { d.Digest = "md5:abc" }), "unsupported"},
		{"no digest", text, with(func(d *ocispec.Descriptor) { d.Digest = "" }), "invalid"},
		{"a path as digest", text, with(func(d *ocispec.Descriptor) { d.Digest = "sha256:../../etc/passwd" }), "invalid"},
	}
	for _, test := range tests {
		for shape, in := range map[string]io.Reader{
			"whole": strings.NewReader(test.data), "bytes": iotest.OneByteReader(strings.NewReader(test.data)),
			"data and end": iotest.DataErrReader(strings.NewReader(test.data)),
		} {
			got, err := io.ReadAll(newVerifier(io.NopCloser(in), test.want))
			switch {
			case test.err == "" && (err != nil || string(got) != test.data):
				t.Errorf("%s, %s: %q, %v", test.name, shape, got, err)
			case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || !errors.Is(err, ErrCorrupt)):
				t.Errorf("%s, %s: %v, want corrupt with %q", test.name, shape, err, test.err)
			}
		}
	}
}

// A consumer that never asks for the end, as decompressors do, still learns of a wrong digest.
func TestVerifierBeforeTheEnd(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("x"), 100)
	in := newVerifier(io.NopCloser(bytes.NewReader(data)), ocispec.Descriptor{Digest: digest.FromString("y"), Size: 100})
	if _, err := io.ReadFull(in, make([]byte, 100)); err == nil {
		if _, err = in.Read(make([]byte, 1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := in.Read(make([]byte, 1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the error is not kept: %v", err)
	}
}
