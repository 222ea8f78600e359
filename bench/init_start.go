package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// startRounds is how often each way to start a program is measured, all in turn.
const startRounds = 400

// starter is a way to start a program that does nothing.
type starter struct {
	name string
	args []string // what stands before the program
}

// measureStarts times the start and end of a static program that does nothing: by itself, and behind
// programs that images put before it. gosu and its like change the user, which unroot-init never does.
func measureStarts(ctx context.Context, b *initBench) (chapter, error) {
	nothing, err := b.compile(ctx, "nothing", true)
	if err != nil {
		return chapter{}, err
	}
	stepdown, err := b.compile(ctx, "stepdown", true)
	if err != nil {
		return chapter{}, err
	}
	list := []starter{
		{"nothing before it", nil},
		{"su-exec's like (C, static)", []string{stepdown, "65532", "0"}},
		{"gosu", []string{"gosu", "65532:0"}},
		{"tini", []string{"tini", "-s", "--"}},
		{"tini-static", []string{"tini-static", "-s", "--"}},
		{"unroot-init --exec", []string{b.init, "--exec", "--"}},
		{"unroot-init, user with a passwd entry", []string{b.init, "--"}},
		{"unroot-init --stay", []string{b.init, "--stay", "--"}},
		{"unroot-init --compat=simple", []string{b.init, "--compat=simple", "--"}},
	}
	times, err := b.time(ctx, list, nothing)
	if err != nil {
		return chapter{}, err
	}
	c := chapter{about: fmt.Sprintf("unroot-init, start to end of a static program that does nothing, %d rounds in each of which chance picks the order, medians with an interval of at least 95 %%.", startRounds)}
	for i, s := range list {
		c.gauges = append(c.gauges, gauge{what: s.name, value: intervalOf(times[i]), unit: "ms"})
	}
	const plain, gosu, exec, known = 0, 2, 5, 6
	c.gauges = append(c.gauges,
		gauge{"unroot-init --exec, more than nothing before it", differences(times[exec], times[plain]), "ms", 1.5},
		gauge{"unroot-init, user with a passwd entry, more than nothing before it", differences(times[known], times[plain]), "ms", 0})
	c.contests = []contest{
		{"unroot-init --exec against gosu", quotients(times[exec], times[gosu]), 1, false},
		{"unroot-init, user with a passwd entry, against gosu", quotients(times[known], times[gosu]), 0, false},
	}
	return c, nil
}

// time gives the milliseconds of each starter, round by round.
func (b *initBench) time(ctx context.Context, list []starter, program string) ([][]float64, error) {
	timer, err := b.compile(ctx, "starts", true)
	if err != nil {
		return nil, err
	}
	args := []string{strconv.Itoa(startRounds)}
	for i, s := range list {
		if i > 0 {
			args = append(args, "+")
		}
		words := append(append([]string{}, s.args...), program)
		if words[0], err = exec.LookPath(words[0]); err != nil {
			return nil, err
		}
		args = append(args, words...)
	}
	out, err := said(exec.CommandContext(ctx, timer, args...))
	if err != nil {
		return nil, err
	}
	times := make([][]float64, len(list))
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) != len(list) {
			return nil, fmt.Errorf("%q: want %d times", line, len(list))
		}
		for i, f := range fields {
			ns, err := strconv.ParseFloat(f, 64)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], ns/1e6)
		}
	}
	return times, nil
}

// differences is the interval of a round's a minus its b.
func differences(a, b []float64) interval {
	d := make([]float64, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return intervalOf(d)
}
