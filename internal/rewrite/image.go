package rewrite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
	"unroot/internal/layer"
	"unroot/internal/plan"
	"unroot/internal/record"
)

// Result is a candidate: the image that a plan gives.
type Result struct {
	Image *image.Image
	View  *image.View // of Image
	Layer int         // bytes of the new layer as it is stored; 0 where none was needed
}

// Image lowers a plan to an image: one layer more, and the config patched as bytes. An empty plan
// gives the image itself. The result depends on nothing but the view, the plan and the reference.
func Image(ctx context.Context, v *image.View, p plan.Plan, ref string) (Result, error) {
	if p.Empty() {
		return Result{Image: v.Image, View: v}, nil
	}
	created := createdAt(v.Config.Bytes())
	d, err := Delta(ctx, v, p, created.Unix())
	if err != nil {
		return Result{}, err
	}
	top, err := newLayer(v.Image, d)
	if err != nil {
		return Result{}, err
	}
	config, err := patchConfig(v, p, top, created, ref)
	if err != nil {
		return Result{}, err
	}
	img, err := assemble(v.Image, config, top, ref)
	if err != nil {
		return Result{}, err
	}
	var index *layer.Index
	if top != nil {
		index = indexOf(d, top.diffID)
	}
	view, err := v.Extend(img, index)
	if err != nil {
		return Result{}, err
	}
	res := Result{Image: img, View: view}
	if top != nil {
		res.Layer = len(top.blob)
	}
	return res, nil
}

// createdAt is when the source image says that it was made; the start of 1970 where it does not say.
func createdAt(config []byte) time.Time {
	var c struct{ Created time.Time }
	if err := json.Unmarshal(config, &c); err != nil || c.Created.Unix() < 0 {
		return time.Unix(0, 0).UTC()
	}
	return c.Created
}

// memoryLayer is a layer that was just made.
type memoryLayer struct {
	blob       []byte
	diffID     digest.Digest
	descriptor ocispec.Descriptor
}

// Descriptor is the layer as a manifest names it.
func (l *memoryLayer) Descriptor() ocispec.Descriptor { return l.descriptor }

// Open reads the stored bytes.
func (l *memoryLayer) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.blob)), nil
}

// newLayer compresses the delta in the family of the image's media types. Nil where nothing in the
// tree changes.
func newLayer(img *image.Image, d layer.Delta) (*memoryLayer, error) {
	if len(d.Entries) == 0 {
		return nil, nil
	}
	blob, diffID, err := d.Compress(layer.Gzip)
	if err != nil {
		return nil, fmt.Errorf("writing the layer: %w", err)
	}
	mediaType := ocispec.MediaTypeImageLayerGzip
	if isDocker(img) {
		mediaType = image.DockerLayerGzip
	}
	return &memoryLayer{blob: blob, diffID: diffID, descriptor: ocispec.Descriptor{
		MediaType: mediaType, Digest: digest.FromBytes(blob), Size: int64(len(blob)),
	}}, nil
}

// isDocker reports whether the image is in the form of Docker's schema 2, also when it came without
// a manifest.
func isDocker(img *image.Image) bool {
	return img.MediaType == image.DockerManifest || img.Manifest == nil
}

func patchConfig(v *image.View, p plan.Plan, top *memoryLayer, created time.Time, ref string) ([]byte, error) {
	changes := configChanges(v, p)
	rec, err := recordOf(v, p).Marshal()
	if err != nil {
		return nil, err
	}
	changes = append(changes, image.Change{Path: []string{"config", "Labels", record.Label}, Value: rec})
	if isDocker(v.Image) {
		changes = append(changes, annotationChanges(v.Image, ref, "config", "Labels")...)
	}
	if v.Config.HasHistory() {
		changes = append(changes, image.Change{Path: []string{"history"}, Op: image.Append, Value: historyEntry(created, top == nil)})
	}
	if top != nil {
		changes = append(changes, image.Change{Path: []string{"rootfs", "diff_ids"}, Op: image.Append, Value: top.diffID})
	}
	config, err := v.Config.Patch(changes...)
	if err != nil {
		return nil, err
	}
	return config.Bytes(), nil
}

func historyEntry(created time.Time, empty bool) any {
	type entry struct {
		Created   time.Time `json:"created"`
		CreatedBy string    `json:"created_by"`
		Comment   string    `json:"comment"`
		Empty     bool      `json:"empty_layer,omitempty"`
	}
	return entry{created, "unroot convert", "runs as a regular user", empty}
}

