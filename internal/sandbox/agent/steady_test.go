package agent

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// course plays sights every 10 ms and gives when the run was steady; -1 for never.
func course(s steadiness, until time.Duration, what func(at time.Duration) sight) time.Duration {
	for at := time.Duration(0); at <= until; at += 10 * ms {
		v := what(at)
		v.at = at
		if s.see(v) {
			return at
		}
	}
	return -1
}

func TestSteady(t *testing.T) {
	t.Parallel()
	free := steadiness{settle: 500 * ms, timeout: 20 * time.Second}
	awaits := steadiness{awaits: true, settle: 500 * ms, timeout: 20 * time.Second}
	after := func(at, when time.Duration, a, b string) string {
		if at < when {
			return a
		}
		return b
	}
	for _, table := range []struct {
		name  string
		s     steadiness
		what  func(at time.Duration) sight
		from  time.Duration
		until time.Duration
	}{
		{"a service that listens at once", free, func(time.Duration) sight {
			return sight{processes: "1", sockets: "80", served: true}
		}, 500 * ms, 520 * ms},
		{"a service that listens late", free, func(at time.Duration) sight {
			return sight{processes: "1", sockets: after(at, 900*ms, "", "80"), served: at >= 900*ms}
		}, 1400 * ms, 1420 * ms},
		{"nobody listens", free, func(time.Duration) sight { return sight{processes: "1"} }, 1500 * ms, 1520 * ms},
		{"it computes, then listens", free, func(at time.Duration) sight {
			return sight{processes: "1", sockets: after(at, 4*time.Second, "", "80"), served: at >= 4*time.Second, busy: min(at, 4*time.Second)}
		}, 4500 * ms, 4520 * ms},
		{"a service that computes all the time", free, func(at time.Duration) sight {
			return sight{processes: "1", sockets: "80", served: true, busy: at}
		}, 500 * ms, 520 * ms},
		{"it writes while it starts", free, func(at time.Duration) sight {
			return sight{processes: "1", sockets: "80", served: true, writes: uint64(min(at, 2*time.Second) / (100 * ms))}
		}, 2500 * ms, 2520 * ms},
		{"it writes for ever", free, func(at time.Duration) sight {
			return sight{processes: "1", sockets: "80", served: true, writes: uint64(at / (100 * ms))}
		}, 10 * time.Second, 10500 * ms},
		{"it starts processes for ever", free, func(at time.Duration) sight {
			return sight{processes: (at / (100 * ms)).String(), sockets: "80", served: true}
		}, 15 * time.Second, 15600 * ms},
		{"sockets come and go for ever", free, func(at time.Duration) sight {
			return sight{processes: "1", sockets: (at / (100 * ms)).String(), served: true}
		}, -1, -1},
		{"what was awaited is there", awaits, func(at time.Duration) sight {
			return sight{processes: "1", missing: map[bool]int{true: 1}[at < 300*ms]}
		}, 350 * ms, 370 * ms},
		{"it forks its workers after it listens", awaits, func(at time.Duration) sight {
			return sight{processes: after(at, 130*ms, "1", "1 2"), missing: map[bool]int{true: 1}[at < 100*ms]}
		}, 180 * ms, 200 * ms},
		{"it starts processes for ever, and listens", awaits, func(at time.Duration) sight {
			return sight{processes: at.String(), missing: map[bool]int{true: 1}[at < 300*ms]}
		}, 1300 * ms, 1320 * ms},
		{"a socket of the start goes again", awaits, func(at time.Duration) sight {
			return sight{processes: "1", missing: map[bool]int{true: 1}[at < 100*ms || at >= 130*ms && at < 800*ms]}
		}, 850 * ms, 870 * ms},
		{"what was awaited never comes", awaits, func(at time.Duration) sight {
			return sight{processes: "1", sockets: "81", served: true, missing: 1}
		}, 6 * time.Second, 6*time.Second + 200*ms},
		{"what was awaited does not come while it works", awaits, func(at time.Duration) sight {
			return sight{processes: "1", sockets: "81", served: true, missing: 1, busy: at}
		}, -1, -1},
	} {
		got := course(table.s, 20*time.Second, table.what)
		if got < table.from || got > table.until {
			t.Errorf("%s: steady at %v, want %v to %v", table.name, got, table.from, table.until)
		}
	}
}

func TestIntervalGrows(t *testing.T) {
	t.Parallel()
	for since, want := range map[time.Duration]time.Duration{0: 5 * ms, 100 * ms: 5 * ms, time.Second: 50 * ms, time.Minute: 100 * ms} {
		if got := interval(since); got != want {
			t.Errorf("after %v: %v, want %v", since, got, want)
		}
	}
}
