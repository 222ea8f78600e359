package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"unroot/internal/startup"
)

// compatPairs is how often each pair of a server with and without emulation is measured.
const compatPairs = 9

// under is a program as an ordinary user behind unroot-init, with a step of emulation.
func (b *initBench) under(step startup.Compat) way {
	order := startup.Order{Compat: step}
	name := "unroot-init " + order.Args()[0]
	return way{name, func(*tracerBench) []string {
		return append(append(append([]string{}, unprivileged...), b.init), order.Args()...)
	}}
}

// measureCompat measures servers that look at files and those that do not, once they serve, and what
// single calls cost.
func measureCompat(ctx context.Context, b *initBench) (c chapter, err error) {
	dir, err := os.MkdirTemp(b.dir, "served-")
	if err != nil {
		return c, err
	}
	uid, err := strconv.Atoi(unknownUID)
	if err != nil {
		return c, err
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, uid, 0)); err != nil {
		return c, err
	}
	c.about = fmt.Sprintf("Emulation, as uid %s without capabilities: requests per second once serving, medians of %d interleaved pairs with an interval of at least 95 %%; nginx opens a file for each request, and each request has a connection of its own. Then single calls.", unknownUID, compatPairs)
	if c.contests, err = b.servers(ctx, &tracerBench{dir: dir}); err != nil {
		return c, err
	}
	c.gauges, err = b.calls(ctx, dir)
	return c, err
}

// servers compares each server under each step with the same without emulation.
func (b *initBench) servers(ctx context.Context, t *tracerBench) (contests []contest, err error) {
	limits := map[startup.Compat]float64{startup.CompatSimple: 0.95, startup.CompatIdentities: 0.9}
	for _, server := range []struct {
		name    string
		measure func(context.Context, way) (float64, error)
	}{{"redis", t.redis}, {"nginx", t.nginx}} {
		for _, step := range startup.Compats {
			var ratios []float64
			for pair := range compatPairs {
				x, y, err := both(ctx, server.measure, b.under(step), b.under(startup.CompatOff), pair%2 == 1)
				if err != nil {
					return nil, fmt.Errorf("%s under %s: %w", server.name, step, err)
				}
				ratios = append(ratios, x/y)
			}
			name := fmt.Sprintf("%s, requests per second under %s against none", server.name, step)
			contests = append(contests, contest{name, intervalOf(ratios), limits[step], true})
			fmt.Fprintf(os.Stderr, "%-70s %s\n", name, contests[len(contests)-1].ratio)
		}
	}
	return contests, nil
}

// calls gives what single calls cost under each step, and without.
func (b *initBench) calls(ctx context.Context, dir string) (gauges []gauge, err error) {
	program, err := b.compile(ctx, "calls", true)
	if err != nil {
		return nil, err
	}
	names := []string{"getppid (never answered)", "chown", "getuid", "fstat"}
	steps := append([]startup.Compat{startup.CompatOff}, startup.Compats...)
	costs := make([][][]float64, len(steps))
	for range compatPairs {
		for i, step := range steps {
			nanoseconds, err := b.costs(ctx, step, program, dir)
			if err != nil {
				return nil, fmt.Errorf("calls under %q: %w", step, err)
			}
			if len(nanoseconds) != len(names) {
				return nil, fmt.Errorf("%s said %v", filepath.Base(program), nanoseconds)
			}
			costs[i] = append(costs[i], nanoseconds)
		}
	}
	for call, name := range names {
		for i, step := range steps {
			var times []float64
			for _, round := range costs[i] {
				times = append(times, round[call]/1000)
			}
			what := fmt.Sprintf("%s, %s", name, step)
			if step == startup.CompatOff {
				what = name + ", no emulation"
			}
			gauges = append(gauges, gauge{what: what, value: intervalOf(times), unit: "µs"})
		}
	}
	return gauges, nil
}

func (b *initBench) costs(ctx context.Context, step startup.Compat, program, dir string) (nanoseconds []float64, err error) {
	words := append(b.under(step).args(nil), program, dir)
	out, err := said(exec.CommandContext(ctx, words[0], words[1:]...))
	if err != nil {
		return nil, err
	}
	for _, field := range strings.Fields(out) {
		ns, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return nil, err
		}
		nanoseconds = append(nanoseconds, ns)
	}
	return nanoseconds, nil
}
