package image_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/layer"
)

const layered = `-- config --
{"Cmd":["/app"]}
-- layer --
d 0755 0:0 /etc
f 0755 0:0 3000 /big
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
-- /etc/a.conf --
below
-- layer --
w /etc/gone
h /etc/other.conf /etc/a.conf
l /etc/link.conf a.conf
-- /etc/a.conf --
above
-- /etc/empty.conf --
`

func TestContent(t *testing.T) {
	t.Parallel()
	v := imagetest.View(t, imagetest.Parse(t, layered))
	for p, want := range map[string]string{"/etc/a.conf": "above\n", "/etc/other.conf": "above\n", "/etc/link.conf": "above\n", "/etc/empty.conf": ""} {
		if got, err := v.Content(p); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
	if _, err := v.Content("/big"); !errors.Is(err, image.ErrNotKept) {
		t.Errorf("/big: %v", err)
	}
	for _, p := range []string{"/etc", "/nowhere"} {
		if _, err := v.Content(p); err == nil || errors.Is(err, image.ErrNotKept) {
			t.Errorf("%s: %v", p, err)
		}
	}
	passwd, group := v.Accounts()
	if _, ok := passwd.ByName("root"); !ok || len(group.Bytes()) != 0 {
		t.Error("the account files are others")
	}
}

func TestReadFiles(t *testing.T) {
	t.Parallel()
	v := imagetest.View(t, imagetest.Parse(t, layered))
	got, err := v.ReadFiles(t.Context(), []string{"/big", "/etc/a.conf", "/etc/other.conf", "/etc/passwd"}, 4000)
	if err != nil {
		t.Fatal(err)
	}
	if len(got["/big"]) != 3000 || string(got["/etc/a.conf"]) != "above\n" || string(got["/etc/other.conf"]) != "above\n" || !strings.HasPrefix(string(got["/etc/passwd"]), "root:") {
		t.Errorf("%.50q", got)
	}
	if _, err := v.ReadFiles(t.Context(), []string{"/big"}, 2999); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("beyond the limit: %v", err)
	}
	if _, err := v.ReadFiles(t.Context(), []string{"/nowhere"}, 10); err == nil {
		t.Error("no error for a file that is not there")
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good := imagetest.Parse(t, layered)
	other := imagetest.Parse(t, "-- config --\n{}\n-- /x --\nx\n")
	tests := map[string]struct {
		img  image.Image
		want string
	}{
		"fewer layers than the config says": {image.Image{Config: good.Config, Layers: good.Layers[:1]}, "lists 2 layers, the image has 1"},
		"layers in another order":           {image.Image{Config: good.Config, Layers: []image.Layer{good.Layers[1], good.Layers[0]}}, "the image config says"},
		"another layer":                     {image.Image{Config: good.Config, Layers: []image.Layer{good.Layers[0], other.Layers[0]}}, "reading layer 2"},
		"a config that is none":             {image.Image{Config: []byte("{")}, "not JSON"},
	}
	for name, tt := range tests {
		if _, err := image.Open(t.Context(), &tt.img, image.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := image.Open(t.Context(), good, image.Options{Scan: layer.ScanOptions{MaxEntries: 2}})
	if limit := (*layer.LimitError)(nil); !errors.As(err, &limit) {
		t.Errorf("beyond a limit: %v", err)
	}
}

// indexes is a cache in memory.
type indexes struct {
	mu   sync.Mutex
	data map[string][]byte
	hits int
}

func (x *indexes) Get(key string) ([]byte, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	data, ok := x.data[key]
	if ok {
		x.hits++
	}
	return data, ok
}

func (x *indexes) Put(key string, data []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.data[key] = data
}

// TestIndexes: a kept index gives the same view, a damaged one is read anew, one of another layer is
// found out.
func TestIndexes(t *testing.T) {
	t.Parallel()
	img := imagetest.Parse(t, layered)
	cache := &indexes{data: map[string][]byte{}}
	open := func() (*image.View, error) {
		return image.Open(t.Context(), img, image.Options{Indexes: cache, Parallel: 4})
	}
	paths := func() []string {
		v, err := open()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for n := range v.Tree.Walk("/") {
			content, _ := v.Content(n.Path())
			out = append(out, n.Path()+" "+string(content))
		}
		return out
	}
	want := paths()
	if cache.hits != 0 || len(cache.data) != 2 {
		t.Fatalf("%d hits, %d kept", cache.hits, len(cache.data))
	}
	if diff := cmp.Diff(want, paths()); diff != "" || cache.hits != 2 {
		t.Errorf("%d hits:\n%s", cache.hits, diff)
	}
	for key := range cache.data {
		cache.data[key] = cache.data[key][:len(cache.data[key])/2]
	}
	if diff := cmp.Diff(want, paths()); diff != "" {
		t.Error(diff)
	}
	first, second := img.Layers[0].Descriptor().Digest.String(), img.Layers[1].Descriptor().Digest.String()
	cache.data[first], cache.data[second] = cache.data[second], cache.data[first]
	if _, err := open(); err == nil {
		t.Error("an index of another layer was taken")
	}
}

func TestExtendRefuses(t *testing.T) {
	t.Parallel()
	img := imagetest.Parse(t, layered)
	v := imagetest.View(t, img)
	if _, err := v.Extend(img, &layer.Index{}); err == nil {
		t.Error("a layer more than the config says was taken")
	}
	if _, err := v.Extend(&image.Image{Config: []byte("x")}, nil); err == nil {
		t.Error("a config that is none was taken")
	}
}
