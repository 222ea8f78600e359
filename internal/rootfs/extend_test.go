package rootfs

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestExtendIsMerge: a layer laid over a tree gives what merging all layers gives, and leaves the
// tree below as it was.
func TestExtendIsMerge(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 11))
	for range 300 {
		layers := randomLayers(r)
		last := len(layers) - 1
		want, wantErr := Merge(layers...)
		below, err := Merge(layers[:last]...)
		if err != nil {
			continue
		}
		before := listing(below)
		got, gotErr := below.Extend(last, layers[last])
		if (gotErr == nil) != (wantErr == nil) {
			t.Fatalf("Extend: %v, Merge: %v", gotErr, wantErr)
		}
		if diff := cmp.Diff(before, listing(below)); diff != "" {
			t.Fatalf("the tree below changed:\n%s", diff)
		}
		if gotErr != nil {
			continue
		}
		checkTree(t, got)
		if diff := cmp.Diff(listing(want), listing(got)); diff != "" {
			t.Fatalf("Extend differs from Merge (-merge +extend):\n%s", diff)
		}
		if got.Len() != want.Len() {
			t.Errorf("%d nodes, want %d", got.Len(), want.Len())
		}
	}
}
