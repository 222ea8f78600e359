// Package record is the label that a conversion leaves in an image for whoever looks at it later.
package record

import (
	"encoding/json"
	"fmt"
)

// Label is the name of the label. Its value is a Record in JSON.
const Label = "dev.unroot.record"

// Version is the version of the record's form that this package writes. A reader accepts this
// version and no other: fields are only ever added together with a new number.
const Version = 1

// maxSize bounds the label that is read, in bytes.
const maxSize = 1 << 20

// Record is what a later verify, check or plan wants to know of a conversion.
type Record struct {
	Version    int      `json:"version"`
	Source     string   `json:"source,omitempty"`     // digest of the image that was converted
	User       string   `json:"user"`                 // the config's User, numeric
	Arbitrary  bool     `json:"arbitrary"`            // any uid with group 0 is meant to work
	Ports      []Port   `json:"ports,omitempty"`      // moved ports
	Ephemeral  []string `json:"ephemeral,omitempty"`  // directories that are written and may be lost
	Persistent []string `json:"persistent,omitempty"` // directories that are written and must be kept
	Open       []Open   `json:"open,omitempty"`       // what the conversion left open
	Repeated   int64    `json:"repeated,omitempty"`   // bytes of files that were repeated to change owner or mode
}

// Port is a port that was moved.
type Port struct {
	From  uint16 `json:"from"`
	To    uint16 `json:"to"`
	Proto string `json:"proto"`
}

// Open is something that the conversion left open.
type Open struct {
	ID   string `json:"id"`
	Path string `json:"path,omitempty"`
	What string `json:"what"`
}

// Marshal is the label's value, the same bytes for the same record.
func (r Record) Marshal() (string, error) {
	b, err := json.Marshal(r)
	return string(b), err
}

// Read finds the record in an image's labels. ok is false where there is none; a record that cannot
// be read is an error.
func Read(labels map[string]string) (r Record, ok bool, err error) {
	value, ok := labels[Label]
	if !ok {
		return Record{}, false, nil
	}
	if len(value) > maxSize {
		return Record{}, false, fmt.Errorf("reading label %s: %d bytes, more than %d", Label, len(value), maxSize)
	}
	if err := json.Unmarshal([]byte(value), &r); err != nil {
		return Record{}, false, fmt.Errorf("reading label %s: %w", Label, err)
	}
	if r.Version != Version {
		return Record{}, false, fmt.Errorf("reading label %s: version %d; this unroot knows version %d", Label, r.Version, Version)
	}
	return r, true, nil
}
