package real

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mayChange are the fields of an image's config that a plan can have an effect on, and the fields
// that describe layers. Everything else is the packager's.
var mayChange = []string{"User", "Env", "Entrypoint", "Cmd", "ExposedPorts", "Healthcheck", "Labels", "WorkingDir", "Volumes"}

// TestOnlyThePlanMoved is law 1 on real images: what no plan can touch is the same, and the layers
// that were there are still there, below at most one more.
func TestOnlyThePlanMoved(t *testing.T) {
	for _, name := range []string{"nginx", "postgres", "app-volume"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := converted(t, name)
			onlyNamedFieldsDiffer(t, c)
			oneMoreLayer(t, c)
		})
	}
}

func onlyNamedFieldsDiffer(t *testing.T, c conversion) {
	t.Helper()
	var before, after struct {
		Config map[string]any
	}
	decode(t, rawConfig(t, "docker://"+c.source), &before)
	decode(t, rawConfig(t, "docker://"+c.result), &after)
	for _, field := range mayChange {
		delete(before.Config, field)
		delete(after.Config, field)
	}
	if diff := cmp.Diff(before.Config, after.Config); diff != "" {
		t.Errorf("config before (-) and after (+):\n%s", diff)
	}
	var wholeBefore, wholeAfter map[string]any
	decode(t, rawConfig(t, "docker://"+c.source), &wholeBefore)
	decode(t, rawConfig(t, "docker://"+c.result), &wholeAfter)
	for _, field := range []string{"config", "rootfs", "history"} {
		delete(wholeBefore, field)
		delete(wholeAfter, field)
	}
	if diff := cmp.Diff(wholeBefore, wholeAfter); diff != "" {
		t.Errorf("image before (-) and after (+):\n%s", diff)
	}
}

type manifest struct {
	MediaType   string
	Layers      []struct{ MediaType, Digest string }
	Annotations map[string]string
}

func oneMoreLayer(t *testing.T, c conversion) {
	t.Helper()
	var before, after manifest
	decode(t, rawManifest(t, "docker://"+c.source), &before)
	decode(t, rawManifest(t, "docker://"+c.result), &after)
	if len(after.Layers) != len(before.Layers)+1 {
		t.Fatalf("%d layers became %d, want one more", len(before.Layers), len(after.Layers))
	}
	if diff := cmp.Diff(before.Layers, after.Layers[:len(before.Layers)]); diff != "" {
		t.Errorf("original layers before (-) and after (+):\n%s", diff)
	}
}

// TestFixedPoint is law 3, and with it law 2: the plan for a converted image is empty, so converting
// it gives the same manifest.
func TestFixedPoint(t *testing.T) {
	for _, s := range slices.Concat(services, []service{{sample: gitSample}}) {
		t.Run(s.sample, func(t *testing.T) {
			t.Parallel()
			c := converted(t, s.sample)
			if again := planOf(t, c.result); len(again.Operations) > 0 {
				t.Errorf("the plan for the converted image has operations: %s", again.Operations)
			}
			out := unroot(t, "convert", c.result, strings.TrimSuffix(c.result, "regular")+"again")
			if got := strings.TrimSpace(out); got != c.digest {
				t.Errorf("converted again, the manifest is %s, want %s", got, c.digest)
			}
		})
	}
}

// TestSameBytes is law 4: neither the time zone, nor the language, nor the folder, nor a warm cache,
// nor the number of processors changes what is written.
func TestSameBytes(t *testing.T) {
	t.Parallel()
	c := converted(t, "nginx")
	cache := "XDG_CACHE_HOME=" + t.TempDir()
	surroundings := map[string][]string{
		"cold cache":    {cache},
		"warm cache":    {cache},
		"another place": {cache, "TZ=Pacific/Kiritimati", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8", "GOMAXPROCS=1", "TMPDIR=" + t.TempDir()},
		"another day":   {"XDG_CACHE_HOME=" + t.TempDir(), "SOURCE_DATE_EPOCH=1"},
	}
	for _, name := range slices.Sorted(maps.Keys(surroundings)) {
		out, errs, code := unrootIn(t, surroundings[name], "convert", c.source, strings.TrimSuffix(c.result, "regular")+"bytes")
		if code != 0 {
			t.Fatalf("%s: exit code %d\n%s", name, code, errs)
		}
		if got := strings.TrimSpace(out); got != c.digest {
			t.Errorf("%s: the manifest is %s, before it was %s", name, got, c.digest)
		}
	}
}
