package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is one run of the benchmark.
type report struct {
	rounds   int
	machine  string
	versions []string
	image    described
	times    []lap
	added    int64
	sharing  shared
	memory   peak
	traced   []contest
	runner   []contest
	proof    proofTimes
	init     []chapter
}

// bar is a promise and what was measured.
type bar struct {
	what     string
	measured float64
	limit    float64
	least    bool // the limit is the least, not the most
	unit     string
}

func (b bar) holds() bool {
	if b.least {
		return b.measured >= b.limit
	}
	return b.measured <= b.limit
}

// bars are those whose tools ran.
func (r report) bars() (bars []bar) {
	ratio := func(what, a, b string, limit float64, least bool) {
		if x := paired(find(r.times, a), find(r.times, b)); x > 0 {
			bars = append(bars, bar{what, x, limit, least, "×"})
		}
	}
	ratio("unroot cold against the decompression floor", "unroot cold", "floor", 1.2, false)
	ratio("docker cold against unroot cold", "docker cold", "unroot cold", 4, true)
	ratio("buildah against unroot cold", "buildah", "unroot cold", 3, true)
	ratio("unroot warm against crane", "unroot warm", "crane", 3, false)
	ratio("docker warm against unroot warm", "docker warm", "unroot warm", 5, true)
	bars = append(bars, bar{"bytes added, compressed", float64(r.added) / 1024, 16, false, " KiB"})
	if r.memory.kibibytes > 0 {
		bars = append(bars, bar{"peak memory, 200,000 files in 5 GB", float64(r.memory.kibibytes) * 1024 / 1e6, 150, false, " MB"})
	}
	return bars
}

// verdict is an error that names the bars that do not hold.
func (r report) verdict() error {
	var failed []string
	for _, b := range r.bars() {
		if !b.holds() {
			failed = append(failed, b.what)
		}
	}
	for _, c := range slices.Concat(r.traced, r.runner, r.proof.contests) {
		if !c.holds() {
			failed = append(failed, c.what)
		}
	}
	for _, c := range r.init {
		failed = append(failed, c.broken()...)
	}
	if len(failed) > 0 {
		return fmt.Errorf("bars that do not hold: %s", strings.Join(failed, "; "))
	}
	return nil
}

// text is the report as Markdown.
func (r report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured by `make bench` on %s.\n", r.machine)
	fmt.Fprintf(&b, "Image: Debian with nginx, %d layers, %.0f MB (%.0f MB compressed), %d entries; from and to a registry on loopback.\n",
		r.image.layers, float64(r.image.opened)/1e6, float64(r.image.compressed)/1e6, r.image.files)
	fmt.Fprintf(&b, "Medians of %d rounds, all tools in turn in each; a ratio is the median of the rounds' ratios; every image but the floors' was run under an unknown uid and served.\n\n", r.rounds)
	fmt.Fprintf(&b, "| tool | what is timed | median | fastest | against unroot cold | against unroot warm |\n|---|---|---|---|---|---|\n")
	cold, warm := find(r.times, "unroot cold"), find(r.times, "unroot warm")
	for _, p := range ordered(r.times) {
		m := median(p.times)
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", p.tool.name, p.tool.what, seconds(m), seconds(slices.Min(p.times)), times(p.times, cold), times(p.times, warm))
	}
	fmt.Fprintf(&b, "\n| bar | measured | limit | |\n|---|---|---|---|\n")
	for _, x := range r.bars() {
		fmt.Fprintf(&b, "| %s | %.2f%s | %s %g%s | %s |\n", x.what, x.measured, x.unit, sense(x.least), x.limit, x.unit, verdictWord(x.holds()))
	}
	fmt.Fprintf(&b, "\nA second image with the same base layer: %s without a cache, %s after the first one; the floor of its own layers is %s.\n",
		seconds(r.sharing.cold), seconds(r.sharing.second), seconds(r.sharing.own))
	if r.memory.kibibytes > 0 {
		fmt.Fprintf(&b, "The image of 200,000 files in 5 GB took %s.\n", seconds(r.memory.took))
	}
	b.WriteString(contestText(r.traced))
	b.WriteString(runnerText(r.runner))
	b.WriteString(proofText(r.proof))
	for _, c := range r.init {
		b.WriteString(c.text())
	}
	fmt.Fprintf(&b, "\nVersions: %s.\n", strings.Join(r.versions, "; "))
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

func times(a, b []time.Duration) string {
	if len(b) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f×", paired(a, b))
}

func sense(least bool) string {
	if least {
		return "at least"
	}
	return "at most"
}

func verdictWord(holds bool) string {
	if holds {
		return "holds"
	}
	return "**does not hold**"
}

// The markers between which the page has the report.
const (
	beginMark = "<!-- bench: begin -->\n"
	endMark   = "<!-- bench: end -->\n"
)

// writeInto puts the report between the markers of the page, which is made where it is missing.
func (r report) writeInto(page string) error {
	old, err := os.ReadFile(page)
	if errors.Is(err, fs.ErrNotExist) {
		old, err = []byte("# Benchmarks\n\n"+beginMark+endMark), nil
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	before, rest, ok := strings.Cut(string(old), beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return fmt.Errorf("writing the report: %q has no lines %q and %q", page, beginMark, endMark)
	}
	return os.WriteFile(page, []byte(before+beginMark+r.text()+endMark+after), 0o644)
}

// describeMachine is what a reader needs to compare.
func describeMachine() string {
	var u unix.Utsname
	kernel := "an unknown kernel"
	if unix.Uname(&u) == nil {
		release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
		kernel = "Linux " + release
	}
	return fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), runtime.GOARCH, kernel)
}
