package program

import (
	"testing"

	"unroot/internal/startup"
)

// TestPlatforms: a plan promises unroot-init for exactly the platforms that it is built for.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	for _, p := range Platforms() {
		if !startup.Runs(p.OS, p.Arch) {
			t.Errorf("%s is built, and no plan knows it", p)
		}
	}
	if len(Platforms()) != len(startup.Platforms) {
		t.Errorf("%d platforms are built, and plans know %d", len(Platforms()), len(startup.Platforms))
	}
}
