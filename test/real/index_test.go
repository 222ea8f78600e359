package real

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// attestationKey marks a manifest that speaks of another one, as BuildKit writes them.
const attestationKey = "vnd.docker.reference.type"

var platforms = []v1.Platform{
	{OS: "linux", Architecture: "amd64"},
	{OS: "linux", Architecture: "arm64", Variant: "v8"},
}

// TestIndex converts an image of two platforms with an attestation. Both platforms must be kept and
// both be converted; what was said about manifests that are no more must be gone, unless asked for.
func TestIndex(t *testing.T) {
	t.Parallel()
	source := pushed(t, "nginx")
	repository := strings.TrimSuffix(source, ":root")
	pushIndex(t, source, repository+":many")
	for _, test := range []struct {
		flags        []string
		attestations int
	}{
		{nil, 0},
		{[]string{"--keep-attestations"}, 1},
	} {
		t.Run(fmt.Sprint(test.flags), func(t *testing.T) {
			result := repository + fmt.Sprintf(":many-regular-%d", test.attestations)
			out := unroot(t, append(append([]string{"convert"}, test.flags...), repository+":many", result)...)
			index := remoteIndex(t, result)
			if digest, err := index.Digest(); err != nil || digest.String() != strings.TrimSpace(out) {
				t.Errorf("the registry has %s (%v), unroot wrote %q", digest, err, out)
			}
			bothPlatforms(t, index, test.attestations)
		})
	}
	t.Run("skopeo copies all of it", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "copy")
		judged(t, program(t, "skopeo", "copy", "--all", "--src-tls-verify=false", "docker://"+repository+":many-regular-0", "oci:"+dir+":many"))
		if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
			t.Error(err)
		}
	})
}

// pushIndex makes an index of one image under two platforms, and an attestation for the first.
func pushIndex(t *testing.T, source, ref string) {
	t.Helper()
	image, err := remote.Image(reference(t, source))
	if err != nil {
		t.Fatal(err)
	}
	var adds []mutate.IndexAddendum
	for _, p := range platforms {
		adds = append(adds, mutate.IndexAddendum{Add: forPlatform(t, image, p), Descriptor: v1.Descriptor{Platform: &p}})
	}
	first, err := adds[0].Add.Digest()
	if err != nil {
		t.Fatal(err)
	}
	adds = append(adds, mutate.IndexAddendum{Add: empty.Image, Descriptor: v1.Descriptor{
		Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{
			attestationKey:                "attestation-manifest",
			"vnd.docker.reference.digest": first.String(),
		},
	}})
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), adds...)
	if err := remote.WriteIndex(reference(t, ref), index); err != nil {
		t.Fatal(err)
	}
}

func forPlatform(t *testing.T, image v1.Image, p v1.Platform) v1.Image {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = p.OS, p.Architecture, p.Variant
	changed, err := mutate.ConfigFile(image, config)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func bothPlatforms(t *testing.T, index v1.ImageIndex, attestations int) {
	t.Helper()
	m, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var left []v1.Descriptor
	for _, d := range m.Manifests {
		if d.Annotations[attestationKey] != "" {
			attestations--
			continue
		}
		left = append(left, d)
	}
	if attestations != 0 {
		t.Errorf("%d attestations too few (or, below zero, too many) in %v", attestations, m.Manifests)
	}
	if len(left) != len(platforms) {
		t.Fatalf("%d platforms in the index, want %d: %v", len(left), len(platforms), left)
	}
	for i, d := range left {
		if d.Platform == nil || !d.Platform.Equals(platforms[i]) {
			t.Errorf("platform %d is %v, want %v", i, d.Platform, platforms[i])
		}
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if !numericUser.MatchString(config.Config.User) || config.Architecture != platforms[i].Architecture {
			t.Errorf("%v: User %q, architecture %q", d.Platform, config.Config.User, config.Architecture)
		}
	}
}

func reference(t *testing.T, ref string) name.Reference {
	t.Helper()
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func remoteIndex(t *testing.T, ref string) v1.ImageIndex {
	t.Helper()
	index, err := remote.Index(reference(t, ref))
	if err != nil {
		t.Fatal(err)
	}
	return index
}
