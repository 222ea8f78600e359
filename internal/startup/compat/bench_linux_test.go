//go:build linux && amd64

package compat

import (
	"strconv"
	"strings"
	"testing"
)

// BenchmarkCalls is what calls cost a program: by the kernel, and at every step. Its numbers are its own;
// ns/op is nothing.
func BenchmarkCalls(b *testing.B) {
	h := newHall(b)
	costing := h.compile(b, "costing")
	for _, step := range []string{"", "simple", "identities", "consistent"} {
		b.Run("step="+step, func(b *testing.B) {
			for b.Loop() {
				out := h.says(b, step, costing)
				for line := range strings.Lines(out) {
					name, cost, _ := strings.Cut(strings.TrimSpace(line), " ")
					ns, err := strconv.ParseFloat(cost, 64)
					if err != nil {
						b.Fatalf("%q", out)
					}
					b.ReportMetric(ns, name+"-ns")
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}
