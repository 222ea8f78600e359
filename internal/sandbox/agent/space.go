// Package agent conducts one run from beside it: starts it under the tracer, watches for its steady state, asks it, ends it.
package agent

import (
	"os"

	"unroot/internal/sandbox/launch"
)

// Space is where the processes of a run live, and how the agent, which may be outside of it, gets at
// it. The embedded runner makes one of namespaces; inside an engine's container it is the container.
type Space interface {
	// First completes spec and gives the attributes for the first process of the run.
	First(spec *launch.Spec) (*os.ProcAttr, error)
	// Entered tells the space the pid of the first process, as the agent sees it.
	Entered(pid int)
	// Further is First for a later process of the run, such as a health check.
	Further(spec *launch.Spec) (*os.ProcAttr, error)
	// Proc is a mounted proc file system in which the agent's pids are, such as "/proc".
	Proc() string
	// Root is a directory through which the agent reaches the run's root directory.
	Root() string
	// Net runs f on a thread that is in the network of the run.
	Net(f func() error) error
	// Kill ends all processes of the run, at once.
	Kill()
}
