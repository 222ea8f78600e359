package rewrite_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/imagetest"
)

// TestBytes shows whole configs and manifests as they are written, for a person to judge: spacing,
// order and vendors' keys are those of the source.
func TestBytes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"odd-docker", "odd-oci", "no-manifest"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := "testdata/" + name + ".txtar"
			img, ar := imagetest.Load(t, file)
			after := convert(t, imagetest.View(t, img), "").after.Image
			golden(t, ar, "image after", string(after.Config)+"\n")
			golden(t, ar, "manifest after", string(after.Manifest)+"\n")
			if *update {
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// digests and sizes depend on the compressor's version; other tests compare them.
var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}|"size":[0-9]+`)

func golden(t *testing.T, ar *txtar.Archive, section, got string) {
	t.Helper()
	got = digests.ReplaceAllStringFunc(got, func(s string) string { return s[:strings.IndexByte(s, ':')] + ":…" })
	if *update {
		imagetest.SetSection(ar, section, got)
		return
	}
	want, _ := imagetest.Section(ar, section)
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", section, diff)
	}
}
