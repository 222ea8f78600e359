package main

import (
	"fmt"
	"math"
	"slices"
)

// interval is the median of ratios and an interval in which the true median lies with at least 95 %.
type interval struct {
	low, median, high float64
	n                 int
}

// intervalOf takes the interval from the order of the ratios alone: the chance that the true median
// lies below the k-th smallest is that of fewer than k heads in n throws. Nine ratios give the second
// and the second last, with 96 %.
func intervalOf(ratios []float64) interval {
	if len(ratios) == 0 {
		return interval{}
	}
	s := slices.Sorted(slices.Values(ratios))
	n := len(s)
	below, tail := 0, 0.0
	for k := 0; k < n/2; k++ {
		tail += choose(n, k) / math.Pow(2, float64(n))
		if 2*tail > 0.05 {
			break
		}
		below = k + 1
	}
	low, high := s[max(below-1, 0)], s[min(n-below, n-1)]
	return interval{low, (s[n/2] + s[(n-1)/2]) / 2, high, n}
}

func choose(n, k int) float64 {
	c := 1.0
	for i := range k {
		c *= float64(n-i) / float64(i+1)
	}
	return c
}

func (i interval) String() string {
	return fmt.Sprintf("%.2f× (%.2f to %.2f)", i.median, i.low, i.high)
}

// contest is a promise about a ratio. Machines are noisy: it is broken only where the whole interval
// lies on the wrong side of the limit.
type contest struct {
	what  string
	ratio interval
	limit float64 // 0: only shown
	least bool    // the limit is the least, not the most
}

func (c contest) holds() bool {
	switch {
	case c.limit == 0:
		return true
	case c.least:
		return c.ratio.high >= c.limit
	}
	return c.ratio.low <= c.limit
}
