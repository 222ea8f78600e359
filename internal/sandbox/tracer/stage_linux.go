//go:build amd64 || arm64

package tracer

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/seccomp"
)

// StageName is argv[0] with which this program runs a command under the tracer, where it stands and
// as who it is: what the benchmarks and the tests measure. It ends with the command's status.
//
//	unroot-trace [-trace=false] [-profile] [-events N] [-processes N] [-log FILE] COMMAND ARG...
const StageName = "unroot-trace"

func init() {
	launch.Register(StageName, func() {
		status, err := stage(os.Args[1:])
		if err != nil {
			fmt.Fprintln(os.Stderr, "unroot-trace:", err)
		}
		os.Exit(status)
	})
}

// adjust is for tests: it makes the tracer work as on an older kernel.
var adjust func(*Tracer)

// failure is the status for what is the stage's own fault, as engines have it.
const failure = 125

func stage(args []string) (int, error) {
	var o Options
	flags := flag.NewFlagSet(StageName, flag.ContinueOnError)
	flags.BoolVar(&o.Trace, "trace", true, "trace; else only start and wait")
	flags.IntVar(&o.Events, "events", 0, "how many events are kept")
	flags.IntVar(&o.Processes, "processes", 0, "how many threads there may be before the command is ended")
	profile := flags.Bool("profile", false, "answer as the engines' seccomp profile")
	file := flags.String("log", "", "where the log is written, as JSON")
	if err := flags.Parse(args); err != nil {
		return failure, err
	}
	spec := launch.Spec{NoNewPrivs: true, Args: flags.Args(), Env: os.Environ()}
	if o.Trace || *profile {
		filter, err := seccomp.Program(seccomp.Options{Profile: *profile, Trace: o.Trace})
		if err != nil {
			return failure, err
		}
		spec.Filter = filter
	}
	crowded := make(chan struct{}, 1)
	o.OnLimit = func(string) { crowded <- struct{}{} }
	t := New(o)
	if adjust != nil {
		adjust(t)
	}
	status, err := follow(t, spec, crowded)
	t.Close()
	if *file != "" {
		err = errors.Join(err, writeLog(*file, t))
	}
	return status, err
}

// follow starts the command, hands signals on to it, and returns its status.
func follow(t *Tracer, spec launch.Spec, crowded <-chan struct{}) (int, error) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	p, err := t.Start(spec, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return launch.Status(err), err
	}
	for {
		select {
		case sig := <-signals:
			_ = t.Signal(p.PID(), sig.(syscall.Signal)) // it may have ended meanwhile
		case <-crowded:
			return failure, errors.New("too many processes")
		case <-p.Done():
			status, sig := p.State()
			if sig != "" {
				return 128 + int(unix.SignalNum(sig)), nil
			}
			return status, nil
		}
	}
}

func writeLog(name string, t *Tracer) error {
	text, err := json.Marshal(t.Log())
	if err != nil {
		return fmt.Errorf("writing the log: %w", err)
	}
	return os.WriteFile(name, text, 0o644)
}
