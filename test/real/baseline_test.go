package real

import (
	"slices"
	"testing"
	"time"
)

const (
	patience   = 40 * time.Second // for what must serve; far more than it takes
	noPatience = 10 * time.Second // for what must not
)

// TestBaseline shows that the samples are what the conversion is for: they serve as they are, as
// root, and they do not under a uid that they do not know. Without it the tests of the converted
// images could not fail.
func TestBaseline(t *testing.T) {
	for _, s := range slices.Concat(services, others) {
		t.Run(s.sample, func(t *testing.T) {
			t.Parallel()
			image := built(t, s.sample)
			t.Run("serves as it is", func(t *testing.T) { baselineServes(t, s, image) })
			t.Run("fails as a regular user", func(t *testing.T) { baselineFails(t, s, image) })
		})
	}
}

func baselineServes(t *testing.T, s service, image string) {
	c, err := start(t, image, slices.Concat(noNetwork, s.options))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.serves(t.Context(), c, s.port, patience); err != nil {
		t.Fatal(err)
	}
	root, err := rootProcesses(c)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := c.Exec(t.Context(), "id", "-u")
	if err != nil {
		t.Fatal(err)
	}
	if isRoot := uid == "0"; isRoot == (s.remains == noRoot) {
		t.Errorf("docker exec id -u says %q", uid)
	}
	if stays := s.remains == rootParent; stays != (len(root) > 0) {
		t.Errorf("processes with uid 0: %v", root)
	}
}

func baselineFails(t *testing.T, s service, image string) {
	c, err := start(t, image, slices.Concat(hardened, []string{"--user", arbitrary}, s.options))
	if err != nil {
		t.Logf("does not even start: %v", err)
		return
	}
	err = s.serves(t.Context(), c, s.port, noPatience)
	if err == nil {
		t.Fatalf("%s serves as %s before it is converted: it proves nothing", s.sample, arbitrary)
	}
	t.Log(err)
}
