package tracer

import (
	"time"

	"unroot/internal/trace"
)

// Options is what a tracer does beside starting and reaping.
type Options struct {
	Trace     bool                 // false: only starts, waits, reaps
	Processes int                  // at one time, threads included; 0: no limit; above it OnLimit("processes") is called once. Traced ones only
	Events    int                  // how many events are kept, beyond: Log.Lost; 0: 200000
	Clock     func() time.Duration // since the run began; nil: since New
	Root      func() string        // a directory through which the run's root is seen, such as "/proc/123/root"; nil: "/". Only to resolve paths
	Proc      string               // proc of the tracer's pid namespace; "": "/proc"
	OnEvent   func(trace.Event)    // may be nil; called for every event by the waiting thread: it must not block, nor call the tracer
	OnLimit   func(which string)   // may be nil; as OnEvent
}
