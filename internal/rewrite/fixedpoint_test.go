package rewrite_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/plan"
)

// TestFixedPoint is law 3: planning a candidate with the same options gives an empty plan. With it
// goes what lets it be believed: the candidate's view, made without reading the layers again, is
// what reading the candidate gives.
func TestFixedPoint(t *testing.T) {
	t.Parallel()
	eachImage(t, func(t *testing.T, img *image.Image) {
		before := imagetest.View(t, img)
		for _, options := range sets(t.Name()) {
			c := convert(t, before, options)
			again := convert(t, c.after.View, options)
			reportOperations(t, options, again.plan)
			reread := convert(t, imagetest.View(t, c.after.Image), options)
			reportOperations(t, options+" (read again)", reread.plan)
			if diff := cmp.Diff(tree(c.after.View), tree(reread.before)); diff != "" {
				t.Errorf("%q: the candidate's tree as extended (-) and as read (+):\n%s", options, diff)
			}
			if diff := cmp.Diff(again.plan.Open, reread.plan.Open); diff != "" {
				t.Errorf("%q: open items (-extended +read):\n%s", options, diff)
			}
		}
	})
}

func reportOperations(t *testing.T, options string, p plan.Plan) {
	t.Helper()
	for _, o := range p.Operations {
		t.Errorf("%q: planned again: %s %s, because %s", options, o.Effect.Kind(), o.Effect, o.Why)
	}
}

type row struct {
	Path, Link string
	Kind       int
	Attr       plan.Attr
	Size       int64
	Xattrs     map[string]string
}

// tree is all that a view knows of its files, but for times and contents.
func tree(v *image.View) []row {
	var rows []row
	for n := range v.Tree.Walk("/") {
		e := n.Entry()
		r := row{Path: n.Path(), Link: e.Link, Kind: int(n.Kind()), Attr: plan.AttrOf(e), Size: e.Size}
		if e.Facts != nil && len(e.Facts.Xattrs) > 0 {
			r.Xattrs = e.Facts.Xattrs
		}
		rows = append(rows, r)
	}
	return rows
}

// TestEmptyPlan is law 2: where nothing is to do, the image is the same to the byte.
func TestEmptyPlan(t *testing.T) {
	t.Parallel()
	for _, options := range optionSets {
		img, _ := imagetest.Load(t, "testdata/done.txtar")
		c := convert(t, imagetest.View(t, img), options)
		if !c.plan.Empty() {
			continue // these options ask for something
		}
		got := c.after.Image
		if got.Digest != img.Digest || !bytes.Equal(got.Manifest, img.Manifest) || !bytes.Equal(got.Config, img.Config) || len(got.Layers) != len(img.Layers) || c.after.Layer != 0 {
			t.Errorf("%q: the image changed", options)
		}
	}
	img, _ := imagetest.Load(t, "testdata/done.txtar")
	if c := convert(t, imagetest.View(t, img), ""); !c.plan.Empty() {
		t.Errorf("the plan is not empty: %v", c.plan.Operations)
	}
}