// configChanges lowers the plan's effects on the config to changes of its bytes.
func configChanges(v *image.View, p plan.Plan) []image.Change {
	var changes []image.Change
	set := func(value any, path ...string) {
		changes = append(changes, image.Change{Path: append([]string{"config"}, path...), Value: value})
	}
	for _, op := range p.Operations {
		switch e := op.Effect.(type) {
		case plan.SetUser:
			set(e.To, "User")
		case plan.SetEnv:
			if e.Index >= 0 {
				set(e.Name+"="+e.To, "Env", strconv.Itoa(e.Index))
				continue
			}
			changes = append(changes, image.Change{Path: []string{"config", "Env"}, Op: image.Append, Value: e.Name + "=" + e.To})
		case plan.SetArgs:
			set(e.To, e.Field)
		case plan.SetArg:
			path := []string{e.Field}
			if e.Field == "Healthcheck" {
				path = append(path, "Test")
			}
			set(e.To, append(path, strconv.Itoa(e.Index))...)
		case plan.MovePort:
			changes = append(changes, movePort(v, e))
		}
	}
	return changes
}

// movePort renames the key of a port; where the new one is exposed already, the old one goes.
func movePort(v *image.View, e plan.MovePort) image.Change {
	for _, p := range v.Config.ExposedPorts() {
		if p.Key == e.To {
			return image.Change{Path: []string{"config", "ExposedPorts", e.Key}, Op: image.Delete}
		}
	}
	return image.Change{Path: []string{"config", "ExposedPorts", e.Key}, Op: image.Rename, Value: e.To}
}

func recordOf(v *image.View, p plan.Plan) record.Record {
	r := record.Record{
		Version: record.Version, Source: v.Image.Digest.String(), User: v.Config.User(), Arbitrary: p.ForArbitrary(),
		Ephemeral: p.Ephemeral, Persistent: p.Persistent, Repeated: p.Repeated,
	}
	for _, op := range p.Operations {
		if e, ok := op.Effect.(plan.SetUser); ok {
			r.User = e.To
		}
	}
	for _, move := range p.Ports {
		r.Ports = append(r.Ports, record.Port(move))
	}
	for _, o := range p.Open {
		r.Open = append(r.Open, record.Open{ID: o.ID, Path: o.Path, What: o.What})
	}
	return r
}

// annotationChanges name the source image, with the keys of the OCI image specification: as
// annotations of a manifest, or as labels where the manifest's form has no annotations.
func annotationChanges(source *image.Image, ref string, at ...string) []image.Change {
	var changes []image.Change
	add := func(key, value string) {
		changes = append(changes, image.Change{Path: append(at[:len(at):len(at)], key), Value: value})
	}
	if source.Manifest != nil {
		add(ocispec.AnnotationBaseImageDigest, source.Digest.String())
	}
	if name, ok := strings.CutPrefix(ref, "docker://"); ok && name != "" {
		add(ocispec.AnnotationBaseImageName, name)
	}
	return changes
}

// assemble makes the image of the new config and layer. Where the source has a manifest, its bytes
// are patched; where it has none, none is made.
func assemble(source *image.Image, config []byte, top *memoryLayer, ref string) (*image.Image, error) {
	img := &image.Image{MediaType: source.MediaType, Config: config, Layers: source.Layers, Digest: digest.FromBytes(config)}
	if top != nil {
		img.Layers = append(source.Layers[:len(source.Layers):len(source.Layers)], top)
	}
	if source.Manifest == nil {
		return img, nil
	}
	changes := []image.Change{
		{Path: []string{"config", "digest"}, Value: digest.FromBytes(config)},
		{Path: []string{"config", "size"}, Value: len(config)},
		{Path: []string{"config", "data"}, Op: image.Delete}, // a copy of the config's bytes that a descriptor may carry
	}
	if top != nil {
		changes = append(changes, image.Change{Path: []string{"layers"}, Op: image.Append, Value: top.descriptor})
	}
	if !isDocker(source) {
		changes = append(changes, annotationChanges(source, ref, "annotations")...)
	}
	manifest, err := image.Patch(source.Manifest, changes...)
	if err != nil {
		return nil, fmt.Errorf("patching the manifest: %w", err)
	}
	img.Manifest, img.Digest = manifest, digest.FromBytes(manifest)
	return img, nil
}
