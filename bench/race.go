package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"unroot/test/engine"
)

// lap is the times of one tool.
type lap struct {
	tool  tool
	times []time.Duration
	last  string // reference of what the last run wrote
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	if len(sorted)%2 == 1 {
		return sorted[len(sorted)/2]
	}
	return (sorted[len(sorted)/2-1] + sorted[len(sorted)/2]) / 2
}

// race lets all tools run in turn, several rounds, each round beginning with another one: what else
// the machine does then meets all of them.
func (l *lab) race(ctx context.Context, rounds int, only string) ([]lap, error) {
	var laps []lap
	for _, t := range tools {
		if only == "" || slices.Contains(strings.Split(only, ","), t.name) {
			laps = append(laps, lap{tool: t})
		}
	}
	for round := range rounds {
		for i := range laps {
			p := &laps[(i+round)%len(laps)]
			took, err := l.runOnce(ctx, p, round)
			if err != nil {
				return nil, fmt.Errorf("round %d, %s: %w", round+1, p.tool.name, err)
			}
			p.times = append(p.times, took)
			fmt.Fprintf(os.Stderr, "round %d  %-13s %8.3f s\n", round+1, p.tool.name, took.Seconds())
		}
	}
	return laps, nil
}

// runOnce gives a tool an empty folder and a repository that nobody has written to.
func (l *lab) runOnce(ctx context.Context, p *lap, round int) (took time.Duration, err error) {
	dir := filepath.Join(l.dir, "run")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return 0, err
	}
	defer func() {
		if p.tool.clean != nil {
			err = errors.Join(err, p.tool.clean(ctx, l, dir))
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if err := p.tool.ready(ctx, l, dir); err != nil {
		return 0, err
	}
	slug := strings.NewReplacer(" ", "-", "+", "-").Replace(p.tool.name)
	p.last = fmt.Sprintf("%s/out-%s-%d:regular", l.registry.Host, slug, round)
	start := time.Now()
	err = p.tool.run(ctx, l, dir, p.last)
	return time.Since(start), err
}

// sameJob runs what each tool wrote under a uid that nobody knows, without capabilities and with low
// ports closed: times of tools that do not do the job would say nothing.
func (l *lab) sameJob(ctx context.Context, laps []lap) error {
	for _, p := range laps {
		if !p.tool.same {
			continue
		}
		if err := l.servesAt8080(ctx, p.last); err != nil {
			return fmt.Errorf("the image that %s made: %w", p.tool.name, err)
		}
	}
	return nil
}

func (l *lab) servesAt8080(ctx context.Context, ref string) error {
	c, err := l.engine.Run(ctx, ref, []string{"--user", "1000700000:0", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		"--sysctl", "net.ipv4.ip_unprivileged_port_start=1024", "--network", "none"})
	if err != nil {
		return err
	}
	defer c.Remove(ctx)
	for range 100 {
		if err = get(ctx, c); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%w\n%s", err, c.Logs(ctx))
}

func get(ctx context.Context, c *engine.Container) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: c.Dial}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8080/", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET / answered %s", res.Status)
	}
	return nil
}

// addedBytes is what unroot's layer adds to what is stored and sent.
func (l *lab) addedBytes(context.Context) (int64, error) {
	before, err := l.layerSizes(l.image(nginxImage))
	if err != nil {
		return 0, err
	}
	after, err := l.layerSizes(l.registry.Host + "/warm-up:regular")
	if err != nil {
		return 0, err
	}
	return after - before, nil
}

func (l *lab) layerSizes(ref string) (sum int64, err error) {
	m, err := l.manifest(ref)
	if err != nil {
		return 0, err
	}
	for _, layer := range m.Layers {
		sum += layer.Size
	}
	return sum, nil
}

func (l *lab) manifest(ref string) (*v1.Manifest, error) {
	image, err := l.remoteImage(ref)
	if err != nil {
		return nil, err
	}
	return image.Manifest()
}

// described is the race's image in figures.
type described struct {
	layers                    int
	compressed, files, opened int64
}

func (l *lab) describe(sample string) (d described, err error) {
	m, err := l.manifest(l.image(sample))
	if err != nil {
		return d, err
	}
	d.layers = len(m.Layers)
	for i, layer := range m.Layers {
		d.compressed += layer.Size
		entries, size, err := walk(l.blobs[i])
		if err != nil {
			return d, err
		}
		d.files += int64(entries)
		d.opened += size
	}
	return d, nil
}

// shared is the cost of a second image that has the base layer of the first.
type shared struct {
	cold, second, own time.Duration
}

// sharing converts the second sample without a cache, and with the cache that the first one left;
// own is the floor for the layers that only the second one has.
func (l *lab) sharing(ctx context.Context, rounds int) (s shared, err error) {
	files, err := l.layerFiles(secondImage)
	if err != nil {
		return s, err
	}
	var cold, second, own []time.Duration
	for range rounds {
		for _, run := range []struct {
			into *[]time.Duration
			do   func(dir string) (time.Duration, error)
		}{
			{&cold, func(dir string) (time.Duration, error) { return l.convertSecond(ctx, filepath.Join(dir, "none")) }},
			{&second, func(dir string) (time.Duration, error) {
				cache := filepath.Join(dir, "cache")
				if err := os.CopyFS(cache, os.DirFS(l.warmCache)); err != nil {
					return 0, err
				}
				return l.convertSecond(ctx, cache)
			}},
			{&own, func(string) (time.Duration, error) {
				start := time.Now()
				err := l.command(ctx, nil, l.self, append([]string{floorVerb}, files[1:]...)...)
				return time.Since(start), err
			}},
		} {
			dir, err := os.MkdirTemp(l.dir, "sharing-")
			if err != nil {
				return s, err
			}
			took, err := run.do(dir)
			if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
				return s, err
			}
			*run.into = append(*run.into, took)
		}
	}
	return shared{cold: median(cold), second: median(second), own: median(own)}, nil
}

func (l *lab) convertSecond(ctx context.Context, cache string) (time.Duration, error) {
	dst := fmt.Sprintf("%s/second-%d:regular", l.registry.Host, time.Now().UnixNano())
	start := time.Now()
	err := l.command(ctx, []string{"XDG_CACHE_HOME=" + cache}, l.binary, "convert", l.image(secondImage), dst)
	return time.Since(start), err
}

// find gives the times of a tool, none where it did not run.
func find(laps []lap, name string) []time.Duration {
	for _, p := range laps {
		if p.tool.name == name {
			return p.times
		}
	}
	return nil
}

// paired is the median of the ratios of two tools in each round: what else the machine did in a round
// met both. It is 0 where one did not run.
func paired(a, b []time.Duration) float64 {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i].Seconds() / b[i].Seconds()
	}
	slices.Sort(ratios)
	return (ratios[len(ratios)/2] + ratios[(len(ratios)-1)/2]) / 2
}

// ordered is the laps with the fastest first.
func ordered(laps []lap) []lap {
	return slices.SortedFunc(slices.Values(laps), func(a, b lap) int { return cmp.Compare(median(a.times), median(b.times)) })
}
