package survey

import (
	"testing"

	"unroot/internal/image"
	"unroot/internal/recipe"
	"unroot/internal/rootfs"
	"unroot/internal/trace"
)

// TestSpokenFor: of files that are silent on a port, one speaks: the first, or the one that a run opened; none
// where another file says it.
func TestSpokenFor(t *testing.T) {
	t.Parallel()
	silent := recipe.Directive{Dialect: "d", Key: "port", Implied: 25, Absent: true}
	said := recipe.Directive{Dialect: "d", Key: "port", Port: 25}
	elsewhere := recipe.Directive{Dialect: "d", Section: "other", Key: "port", Port: 587}
	tests := []struct {
		name   string
		opened string
		a, b   recipe.Directive
		want   [2]int
	}{
		{"the first", "", silent, silent, [2]int{1, 0}},
		{"the opened one", "/b", silent, silent, [2]int{0, 1}},
		{"said", "/a", silent, said, [2]int{0, 1}},
		{"said of another section", "", silent, elsewhere, [2]int{1, 1}},
	}
	tree, err := rootfs.Merge([]rootfs.Entry{{Path: "/", Kind: rootfs.Dir}, {Path: "/a", Kind: rootfs.File}, {Path: "/b", Kind: rootfs.File}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		s := &Survey{View: &image.View{Tree: tree}}
		if tt.opened != "" {
			s.Seen.Opened = []trace.Need{{Kind: trace.Open, Path: tt.opened}}
		}
		got := s.spokenFor([]ConfigFile{{Path: "/a", Directives: []recipe.Directive{tt.a}}, {Path: "/b", Directives: []recipe.Directive{tt.b}}})
		if n := [2]int{len(got[0].Directives), len(got[1].Directives)}; n != tt.want {
			t.Errorf("%s: %v directives, want %v", tt.name, n, tt.want)
		}
	}
}
