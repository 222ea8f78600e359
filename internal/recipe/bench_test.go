package recipe

import (
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkRead reads all of testdata once: what a survey of an image's configuration costs.
func BenchmarkRead(b *testing.B) {
	names, _ := filepath.Glob("testdata/*/*.in")
	var files [][]byte
	size := 0
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, content)
		size += len(content)
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		for i, content := range files {
			Read(names[i], content)
		}
	}
}

// BenchmarkLoad decodes the dialects, which happens once, at first use.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := load(dialectData); err != nil {
			b.Fatal(err)
		}
	}
}
