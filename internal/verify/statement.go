package verify

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// The types of an in-toto statement (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md).
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://unroot.dev/proof/v1"
	// MediaType is the artifact type under which a statement is stored beside its image.
	MediaType = "application/vnd.in-toto+json"
)

// statement is an in-toto statement whose predicate is a proof.
type statement struct {
	Type          string             `json:"_type"`
	Subject       []statementSubject `json:"subject"`
	PredicateType string             `json:"predicateType"`
	Predicate     Proof              `json:"predicate"`
}

// statementSubject is a resource descriptor of in-toto: a name and digests by algorithm.
type statementSubject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// Statement is the proof as an in-toto statement about the candidate's manifest, unsigned: what signs
// it, such as cosign, puts it into an envelope. The same proof gives the same bytes. It fails where
// the proof names no digest.
func Statement(p Proof) ([]byte, error) {
	d, err := digest.Parse(p.Candidate.Digest)
	if err != nil {
		return nil, fmt.Errorf("making a statement: the candidate's digest %q: %w", p.Candidate.Digest, err)
	}
	s := statement{
		Type: StatementType, PredicateType: PredicateType, Predicate: p,
		Subject: []statementSubject{{Name: p.Candidate.Ref, Digest: map[string]string{d.Algorithm().String(): d.Encoded()}}},
	}
	return json.Marshal(s)
}

// DecodeStatement reads a statement that Statement made, and gives its proof. It fails for statements
// of other predicates, and where the subject is another image than the proof's.
func DecodeStatement(data []byte) (Proof, error) {
	if len(data) > maxProof {
		return Proof{}, fmt.Errorf("reading a statement: %d bytes, more than %d", len(data), maxProof)
	}
	var s struct {
		Type          string             `json:"_type"`
		Subject       []statementSubject `json:"subject"`
		PredicateType string             `json:"predicateType"`
		Predicate     json.RawMessage    `json:"predicate"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return Proof{}, fmt.Errorf("reading a statement: %w", err)
	}
	if s.Type != StatementType || s.PredicateType != PredicateType {
		return Proof{}, fmt.Errorf("reading a statement: it is a %q about %q, not a proof of unroot", s.Type, s.PredicateType)
	}
	p, err := DecodeProof(s.Predicate)
	if err != nil {
		return Proof{}, err
	}
	d := digest.Digest(p.Candidate.Digest)
	for _, subject := range s.Subject {
		if d.Validate() == nil && subject.Digest[d.Algorithm().String()] == d.Encoded() {
			return p, nil
		}
	}
	return Proof{}, errors.New("reading a statement: its subject is another image than its proof's")
}
