// Package plan decides what has to change for an image to run as a regular user, as a value that can be printed and compared.
package plan

import (
	"unroot/internal/account"
	"unroot/internal/startup"
	"unroot/internal/survey"
)

// Plan is the ordered list of operations that make an image non-root, each with its evidence, and
// what could not be decided from the image alone.
type Plan struct {
	Identity   account.Identity // who the image will run as
	Why        survey.Evidence  // why that identity
	Group      GroupMode        //
	Operations []Operation      // in the order in which a reader wants them; empty where nothing is to do
	Ports      []PortMove       // ports that move
	Ephemeral  []string         // directories that are written and may be lost: tmpfs under a read-only root
	Persistent []string         // directories that are written and must be kept: volumes
	Tasks      []Task           // privileged tasks of the entrypoint, and what becomes of each
	Open       []Open           // what the image alone does not decide
	Notes      []string         // what the user should know, with no effect on the image
	Init       *Init            // unroot-init in the image; nil: it is not there
	Repeated   int64            // bytes of files that are repeated to change owner or mode, here and in conversions before
}

// Empty reports whether there is nothing to do.
func (p Plan) Empty() bool { return len(p.Operations) == 0 }

// GroupMode is which group may write.
type GroupMode string

const (
	// GroupZero lets group 0 write with the owner's rights: it serves a fixed uid and any uid that a
	// platform picks, since OpenShift starts those with group 0.
	GroupZero GroupMode = "0"
	// GroupDedicated uses the user's own group, for policies that forbid gid 0. Arbitrary uids are
	// then out of scope.
	GroupDedicated GroupMode = "dedicated"
)

// Operation is one step of a plan.
type Operation struct {
	Effect Effect            // what it changes
	Why    []survey.Evidence // what it rests on
	Mends  string            // id of the finding that it mends
}

// PortMove is a port that the image listens on at another number.
type PortMove struct {
	From  uint16 `json:"from"`
	To    uint16 `json:"to"`
	Proto string `json:"proto"`
}

// Open is something that the image alone does not decide.
type Open struct {
	ID      string `json:"id"`              // stable, such as "passwd-entry"
	Path    string `json:"path,omitempty"`  // path in the image, where there is one
	What    string `json:"what"`            // what is not known, or not mended
	Decides string `json:"decides"`         // what would decide or mend it
	Scope   string `json:"scope,omitempty"` // "arbitrary" where only unknown uids are concerned
}

// Disposition is where a privileged task of an entrypoint goes.
type Disposition string

// The dispositions of a privileged task.
const (
	ToImage    Disposition = "image"    // done once, in the converted image
	ToStartup  Disposition = "start-up" // still done at start, as the regular user
	ToPlatform Disposition = "platform" // to be set by who runs the container
	ToNobody   Disposition = "dropped"  // not needed by a regular user
	Undecided  Disposition = "open"     // see Open
)

// Task is a privileged task of an entrypoint and what becomes of it.
type Task struct {
	Where       string      `json:"where"`           // file and line
	Text        string      `json:"text"`            // the command
	Kind        string      `json:"kind"`            //
	Disposition Disposition `json:"disposition"`     //
	How         string      `json:"how,omitempty"`   // in words
	Field       string      `json:"field,omitempty"` // of the platform, where it goes there
}

// Options is what the user asked for.
type Options struct {
	UID       *uint32           // nil: the image's own user, else 65532
	Group     GroupMode         // "" is GroupZero
	Ports     map[uint16]uint16 // ports to move, in addition to those that must
	Writable  []string          // further directories to make writable
	Env       []string          // NAME=value to set, and not to touch
	SetUID    SetUIDPolicy      // "" is SetUIDAuto
	KeepPort  bool              // leave low ports: the platform sets the sysctl
	Repeat    int64             // bytes of files that may be repeated to change owner or mode; 0: 1 MiB
	Init      InitPolicy        // whether unroot-init may go into the image; "" is InitAuto
	Compat    startup.Compat    // the step of emulation that the user asked for, or that runs have shown to be needed
	NoCompat  bool              // never emulate, whatever runs show
	CompatWhy []survey.Evidence // what runs have shown, where Compat comes from them
	Target    string            // the platform that the image is for, one of verify.Targets, or empty: any
	Source    string            // reference of the source image, for its annotations
	Digest    string            // digest of the source image, for the record
}

// InitPolicy is whether unroot-init goes into the image.
type InitPolicy string

// The policies.
const (
	InitAuto   InitPolicy = "auto"   // where something can only be done at start
	InitAlways InitPolicy = "always" // in any case
	InitNever  InitPolicy = "never"  // what only it could do is left open
)

// Init is unroot-init in the image: what it does at start, and why it is there.
type Init struct {
	Order startup.Order `json:"order"`
	Why   []Reason      `json:"why"` // at least one
}

// Reason is one thing that only the moment of start can know or do.
type Reason struct {
	ID   string            `json:"id"`             // what it mends: "passwd-entry", "owner-strict", "tmpfs-content", "compat", "asked"
	Path string            `json:"path,omitempty"` // path in the image, where there is one
	What string            `json:"what"`           // in words
	Rest []survey.Evidence `json:"rest,omitempty"` // what it rests on
}

// SetUIDPolicy is what becomes of setuid-root programs.
type SetUIDPolicy string

const (
	// SetUIDAuto takes the bits off programs that the start names, whose content is then repeated,
	// and takes the others out of the tree: a whiteout costs one header, a copy the whole file, and
	// without the bit a setuid-root program can do little for a regular user.
	SetUIDAuto SetUIDPolicy = "auto"
	// SetUIDStrip repeats every one of them without the bits.
	SetUIDStrip SetUIDPolicy = "strip"
	// SetUIDKeep leaves them.
	SetUIDKeep SetUIDPolicy = "keep"
)
