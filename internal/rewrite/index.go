package rewrite

import (
	"fmt"
	"strconv"

	"github.com/opencontainers/go-digest"

	"unroot/internal/image"
)

// Index is the index with its images replaced, each by what convert gives for it. Members that are
// no images stay, or are dropped where drop says so. An index in which nothing changed keeps its
// bytes.
func Index(idx *image.Index, convert func(*image.Image) (*image.Image, error), drop func(image.Member) bool) (*image.Index, error) {
	out := &image.Index{Raw: idx.Raw, MediaType: idx.MediaType, Digest: idx.Digest}
	var changes []image.Change
	for _, m := range idx.Members {
		at := len(out.Members)
		if m.Image == nil && m.Index == nil && drop(m) {
			changes = append(changes, image.Change{Path: []string{"manifests", strconv.Itoa(at)}, Op: image.Delete})
			continue
		}
		next, moved, err := convertMember(m, convert, drop)
		if err != nil {
			return nil, err
		}
		if moved {
			changes = append(changes, memberChanges(at, next)...)
		}
		out.Members = append(out.Members, next)
	}
	if len(changes) == 0 {
		return idx, nil
	}
	raw, err := image.Patch(idx.Raw, changes...)
	if err != nil {
		return nil, fmt.Errorf("patching the index: %w", err)
	}
	out.Raw, out.Digest = raw, digest.FromBytes(raw)
	return out, nil
}

func convertMember(m image.Member, convert func(*image.Image) (*image.Image, error), drop func(image.Member) bool) (image.Member, bool, error) {
	next := m
	var raw []byte
	switch {
	case m.Image != nil:
		img, err := convert(m.Image)
		if err != nil {
			return m, false, err
		}
		next.Image, raw = img, img.Manifest
	case m.Index != nil:
		idx, err := Index(m.Index, convert, drop)
		if err != nil {
			return m, false, err
		}
		next.Index, raw = idx, idx.Raw
	default:
		return m, false, nil
	}
	next.Descriptor.Digest, next.Descriptor.Size, next.Descriptor.Data = digest.FromBytes(raw), int64(len(raw)), nil
	return next, next.Descriptor.Digest != m.Descriptor.Digest, nil
}

func memberChanges(i int, m image.Member) []image.Change {
	at := func(field string) []string { return []string{"manifests", strconv.Itoa(i), field} }
	return []image.Change{
		{Path: at("digest"), Value: m.Descriptor.Digest},
		{Path: at("size"), Value: m.Descriptor.Size},
		{Path: at("data"), Op: image.Delete},
	}
}
