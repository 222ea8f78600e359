package rootfs

import (
	"fmt"
	"runtime"
	"testing"

	"unroot/internal/account"
)

// largeImage gives five layers with about 200,000 files in 20,000 directories; upper layers replace
// and remove some of the lower ones.
func largeImage() [][]Entry {
	var layers [][]Entry
	for layer := range 5 {
		var entries []Entry
		for d := range 4000 {
			dir := fmt.Sprintf("/usr/lib/package%d-%03d/share/component%02d", layer, d/20, d%20)
			entries = append(entries, dirEntry(dir, 0o755, 0, 0))
			for f := range 9 {
				entries = append(entries, fileEntry(fmt.Sprintf("%s/some-file-name-%d.conf", dir, f), 0o644, 0, 0))
			}
			if layer > 0 && d%100 == 0 {
				entries = append(entries, whiteout(fmt.Sprintf("/usr/lib/package%d-%03d/share/component%02d/some-file-name-1.conf", layer-1, d/20, d%20)))
			}
		}
		layers = append(layers, entries)
	}
	return layers
}

func BenchmarkMerge200k(b *testing.B) {
	layers := largeImage()
	before := liveHeap()
	b.ReportAllocs()
	var tree *Tree
	for b.Loop() {
		var err error
		if tree, err = Merge(layers...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(liveHeap()-before)/float64(tree.Len()), "live-B/node")
	b.ReportMetric(float64(tree.Len()), "nodes")
	runtime.KeepAlive(layers)
}

func liveHeap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkWalk200k(b *testing.B) {
	tree := mustMerge(b, largeImage()...)
	b.ReportAllocs()
	for b.Loop() {
		size := 0
		for n := range tree.Walk("/") {
			size += len(n.Path())
		}
		if size == 0 {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkMay(b *testing.B) {
	tree := mustMerge(b, largeImage()...)
	id := account.Arbitrary()
	b.ReportAllocs()
	for b.Loop() {
		if a := tree.May(id, "/usr/lib/package4-007/share/component07/some-file-name-3.conf", Write); a.OK || a.Class != Group {
			b.Fatal(a)
		}
	}
}
