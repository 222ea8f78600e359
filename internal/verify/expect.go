package verify

import (
	"slices"

	"unroot/internal/record"
)

// Expect is what the judge may take for granted of a candidate: what its maker said of it. The judge
// trusts none of it further than it excuses a difference that it names.
type Expect struct {
	Recorded   bool     `json:"recorded"`             // somebody said what is below; false: nothing is known of the candidate
	Arbitrary  bool     `json:"arbitrary,omitempty"`  // any uid with group 0 is meant to work
	Ports      []Port   `json:"ports,omitempty"`      // that moved
	Ephemeral  []string `json:"ephemeral,omitempty"`  // directories that are written and may be lost: a tmpfs under a read-only root
	Persistent []string `json:"persistent,omitempty"` // directories that are written and must be kept: volumes
	Open       []Open   `json:"open,omitempty"`       // what was left open
	Compat     string   `json:"compat,omitempty"`     // the step of unroot-init's emulation: privilege separation inside the image is emulated
}

// Port is a port that moved: the baseline listens on From, the candidate on To.
type Port struct {
	From  uint16 `json:"from"`
	To    uint16 `json:"to"`
	Proto string `json:"proto"` // "tcp" or "udp"
}

// Open is something that the candidate's maker left open.
type Open struct {
	ID    string `json:"id"`
	Path  string `json:"path,omitempty"`
	What  string `json:"what"`
	Scope string `json:"scope,omitempty"` // "arbitrary" where only unknown uids are concerned
}

// ExpectFromRecord is what the label of a conversion says.
func ExpectFromRecord(r record.Record) Expect {
	e := Expect{Recorded: true, Arbitrary: r.Arbitrary, Ephemeral: slices.Clone(r.Ephemeral), Persistent: slices.Clone(r.Persistent)}
	for _, p := range r.Ports {
		e.Ports = append(e.Ports, Port{From: p.From, To: p.To, Proto: p.Proto})
	}
	for _, o := range r.Open {
		e.Open = append(e.Open, Open{ID: o.ID, Path: o.Path, What: o.What})
	}
	return e
}

// DataOwner is the id of what is left open where a program demands to own its data: a volume then belongs to one
// uid, and another one over it is a matter of the platform, which keeps the uid of a namespace.
const DataOwner = "data-owner"

func (e Expect) bound() bool {
	return slices.ContainsFunc(e.Open, func(o Open) bool { return o.ID == DataOwner })
}

// to is where a port of the baseline is expected in the candidate.
func (e Expect) to(proto string, port uint16) uint16 {
	for _, p := range e.Ports {
		if p.From == port && p.Proto == proto {
			return p.To
		}
	}
	return port
}

// from is where a port of the candidate was in the baseline.
func (e Expect) from(proto string, port uint16) uint16 {
	for _, p := range e.Ports {
		if p.To == port && p.Proto == proto {
			return p.From
		}
	}
	return port
}
