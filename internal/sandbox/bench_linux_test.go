package sandbox

import (
	"testing"
)

// BenchmarkRun is one run of "true" in a lab that has the image: what every run of a verification
// costs beyond its program.
func BenchmarkRun(b *testing.B) {
	e := newEmbedded(b, Options{})
	r := command(imageOf(busyboxLayer(b)), "")
	r.Args = []string{"true"}
	run(b, e, r)
	for b.Loop() {
		if out := run(b, e, r); out.Status != 0 {
			b.Fatal(out.Error)
		}
	}
}

// BenchmarkLab is a new lab with one run in it, and its end.
func BenchmarkLab(b *testing.B) {
	newEmbedded(b, Options{})
	r := command(imageOf(busyboxLayer(b)), "")
	r.Args = []string{"true"}
	for b.Loop() {
		e, err := New(Options{})
		if err != nil {
			b.Fatal(err)
		}
		run(b, e, r)
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
