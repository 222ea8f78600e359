package sandbox

import (
	"sync"

	"unroot/internal/verify"
)

// Options is what the embedded runner can be told.
type Options struct {
	Dir    string        // where a folder for big images is made; "": the system's folder for temporary files
	Limits verify.Limits // where a run has none; zero fields are the defaults of this package
	IDs    []uint32      // uids and gids that runs will use, beside 0 to 65535
	Log    func(string)  // is told what a user may want to know, such as that a file could not be made as it is; nil: nobody
}

// Embedded runs images in namespaces of this machine, without an engine. It implements
// verify.Runner. Runs are carried out one after the other.
type Embedded struct {
	opts Options

	mu     sync.Mutex
	lab    *lab // nil before the first run
	closed bool
}

// New makes a runner. Nothing happens before it is first used.
func New(opts Options) (*Embedded, error) {
	return &Embedded{opts: opts}, nil
}

// Name is "embedded".
func (*Embedded) Name() string { return "embedded" }

// The limits of a run, where neither it nor the runner's options have one.
const (
	defaultMemory    = 2 << 30
	defaultDisk      = 1 << 30
	defaultProcesses = 1024
)

// limitsFor completes the limits of a run.
func (e *Embedded) limitsFor(l verify.Limits) verify.Limits {
	o := e.opts.Limits
	l.Memory = firstOf(l.Memory, o.Memory, defaultMemory)
	l.Disk = firstOf(l.Disk, o.Disk, defaultDisk)
	l.File = firstOf(l.File, o.File)
	l.Processes = firstOf(l.Processes, o.Processes, defaultProcesses)
	l.Output = firstOf(l.Output, o.Output)
	l.Events = firstOf(l.Events, o.Events)
	return l
}

// firstOf is the first number that is not 0.
func firstOf[N int | int64](numbers ...N) N {
	for _, n := range numbers {
		if n != 0 {
			return n
		}
	}
	return 0
}
