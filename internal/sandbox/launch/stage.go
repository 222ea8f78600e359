package launch

import (
	"os"
	"runtime"
	"strings"
)

// prefix begins the argv[0] of every stage.
const prefix = "unroot-"

var stages = map[string]func(){}

// dispatches is set where this program asks for stages at its start. One that does not would do its
// usual work as a stage, such as starting stages.
var dispatches bool

// A stage changes who and where its main thread is, and the kernel does that by thread: the main
// goroutine must never move to another one. Only an init function runs early enough to say so.
func init() {
	if len(os.Args) > 0 && strings.HasPrefix(os.Args[0], prefix) {
		runtime.LockOSThread()
	}
}

// Register names a stage: what the program does instead of its usual work when argv[0] is name,
// which begins with "unroot-". It is called from init functions.
func Register(name string, f func()) {
	if !strings.HasPrefix(name, prefix) {
		panic("[internal error] the stage " + name + " does not begin with " + prefix)
	}
	stages[name] = f
}

// Stage runs the stage that argv[0] names and ends the process. Where it names none, nothing
// happens. It is the first thing in main and in TestMain.
func Stage() bool {
	dispatches = true
	if len(os.Args) == 0 {
		return false
	}
	f, ok := stages[os.Args[0]]
	if !ok {
		return false
	}
	f()
	os.Exit(0)
	return true
}

// Dispatches reports whether this program has asked for stages, as who starts it again as one must
// know.
func Dispatches() bool { return dispatches }
