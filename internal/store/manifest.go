package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

// Limits on what is read into memory. The OCI distribution specification ("Pushing Manifests") asks
// registries to take manifests of 4 MiB.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
	maxLayers   = 1024 // engines stop at about 127
	maxMembers  = 1024 // over all levels of an index
	maxDepth    = 4    // indexes inside indexes
	maxMetadata = 256 << 20
)

// Media types that are recognised and refused, or kept as they are.
const (
	dockerSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	dockerSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	artifactManifest    = "application/vnd.oci.artifact.manifest.v1+json" // image-spec 1.1 release candidates
)

// acceptManifests is what a registry is asked for, in the order of an Accept header.
var acceptManifests = []string{
	ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest,
	image.DockerManifestList, image.DockerManifest, artifactManifest,
}

type manifestKind int

const (
	kindImage manifestKind = iota
	kindIndex
	kindArtifact // no config of an image
	kindSchema1
)

// manifest is the part of a manifest or index that this package reads.
type manifest struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Blobs         []ocispec.Descriptor `json:"blobs"` // of an artifact manifest

	kind manifestKind
}

// parseManifest reads a manifest. told is the media type that the registry or the descriptor gave;
// the one inside the bytes is the stronger, since the digest covers it.
func parseManifest(raw []byte, told string) (*manifest, error) {
	if err := checkKeys(raw); err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fail(ErrCorrupt, "reading manifest: %w", err)
	}
	told, _, _ = strings.Cut(told, ";")
	if m.MediaType == "" {
		m.MediaType = told
	}
	if err := m.classify(); err != nil {
		return nil, err
	}
	return &m, m.check()
}

// manifestKeys are the keys whose meaning decides what a manifest is.
var manifestKeys = []string{"schemaVersion", "mediaType", "config", "layers", "manifests", "blobs", "fsLayers"}

// checkKeys refuses keys that two readers may understand differently: one that is there twice, and
// one that differs from a known key only in case, which Go's decoder would accept.
func checkKeys(raw []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return fail(ErrCorrupt, "reading manifest: not a JSON object")
	}
	seen := map[string]bool{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return fail(ErrCorrupt, "reading manifest: %w", err)
		}
		key, _ := token.(string)
		if seen[key] {
			return fail(ErrCorrupt, "reading manifest: key %q is there twice", key)
		}
		seen[key] = true
		if i := slices.IndexFunc(manifestKeys, func(k string) bool { return strings.EqualFold(k, key) }); i >= 0 && manifestKeys[i] != key {
			return fail(ErrCorrupt, "reading manifest: key %q is not %q", key, manifestKeys[i])
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return fail(ErrCorrupt, "reading manifest: %w", err)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return fail(ErrCorrupt, "reading manifest: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fail(ErrCorrupt, "reading manifest: more bytes after its end")
	}
	return nil
}

// classify decides what a manifest is, and completes an absent or generic media type from its form.
// A manifest that is an image and an index at once is refused: CVE-2021-41190.
func (m *manifest) classify() error {
	isIndex, isImage := m.Manifests != nil, m.Config != nil || m.Layers != nil
	if isIndex && isImage {
		return fail(ErrCorrupt, "manifest has both an image's and an index's fields")
	}
	switch m.MediaType {
	case ocispec.MediaTypeImageIndex, image.DockerManifestList:
		m.kind = kindIndex
		if isImage {
			return fail(ErrCorrupt, "index has an image's fields")
		}
	case ocispec.MediaTypeImageManifest, image.DockerManifest:
		m.kind = kindImage
		if isIndex {
			return fail(ErrCorrupt, "image manifest has an index's fields")
		}
	case artifactManifest:
		m.kind = kindArtifact
	case dockerSchema1, dockerSchema1Signed:
		m.kind = kindSchema1
	default: // OCI manifests need not name their type, and some servers send a generic one
		switch {
		case isIndex:
			m.kind, m.MediaType = kindIndex, ocispec.MediaTypeImageIndex
		case isImage:
			m.kind, m.MediaType = kindImage, ocispec.MediaTypeImageManifest
		case m.SchemaVersion == 1:
			m.kind, m.MediaType = kindSchema1, dockerSchema1
		default:
			return fail(ErrUnsupported, "manifest media type %q is not known", m.MediaType)
		}
	}
	return nil
}

