package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// gauge is something measured with a unit. As with a contest, its bar is broken only where the whole
// interval lies above the limit.
type gauge struct {
	what  string
	value interval
	unit  string
	limit float64 // the most; 0: only shown
}

func (g gauge) holds() bool { return g.limit == 0 || g.value.low <= g.limit }

func (g gauge) String() string {
	return fmt.Sprintf("%.3g %s (%.3g to %.3g)", g.value.median, g.unit, g.value.low, g.value.high)
}

// chapter is what one part of the measurements of unroot-init gives.
type chapter struct {
	about    string // a sentence above the tables
	gauges   []gauge
	contests []contest
}

// text is the chapter as Markdown.
func (c chapter) text() string {
	if c.about == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\n", c.about)
	fmt.Fprintf(&b, "| what | measured | limit | |\n|---|---|---|---|\n")
	row := func(what, measured string, limit float64, sense, unit string, holds bool) {
		if limit == 0 {
			fmt.Fprintf(&b, "| %s | %s | | |\n", what, measured)
			return
		}
		fmt.Fprintf(&b, "| %s | %s | %s %g%s | %s |\n", what, measured, sense, limit, unit, verdictWord(holds))
	}
	for _, g := range c.gauges {
		row(g.what, g.String(), g.limit, sense(false), " "+g.unit, g.holds())
	}
	for _, r := range c.contests {
		row(r.what, r.ratio.String(), r.limit, sense(r.least), "×", r.holds())
	}
	return b.String()
}

// broken names the bars that do not hold.
func (c chapter) broken() (names []string) {
	for _, g := range c.gauges {
		if !g.holds() {
			names = append(names, g.what)
		}
	}
	for _, r := range c.contests {
		if !r.holds() {
			names = append(names, r.what)
		}
	}
	return names
}

//go:embed native/*.c
var native embed.FS

// initBench is what measures unroot-init: itself, and small programs of our own in C.
type initBench struct {
	dir  string
	init string // unroot-init
}

// openInitBench builds unroot-init from the source, as it is built for images.
func openInitBench(ctx context.Context) (*initBench, error) {
	dir, err := os.MkdirTemp("", "unroot-bench-init-")
	if err != nil {
		return nil, err
	}
	b := &initBench{dir: dir, init: filepath.Join(dir, "unroot-init")}
	if err := errors.Join(os.Chmod(dir, 0o755), b.build(ctx)); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *initBench) close() error { return os.RemoveAll(b.dir) }

// build has the flags of startup/program, whose test compares the bytes.
func (b *initBench) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags=unroot_release",
		"-ldflags=-s -w -buildid= -checklinkname=0 -X=runtime.godebugDefault=asyncpreemptoff=1", "-o", b.init, "./cmd/unroot-init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	_, err := said(cmd)
	return err
}

// compile builds one of the programs in C: static with musl, as the smallest there are, or dynamic with glibc.
func (b *initBench) compile(ctx context.Context, name string, musl bool) (program string, err error) {
	source, err := native.ReadFile("native/" + name + ".c")
	if err != nil {
		return "", err
	}
	compiler := []string{"gcc", "-O2"}
	program = filepath.Join(b.dir, name)
	if musl {
		compiler, program = []string{"musl-gcc", "-O2", "-s", "-static"}, program+"-musl"
	}
	file := filepath.Join(b.dir, name+".c")
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return "", err
	}
	_, err = said(exec.CommandContext(ctx, compiler[0], append(compiler[1:], "-o", program, file)...))
	return program, err
}

// said runs a program and gives its standard output; the error has what it wrote to standard error.
func said(cmd *exec.Cmd) (string, error) {
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args[:min(3, len(cmd.Args))], " "), err, tail(errs.String()))
	}
	return out.String(), nil
}

// tail is the end of a text.
func tail(text string) string { return text[max(0, len(text)-2000):] }

// The chapters, by the names that -only takes.
var chapters = []struct {
	name    string
	measure func(context.Context, *initBench) (chapter, error)
}{
	{"init", measureStarts},
	{"names", measureNames},
	{"compat", measureCompat},
}

// initRace measures unroot-init: all of it, or the chapter that is named.
func initRace(ctx context.Context, only string) (list []chapter, err error) {
	b, err := openInitBench(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, c := range chapters {
		if only != "" && only != c.name {
			continue
		}
		one, err := c.measure(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("measuring %s: %w", c.name, err)
		}
		fmt.Fprint(os.Stderr, one.text())
		list = append(list, one)
	}
	return list, nil
}

// initAlone measures one chapter, without engines and registries.
func initAlone(ctx context.Context, only string) error {
	list, err := initRace(ctx, only)
	for _, c := range list {
		for _, name := range c.broken() {
			err = errors.Join(err, fmt.Errorf("bar that does not hold: %s", name))
		}
	}
	return err
}
