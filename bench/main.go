// Command bench measures unroot side by side with what people use today for the same result, in one run on one machine.
//
// It builds a sample image, pushes it to a registry on loopback, and lets every tool make a regular
// user's image of it there, in turn, several times. It prints medians and ratios, holds them
// against the project's bars, and writes them into BENCHMARKS.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"unroot/internal/sandbox"
)

func main() {
	sandbox.Stage() // the runner starts this program again, under names of its own
	// what measures the floor and peak memory runs in a process of its own, as unroot does
	if len(os.Args) > 1 && os.Args[1] == floorVerb {
		if err := floor(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	rounds := flag.Int("rounds", 5, "how often each tool runs")
	page := flag.String("write", "BENCHMARKS.md", "page to write the result into; empty to write none")
	memory := flag.Bool("memory", true, "measure peak memory on an image of 200,000 files in 5 GB")
	only := flag.String("only", "", "comma-separated names of the only tools to run; \"tracer\", \"runner\", \"proof\", \"init\", \"names\" and \"compat\" measure that alone and write no page")
	tracer := flag.Bool("tracer", true, "measure the tracer against none and against strace")
	runner := flag.Bool("runner", true, "measure the embedded runner against crun and docker")
	proof := flag.Bool("proof", true, "measure convert --verify against plain runs")
	start := flag.Bool("init", true, "measure unroot-init: starts, names and emulation")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, options{rounds: *rounds, page: *page, memory: *memory, only: *only, tracer: *tracer, runner: *runner, proof: *proof, init: *start}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds int
	page   string
	memory bool
	only   string
	tracer bool
	runner bool
	proof  bool
	init   bool
}

// bench sets up, measures, and reports; bars that do not hold are an error.
func bench(ctx context.Context, o options) (err error) {
	if os.Getuid() != 0 {
		return errors.New("measuring: the engines need root")
	}
	switch o.only {
	case "tracer":
		return traceAlone(ctx)
	case "runner":
		return runnerAlone(ctx)
	case "proof":
		return proofAlone(ctx)
	case "init", "names", "compat":
		return initAlone(ctx, o.only)
	}
	l, err := openLab(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()

	r := report{rounds: o.rounds, machine: describeMachine(), versions: l.versions(ctx)}
	if r.image, err = l.describe(nginxImage); err != nil {
		return err
	}
	if r.times, err = l.race(ctx, o.rounds, o.only); err != nil {
		return err
	}
	if err := l.sameJob(ctx, r.times); err != nil {
		return err
	}
	if r.added, err = l.addedBytes(ctx); err != nil {
		return err
	}
	if r.sharing, err = l.sharing(ctx, o.rounds); err != nil {
		return err
	}
	if o.memory {
		if r.memory, err = l.peakMemory(ctx); err != nil {
			return err
		}
	}
	if o.tracer {
		if r.traced, err = traceRace(ctx, l.binary); err != nil {
			return err
		}
	}
	if o.runner {
		if r.runner, err = runnerRace(ctx, l, l.image(nginxImage)); err != nil {
			return err
		}
	}
	if o.proof {
		if r.proof, err = proofRace(ctx, l); err != nil {
			return err
		}
	}
	if o.init {
		if r.init, err = initRace(ctx, ""); err != nil {
			return err
		}
	}
	fmt.Print(r.text())
	if o.page != "" {
		if err := r.writeInto(o.page); err != nil {
			return err
		}
	}
	return r.verdict()
}

// sampleRoot is the folder with the samples' Dockerfiles: bench runs in the module's folder.
var sampleRoot = filepath.Join("test", "images")
