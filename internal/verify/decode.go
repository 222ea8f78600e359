package verify

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Limits of a proof that is read.
const (
	maxProof   = 32 << 20 // bytes
	maxResults = 1000
)

// DecodeProof reads a proof in JSON. It fails for another version, for what is no verdict, for digests
// that are none, and for a whole that is better than its parts.
func DecodeProof(data []byte) (Proof, error) {
	if len(data) > maxProof {
		return Proof{}, fmt.Errorf("reading a proof: %d bytes, more than %d", len(data), maxProof)
	}
	var p Proof
	if err := json.Unmarshal(data, &p); err != nil {
		return Proof{}, fmt.Errorf("reading a proof: %w", err)
	}
	if err := p.check(); err != nil {
		return Proof{}, fmt.Errorf("reading a proof: %w", err)
	}
	return p, nil
}

func (p Proof) check() error {
	if p.Version != ProofVersion {
		return fmt.Errorf("version %d; this unroot knows version %d", p.Version, ProofVersion)
	}
	if len(p.Results) > maxResults {
		return fmt.Errorf("%d runs, more than %d", len(p.Results), maxResults)
	}
	words := []Word{p.Verdict}
	for _, r := range p.Results {
		words = append(words, r.Word)
	}
	for _, t := range p.Platforms {
		words = append(words, t.Verdict)
	}
	for _, w := range words {
		if !slices.Contains([]Word{Proven, Refuted, Unproven}, w) {
			return fmt.Errorf("%q is no verdict", w)
		}
	}
	digests := []string{p.Candidate.Digest, p.Candidate.Index}
	if p.Baseline != nil {
		digests = append(digests, p.Baseline.Digest, p.Baseline.Index)
	}
	for _, d := range digests {
		if d == "" {
			continue
		}
		if err := digest.Digest(d).Validate(); err != nil {
			return fmt.Errorf("digest %q: %w", d, err)
		}
	}
	if p.Emulation != p.Expect.Emulation() {
		return fmt.Errorf("it says %q of emulation, and expects %q", p.Emulation, p.Expect.Compat)
	}
	whole := p
	whole.Platforms = nil
	if whole.settle(); whole.Verdict != p.Verdict {
		return fmt.Errorf("it says %s, and its parts say %s", p.Verdict, whole.Verdict)
	}
	return nil
}
