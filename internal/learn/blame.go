package learn

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"unroot/internal/survey"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// What one run teaches at most.
const (
	nearEnd    = 4  // events between a denial and the one that is nearest to the program's end
	maxDenials = 24 // at a time
)

// learn takes what ended the candidate's runs, and gives what was new of it in words.
func (l *learner) learn(number int, outcomes []verify.Outcome) []string {
	var learnt []string
	before := slices.Clone(l.seen.Denials)
	for _, o := range outcomes {
		if verify.Judge(l.baseline, o, l.expect).Word == verify.Proven {
			continue
		}
		learnt = append(learnt, l.learnStart(o)...)
		blamed := unknown(l.suspects(o), before)
		for _, d := range blamed {
			if known(l.seen.Denials, d) { // another scenario showed it too
				continue
			}
			seen := survey.SeenDenial{Run: fmt.Sprintf("round %d, %s", number, o.Run.Name), Denial: d}
			l.seen.Denials = append(l.seen.Denials, seen)
			learnt = append(learnt, survey.DenialEvidence(seen).String())
		}
		for _, n := range unreached(l.seen.Needs, blamed, o.Trace) {
			if !slices.ContainsFunc(l.seen.Wanted, func(w trace.Need) bool { return w.Seq == n.Seq }) {
				l.seen.Wanted = append(l.seen.Wanted, n)
				learnt = append(learnt, survey.NeedEvidence(n).String())
			}
		}
	}
	return learnt
}

// lost takes what candidates that hold were denied all the same, and what the original leaves behind: a file or
// a directory that a lasting program made where such things belong. No probe of a moment misses it, and its
// users would. Everything else that a run lives with stays as it is.
func (l *learner) lost(number int, outcomes []verify.Outcome) []string {
	var learnt []string
	for _, o := range outcomes {
		causes, _ := trace.Causal(l.mendable(trace.Denials(o.Trace)), l.baseline.Trace)
		for _, d := range causes {
			if known(l.seen.Denials, d) || !l.leftBehind(d) && !l.readBefore(d) {
				continue
			}
			seen := survey.SeenDenial{Run: fmt.Sprintf("round %d, %s", number, o.Run.Name), Denial: d}
			l.seen.Denials = append(l.seen.Denials, seen)
			learnt = append(learnt, survey.DenialEvidence(seen).String())
		}
	}
	return learnt
}

// leftBehind reports whether the original leaves behind what a denial is about.
func (l *learner) leftBehind(d trace.Denial) bool {
	return survey.Variable(d.Path) && slices.ContainsFunc(l.seen.Needs, func(n trace.Need) bool {
		return n.Exe == d.Exe && n.Kind == d.Kind && n.Path == d.Path && !n.Temporary && isWrite(n)
	})
}

// readBefore reports whether the same program of the original read the data that a candidate's is refused, where data
// is kept: a queue or a table of jobs is nothing that a probe sees.
func (l *learner) readBefore(d trace.Denial) bool {
	return d.Kind == trace.Open && !strings.ContainsAny(d.Want, "wct") && survey.Variable(d.Path) && slices.ContainsFunc(trace.Reads(l.baseline.Trace), func(n trace.Need) bool {
		return n.Exe == d.Exe && n.Kind == trace.Open && n.Path == d.Path
	})
}

// unknown is the first of the lists that has denials which no round before has learnt, without those
// that are known.
func unknown(lists [][]trace.Denial, before []survey.SeenDenial) []trace.Denial {
	for _, list := range lists {
		rest := slices.DeleteFunc(slices.Clone(list), func(d trace.Denial) bool { return known(before, d) })
		if len(rest) > 0 {
			return rest[:min(len(rest), maxDenials)]
		}
	}
	return nil
}

func known(denials []survey.SeenDenial, d trace.Denial) bool {
	return slices.ContainsFunc(denials, func(have survey.SeenDenial) bool { return same(have.Denial, d) })
}

func same(a, b trace.Denial) bool {
	return a.Kind == b.Kind && a.Call == b.Call && a.Errno == b.Errno && a.Path == b.Path && a.Target == b.Target && a.Addr == b.Addr && a.Exe == b.Exe
}

// suspects is the denials that may explain why a run did not come to what the baseline did, the likely
// ones first: those near the end of the programs that ended badly; all of those programs, what the baseline
// did before what it never did; all that the baseline did not have too, since a program may go on without something that it should do. What a
// run can live with stays as it is: a list counts only where those before it teach nothing new.
func (l *learner) suspects(o verify.Outcome) [][]trace.Denial {
	causes, consequences := trace.Causal(l.mendable(trace.Culprits(o.Trace)), l.baseline.Trace)
	return [][]trace.Denial{nearest(causes), causes, nearest(consequences), consequences, l.mendable(trace.Denials(o.Trace))}
}

// mendable leaves out what the baseline was denied too, and what nothing in an image allows.
func (l *learner) mendable(denials []trace.Denial) []trace.Denial {
	return slices.DeleteFunc(trace.Unmatched(denials, l.baseline.Trace), func(d trace.Denial) bool {
		return !survey.Mendable(l.source.View.Tree, d)
	})
}

// nearest is, of each program that ended, the denials close to the last one: a program tries a few
// places before it gives up.
func nearest(culprits []trace.Denial) []trace.Denial {
	last := map[int]int{}
	var near []trace.Denial
	for _, d := range culprits {
		if _, known := last[d.PID]; !known {
			last[d.PID] = d.Before
		}
		if d.Before <= last[d.PID]+nearEnd {
			near = append(near, d)
		}
	}
	return withoutLastResorts(near)
}

// withoutLastResorts leaves out attempts to make a file anywhere else where a program also tried a place
// that is meant for what may be lost: who finds no directory for a temporary file tries its working directory last.
func withoutLastResorts(denials []trace.Denial) []trace.Denial {
	meant := map[int]bool{}
	for _, d := range denials {
		if strings.Contains(d.Want, "c") && survey.Ephemeral(d.Path) {
			meant[d.PID] = true
		}
	}
	return slices.DeleteFunc(denials, func(d trace.Denial) bool {
		return meant[d.PID] && strings.Contains(d.Want, "c") && !survey.Ephemeral(d.Path)
	})
}

// unreached is what the programs that are to blame wrote in the baseline and did not even try in the
// candidate's run, since they ended before: the next rounds would come to it one by one. Only in the places that
// are meant for it: elsewhere, such as beside a program's code, a denial must show that it matters.
func unreached(needs []trace.Need, blamed []trace.Denial, log trace.Log) []trace.Need {
	tried := map[string]bool{}
	for _, e := range log.Events {
		if e.Kind != trace.Look {
			tried[e.Exe+"\x00"+e.Path+"\x00"+e.Addr] = true
		}
	}
	var out []trace.Need
	for _, n := range needs {
		ended := slices.ContainsFunc(blamed, func(d trace.Denial) bool { return d.Exe == n.Exe })
		if ended && n.Lives && !n.Temporary && isWrite(n) && !tried[n.Exe+"\x00"+n.Path+"\x00"+n.Addr] && survey.Variable(n.Path) {
			out = append(out, n)
		}
	}
	return out
}

// isWrite tells needs that a directory's or a file's owner and mode can meet.
func isWrite(n trace.Need) bool {
	switch n.Kind {
	case trace.Open, trace.Make, trace.Remove, trace.Rename, trace.Link:
		return path.IsAbs(n.Path)
	}
	return false
}
