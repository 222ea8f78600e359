package main

import "testing"

func TestIntervalOf(t *testing.T) {
	t.Parallel()
	nine := []float64{9, 1, 8, 2, 7, 3, 6, 4, 5}
	if got := intervalOf(nine); got.low != 2 || got.median != 5 || got.high != 8 {
		t.Errorf("nine ratios: %+v", got)
	}
	// tables of the sign test: 20 values, ranks 6 and 15
	var twenty []float64
	for i := range 20 {
		twenty = append(twenty, float64(i+1))
	}
	if got := intervalOf(twenty); got.low != 6 || got.high != 15 || got.median != 10.5 {
		t.Errorf("twenty ratios: %+v", got)
	}
	if got := intervalOf([]float64{3}); got.low != 3 || got.high != 3 {
		t.Errorf("one ratio: %+v", got)
	}
	if got := intervalOf(nil); got.n != 0 {
		t.Errorf("none: %+v", got)
	}
}

func TestContestHolds(t *testing.T) {
	t.Parallel()
	i := interval{low: 1.4, median: 1.8, high: 2}
	for _, c := range []struct {
		limit float64
		least bool
		want  bool
	}{{1.7, false, true}, {1.3, false, false}, {2.1, true, false}, {1.9, true, true}, {0, false, true}} {
		if got := (contest{ratio: i, limit: c.limit, least: c.least}).holds(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
