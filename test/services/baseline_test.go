package services

import (
	"slices"
	"testing"

	"unroot/internal/oracle"
)

// TestBaseline shows that the images serve as their packagers made them, as root, and that the
// judges can tell. Without it a conversion could be refuted for what the image never did.
func TestBaseline(t *testing.T) {
	for _, name := range clients {
		oracle.Program(t, name)
	}
	for _, s := range services {
		t.Run(s.sample, func(t *testing.T) {
			t.Parallel()
			image := built(t, s.sample)
			container, p, err := onEngine(t, image, slices.Concat(noNetwork, environment(s.env)))
			if err != nil {
				t.Fatal(err)
			}
			if s.judge == nil {
				code, err := container.Wait(t.Context())
				if err != nil || code == 0 {
					t.Errorf("ends with %d, %v, and has no judge: give it one", code, err)
				}
				t.Log(p.log())
				return
			}
			if err := s.serves(t.Context(), p, patience); err != nil {
				t.Fatal(err)
			}
			root, err := rootProcesses(container)
			t.Logf("serves; processes with uid 0: %v, %v", root, err)
		})
	}
}
