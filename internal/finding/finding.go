// Package finding is one thing that is or will go wrong, where it is, and the edits that mend it.
package finding

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Severity orders findings by what happens if nobody acts.
type Severity uint8

// The severities, from a remark to "does not start".
const (
	Info Severity = iota
	Low
	Medium
	High
	Critical
)

var severityNames = [...]string{"info", "low", "medium", "high", "critical"}

func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// MarshalText gives the lower-case name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the lower-case name.
func (s *Severity) UnmarshalText(b []byte) error {
	i := slices.Index(severityNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("severity %q: want one of %v", b, severityNames)
	}
	*s = Severity(i)
	return nil
}

// Location is where a finding is: a field of the image config, a path in its tree, or a place in a file.
type Location struct {
	Field string `json:"field,omitempty"` // config field, such as "config.User"
	Path  string `json:"path,omitempty"`  // path in the image's tree, or of a file of the project
	Line  int    `json:"line,omitempty"`  // 1-based; 0 where the whole file is meant
}

func (l Location) String() string {
	switch {
	case l.Path != "" && l.Line > 0:
		return fmt.Sprintf("%s:%d", l.Path, l.Line)
	case l.Path != "":
		return l.Path
	}
	return l.Field
}

// Finding is one thing that is or will go wrong.
type Finding struct {
	ID       string   `json:"id"`               // stable, such as "run-as-root"
	Severity Severity `json:"severity"`         //
	Location Location `json:"location"`         //
	Reason   string   `json:"reason"`           // short and the same every time
	Detail   string   `json:"detail,omitempty"` // specific to this place
	Hint     string   `json:"hint,omitempty"`   // what to do
	Twins    []string `json:"twins,omitempty"`  // ids of other tools for the same thing, such as "hadolint DL3002"
	Edits    []Edit   `json:"edits,omitempty"`  // edits to the file at Location.Path that mend it
}

// Compare orders findings: worst first, then by id and place, so that reports are the same every time.
func Compare(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(b.Severity, a.Severity),
		cmp.Compare(a.ID, b.ID),
		cmp.Compare(a.Location.Path, b.Location.Path),
		cmp.Compare(a.Location.Line, b.Location.Line),
		cmp.Compare(a.Location.Field, b.Location.Field),
		cmp.Compare(a.Detail, b.Detail),
	)
}

// Edit replaces the bytes [Start, End) of a document by New.
type Edit struct {
	Start int    `json:"start"`
	End   int    `json:"end"`
	New   string `json:"new"`
}

// distinct is the edits in their order, each once.
func distinct(edits []Edit) []Edit {
	seen := make(map[Edit]bool, len(edits))
	once := make([]Edit, 0, len(edits))
	for _, e := range edits {
		if !seen[e] {
			seen[e] = true
			once = append(once, e)
		}
	}
	return once
}

// ErrOverlap is returned by Apply when two edits touch the same bytes.
var ErrOverlap = errors.New("edits overlap")

// Apply returns the document with the edits made, in any order of edits, and leaves doc as it is.
// Equal edits count once; different insertions at one place come in the order in which they are given. Edits that overlap, or that lie outside the document, are an error.
func Apply(doc []byte, edits []Edit) ([]byte, error) {
	sorted := distinct(edits)
	slices.SortStableFunc(sorted, func(a, b Edit) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End))
	})
	out := make([]byte, 0, len(doc)+64)
	at := 0
	for _, e := range sorted {
		if e.Start < 0 || e.End < e.Start || e.End > len(doc) {
			return nil, fmt.Errorf("edit [%d, %d) of a document of %d bytes: out of range", e.Start, e.End, len(doc))
		}
		if e.Start < at {
			return nil, fmt.Errorf("edit [%d, %d): %w", e.Start, e.End, ErrOverlap)
		}
		out = append(append(out, doc[at:e.Start]...), e.New...)
		at = e.End
	}
	return append(out, doc[at:]...), nil
}
