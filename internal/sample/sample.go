// Package sample makes the small image of the demo: a server that runs as root the way many do.
package sample

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
	"unroot/internal/layer"
	"unroot/internal/rootfs"
)

// About says in words what the image is.
const About = `a server from /etc/demo/demo.conf: listens on port 80, pid file in /run, log in /var/log/demo,
data in the volume /var/lib/demo; it starts as root and steps down to the user "demo"
`

// Server is the path of the program in the image.
const Server = "/usr/local/bin/unroot"

const config = `# The demo server's configuration.
listen = 0.0.0.0:80
user = demo
group = demo
pid-file = /run/demo.pid
log-file = /var/log/demo/access.log
data-dir = /var/lib/demo
`

const passwd = `root:x:0:0:root:/root:/sbin/nologin
demo:x:101:101:demo server:/var/lib/demo:/sbin/nologin
`

const group = `root:x:0:
demo:x:101:
`

// Image is the sample for Linux on an architecture, as Go names it. program is the server's binary, and
// libraries what that needs beside itself, by absolute path: its loader and shared libraries.
func Image(program []byte, libraries map[string][]byte, architecture string) (*image.Image, error) {
	entries := []layer.DeltaEntry{
		dir("/etc", 0, 0, 0o755),
		file("/etc/passwd", passwd, 0o644),
		file("/etc/group", group, 0o644),
		dir("/run", 0, 0, 0o755),
		dir("/tmp", 0, 0, 0o1777),
		dir("/var", 0, 0, 0o755),
		dir("/var/log", 0, 0, 0o755),
		dir("/var/lib", 0, 0, 0o755),
	}
	base, err := newLayer(append(entries, libraryEntries(libraries)...)...)
	if err != nil {
		return nil, err
	}
	app, err := newLayer(
		dir("/usr", 0, 0, 0o755),
		dir("/usr/local", 0, 0, 0o755),
		dir("/usr/local/bin", 0, 0, 0o755),
		file(Server, string(program), 0o755),
		dir("/etc", 0, 0, 0o755),
		dir("/etc/demo", 0, 0, 0o755),
		file("/etc/demo/demo.conf", config, 0o640),
		dir("/var", 0, 0, 0o755),
		dir("/var/log", 0, 0, 0o755),
		dir("/var/log/demo", 101, 0, 0o750),
		dir("/var/lib", 0, 0, 0o755),
		dir("/var/lib/demo", 101, 101, 0o700),
	)
	if err != nil {
		return nil, err
	}
	return assemble(architecture, base, app)
}

// libraryEntries is the files with the directories above them.
func libraryEntries(libraries map[string][]byte) []layer.DeltaEntry {
	dirs := map[string]bool{}
	var entries []layer.DeltaEntry
	for _, p := range slices.Sorted(maps.Keys(libraries)) {
		for d := path.Dir(p); d != "/" && !dirs[d]; d = path.Dir(d) {
			dirs[d] = true
			entries = append(entries, dir(d, 0, 0, 0o755))
		}
		entries = append(entries, file(p, string(libraries[p]), 0o755))
	}
	return entries
}

func dir(p string, uid, gid uint32, mode uint16) layer.DeltaEntry {
	return layer.DeltaEntry{Entry: rootfs.Entry{Path: p, Kind: rootfs.Dir, UID: uid, GID: gid, Mode: mode}}
}

func file(p, content string, mode uint16) layer.DeltaEntry {
	return layer.DeltaEntry{
		Entry:   rootfs.Entry{Path: p, Kind: rootfs.File, Mode: mode, Size: int64(len(content))},
		Content: []byte(content),
	}
}

// memory is a layer that lies in memory, as a plain archive: packing the program would take longer
// than everything else in the demo.
type memory struct {
	blob []byte
	id   digest.Digest
}

func newLayer(entries ...layer.DeltaEntry) (*memory, error) {
	blob, id, err := layer.Delta{Entries: entries}.Compress(layer.Plain)
	return &memory{blob, id}, err
}

// Descriptor is the layer as the manifest names it.
func (m *memory) Descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: m.id, Size: int64(len(m.blob))}
}

// Open reads the layer.
func (m *memory) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.blob)), nil
}

func assemble(architecture string, layers ...*memory) (*image.Image, error) {
	img := &image.Image{MediaType: ocispec.MediaTypeImageManifest}
	doc := configOf(architecture, layers)
	var err error
	if img.Config, err = json.Marshal(doc); err != nil {
		return nil, err
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(img.Config), Size: int64(len(img.Config))},
	}
	for _, l := range layers {
		img.Layers = append(img.Layers, l)
		manifest.Layers = append(manifest.Layers, l.Descriptor())
	}
	if img.Manifest, err = json.Marshal(manifest); err != nil {
		return nil, err
	}
	img.Digest = digest.FromBytes(img.Manifest)
	return img, nil
}

// healthcheck is the field that Docker has and the OCI specification's Go type has not.
type healthcheck struct {
	Test []string
}

func configOf(architecture string, layers []*memory) any {
	type runConfig struct {
		ocispec.ImageConfig
		Healthcheck healthcheck
	}
	type document struct {
		ocispec.Platform
		Config  runConfig         `json:"config"`
		RootFS  ocispec.RootFS    `json:"rootfs"`
		History []ocispec.History `json:"history"`
	}
	doc := document{
		Platform: ocispec.Platform{OS: "linux", Architecture: architecture},
		Config: runConfig{
			ImageConfig: ocispec.ImageConfig{
				Entrypoint:   []string{Server, "demo-server", "/etc/demo/demo.conf"},
				Env:          []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
				ExposedPorts: map[string]struct{}{"80/tcp": {}},
				Volumes:      map[string]struct{}{"/var/lib/demo": {}},
			},
			Healthcheck: healthcheck{Test: []string{"CMD", Server, "demo-probe", "http://localhost/"}},
		},
		RootFS: ocispec.RootFS{Type: "layers"},
	}
	for _, l := range layers {
		doc.RootFS.DiffIDs = append(doc.RootFS.DiffIDs, l.id)
		doc.History = append(doc.History, ocispec.History{CreatedBy: "unroot demo"})
	}
	return doc
}
