package trace

import "fmt"

// Complete reports whether a log is the whole of what a tracer saw: Seq is 1 to Total without a gap, every process
// begins by a fork, or by an exec that makes it of the runner's own (the first one, health checks), no process changes its program without an exec, and nothing comes after an
// exit. The error says what is missing. That a process which did not exit was alive at the end is for the
// judge to say, who knows what was seen from outside.
func (l Log) Complete() error {
	if l.Lost != "" {
		return fmt.Errorf("the trace is cut: %s", l.Lost)
	}
	if len(l.Events) == 0 {
		return fmt.Errorf("the trace has no events")
	}
	if err := l.numbered(); err != nil {
		return err
	}
	return l.continuous()
}

// numbered looks for gaps.
func (l Log) numbered() error {
	for i, e := range l.Events {
		want := uint64(i) + 1
		if e.Seq > want {
			return fmt.Errorf("event %d of the trace is missing", want)
		}
		if e.Seq < want {
			return fmt.Errorf("event %d of the trace is out of order", e.Seq)
		}
	}
	if have := uint64(len(l.Events)); have < l.Total {
		return fmt.Errorf("events %d to %d of the trace are missing", have+1, l.Total)
	} else if have > l.Total {
		return fmt.Errorf("the trace has %d events, more than the %d that its tracer gave", have, l.Total)
	}
	if l.Steady > l.Total {
		return fmt.Errorf("the steady state is after event %d, and the trace ends with event %d", l.Steady, l.Total)
	}
	return nil
}

// started reports whether an event is how a process begins that the runner put in: it becomes its program, and was none
// before.
func (e Event) started() bool { return e.Kind == Exec && e.Errno == "" && e.Exe == "" }

// continuous looks for processes that come from nowhere, become another program unseen, or go on after their end.
func (l Log) continuous() error {
	type process struct {
		exe   string // "": any
		ended bool
	}
	known := map[int]*process{}
	for i, e := range l.Events {
		p := known[e.PID]
		switch {
		case (p == nil || p.ended) && (i == 0 || e.started()):
			p = &process{exe: e.Exe}
			known[e.PID] = p
		case p == nil:
			return fmt.Errorf("process %d of event %d was never forked: its beginning is missing", e.PID, e.Seq)
		case p.ended:
			return fmt.Errorf("event %d is of process %d, which had ended: its fork is missing", e.Seq, e.PID)
		}
		switch {
		case e.Kind == Exit:
			p.ended = true
		case e.Kind == Exec && e.Errno == "":
			p.exe = ""
		case e.Exe != "":
			if p.exe != "" && p.exe != e.Exe {
				return fmt.Errorf("process %d is %q at event %d and was %q: an exec is missing", e.PID, e.Exe, e.Seq, p.exe)
			}
			p.exe = e.Exe
		}
		if e.Kind == Fork && e.Errno == "" {
			if child := known[e.Child]; child != nil && !child.ended {
				return fmt.Errorf("event %d forks process %d, which has not ended: its exit is missing", e.Seq, e.Child)
			}
			known[e.Child] = &process{exe: p.exe}
		}
	}
	return nil
}