func (m *manifest) check() error {
	if m.kind == kindImage {
		if m.Config == nil {
			return fail(ErrCorrupt, "manifest has no config")
		}
		if !isImageConfig(m.Config.MediaType) {
			m.kind = kindArtifact
		}
	}
	if len(m.Layers) > maxLayers || len(m.Blobs) > maxLayers {
		return fail(ErrLimit, "manifest lists %d layers, at most %d are read", max(len(m.Layers), len(m.Blobs)), maxLayers)
	}
	if len(m.Manifests) > maxMembers {
		return fail(ErrLimit, "index lists %d manifests, at most %d are read", len(m.Manifests), maxMembers)
	}
	for _, d := range m.descriptors() {
		if err := checkDigest(d.Digest); err != nil {
			return fmt.Errorf("reading manifest: %w", err)
		}
		if d.Size < 0 {
			return fail(ErrCorrupt, "reading manifest: blob %s: size %d is negative", d.Digest, d.Size)
		}
	}
	return nil
}

// descriptors gives everything that a manifest refers to, in its order.
func (m *manifest) descriptors() []ocispec.Descriptor {
	var all []ocispec.Descriptor
	if m.Config != nil {
		all = append(all, *m.Config)
	}
	all = append(all, m.Layers...)
	all = append(all, m.Blobs...)
	return append(all, m.Manifests...)
}

func isImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == image.DockerConfig
}

// checkLayer says whether a layer can be read. Encrypted layers have the suffix +encrypted
// (containers/ocicrypt); foreign ones are not in the registry (image-spec, "Non-Distributable Layers").
func checkLayer(d ocispec.Descriptor) error {
	switch d.MediaType {
	case ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerGzip, ocispec.MediaTypeImageLayerZstd,
		image.DockerLayer, image.DockerLayerGzip, image.DockerLayerZstd:
		return nil
	}
	switch {
	case strings.HasSuffix(d.MediaType, "+encrypted"):
		return hinted(fail(ErrUnsupported, "layer %s is encrypted", d.Digest),
			"decrypt it first: skopeo copy --decryption-key KEY SRC DST")
	case isForeign(d):
		return fail(ErrUnsupported, "layer %s is foreign (%s): its bytes are not with the image", d.Digest, d.MediaType)
	}
	return fail(ErrUnsupported, "layer %s: media type %q is not known", d.Digest, d.MediaType)
}

func isForeign(d ocispec.Descriptor) bool {
	return strings.Contains(d.MediaType, ".nondistributable.") || strings.Contains(d.MediaType, ".foreign.")
}

// imageConfig is the part of a config that decides whether it is an image that can be converted.
type imageConfig struct {
	OS     string `json:"os"`
	RootFS struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

// parseConfig reads a config and holds it against the number of layers of its manifest.
func parseConfig(raw []byte, layers int) (imageConfig, error) {
	var c imageConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fail(ErrCorrupt, "reading config: %w", err)
	}
	if c.OS != "" && c.OS != "linux" {
		return c, fail(ErrUnsupported, "image is for %s, only Linux images can be converted", c.OS)
	}
	if len(c.RootFS.DiffIDs) != layers {
		return c, fail(ErrCorrupt, "config names %d layers (rootfs.diff_ids), there are %d", len(c.RootFS.DiffIDs), layers)
	}
	return c, nil
}

// ManifestFor builds the manifest of an image that came without one: mediaType is image.DockerManifest
// or ocispec.MediaTypeImageManifest, and the media types of config and layers are brought to the same
// family. The bytes depend on the arguments only.
func ManifestFor(cfg []byte, layers []ocispec.Descriptor, mediaType string) []byte {
	configType := ocispec.MediaTypeImageConfig
	if mediaType == image.DockerManifest {
		configType = image.DockerConfig
	}
	m := struct {
		specs.Versioned
		MediaType string               `json:"mediaType"`
		Config    ocispec.Descriptor   `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
	}{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: mediaType,
		Config:    bytesBlob(configType, cfg).descriptor,
		Layers:    make([]ocispec.Descriptor, 0, len(layers)),
	}
	for _, l := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: layerType(l.MediaType, mediaType), Digest: l.Digest, Size: l.Size,
		})
	}
	return mustJSON(m)
}

// layerType gives a layer's media type in the family of a manifest's.
func layerType(layer, manifest string) string {
	for docker, oci := range ociTypes {
		if layer != docker && layer != oci {
			continue
		}
		if manifest == image.DockerManifest {
			return docker
		}
		return oci
	}
	return layer
}

// unmarshalNumbers is json.Unmarshal that keeps numbers as they are written.
func unmarshalNumbers(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// mustJSON marshals values of this package's own types, which cannot fail.
func mustJSON(v any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Sprintf("[internal error] marshalling %T: %v", v, err))
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
