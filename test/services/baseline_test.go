package services

import (
	"slices"
	"testing"
)

// servesAsRoot shows of a service that is not proven that the fault is not the image's or the
// judge's: it serves as its packager made it, as root. Where there is no judge it ends, badly.
func (s service) servesAsRoot(t *testing.T) {
	t.Helper()
	container, p, err := onEngine(t, built(t, s.sample), slices.Concat(noNetwork, environment(s.env)))
	if err != nil {
		t.Fatal(err)
	}
	if s.judge == nil {
		code, err := container.Wait(t.Context())
		if err != nil || code == 0 {
			t.Errorf("as root it ends with %d, %v, and has no judge: give it one", code, err)
		}
		return
	}
	if err := s.serves(t.Context(), p, patience); err != nil {
		t.Errorf("as its packager made it, as root: %v", err)
	}
}
