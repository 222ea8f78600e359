package agent

import "testing"

// TestWhoBelongsToARun: the processes of others are never a run's, whatever is not known yet.
func TestWhoBelongsToARun(t *testing.T) {
	t.Parallel()
	parents := map[int]int{1: 0, 2: 0, 50: 1, 60: 50, 61: 60, 62: 61, 70: 1, 80: 0, 90: 91, 91: 90}
	all := map[int]task{}
	for pid, parent := range parents {
		all[pid] = task{status: status{parent: parent}}
	}
	for _, table := range []struct {
		name        string
		self, first int
		want        []int
	}{
		{"the first process and its children, the agent's other children", 50, 61, []int{60, 61, 62}},
		{"the first process has gone", 50, 4711, []int{60, 61, 62}},
		{"as first process of a container", 1, 60, []int{50, 60, 61, 62, 70}},
		{"nothing is known", 0, 0, nil},
		{"nothing is known of the agent", 0, 61, []int{61, 62}},
		{"nothing is known of the first process", 50, 0, []int{60, 61, 62}},
	} {
		o := &observer{self: table.self, first: table.first}
		want := map[int]bool{}
		for _, pid := range table.want {
			want[pid] = true
		}
		for pid := range parents {
			if got := o.descends(pid, all); got != want[pid] {
				t.Errorf("%s: process %d belongs to the run: %v", table.name, pid, got)
			}
		}
	}
}
