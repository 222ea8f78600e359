package sandbox

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAssign(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		pool    []span
		further []uint32
		want    string // uid_map; "" for an error
	}{
		{"enough", []span{{100000, 200000}}, nil, "0 100000 65536\n"},
		{"with further ids", []span{{100000, 200000}}, []uint32{1000700000, 7, 1000700000, 70000}, "0 100000 65536\n70000 165536 1\n1000700000 165537 1\n"},
		{"just the usual range", []span{{100000, 65536}}, nil, "0 100000 65536\n"},
		{"the usual range and further ids", []span{{100000, 65536}}, []uint32{1000700000, 1000710000}, "0 100000 59998\n60000 159998 5536\n1000700000 165534 1\n1000710000 165535 1\n"},
		{"several ranges", []span{{100000, 1000}, {0, 0}, {300000, 65536}}, nil, "0 100000 1000\n1000 300000 64536\n"},
		{"few", []span{{100000, 7000}}, nil, "0 100000 1464\n60000 101464 5536\n"},
		{"too few", []span{{100000, 6000}}, nil, ""},
		{"none", nil, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := assign(tt.pool, tt.further)
			if (err != nil) != (tt.want == "") {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, mapText(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAssignIsOneToOne: no id is mapped twice, in either direction, and nothing outside of the pool.
func TestAssignIsOneToOne(t *testing.T) {
	t.Parallel()
	for range 200 {
		var pool []span
		for at := uint32(100000); len(pool) < 1+rand.IntN(5); {
			n := 1 + rand.Uint32N(40000)
			pool = append(pool, span{at, n})
			at += n + rand.Uint32N(1000)
		}
		extents, err := assign(pool, []uint32{rand.Uint32(), rand.Uint32(), 65536})
		if err != nil {
			continue
		}
		inside, outside := map[uint32]bool{}, map[uint32]bool{}
		for _, e := range extents {
			for i := range e.count {
				if inside[e.inside+i] || outside[e.outside+i] || !inPool(pool, e.outside+i) {
					t.Fatalf("pool %v: %s", pool, mapText(extents))
				}
				inside[e.inside+i], outside[e.outside+i] = true, true
			}
		}
		if !inside[0] || !inside[999] || !inside[65534] || !inside[65536] {
			t.Fatalf("pool %v: %s", pool, mapText(extents))
		}
	}
}

func inPool(pool []span, id uint32) bool {
	for _, s := range pool {
		if id >= s.start && id-s.start < s.count {
			return true
		}
	}
	return false
}

func TestRootPool(t *testing.T) {
	t.Parallel()
	tests := []struct {
		own  string
		want []span
	}{
		{"0 0 4294967295\n", []span{{1879048192 + 5*131072, 131072}}},
		{"0 100000 65536\n1000700000 165536 1\n", []span{{1000, 64536}, {1000700000, 1}}},
		{"0 1000 1\n", nil},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, rootPool(parseMap(tt.own), 2048*3+5), cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("%s: %s", tt.own, diff)
		}
	}
}
