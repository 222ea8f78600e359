package plan

import (
	"fmt"
	"strings"

	"unroot/internal/finding"
	"unroot/internal/rootfs"
)

// Effect is what one operation changes in an image. The set is closed: a lowering handles exactly
// these.
type Effect interface {
	effect()
	// Kind is the effect's stable name, such as "grant".
	Kind() string
	// String is the effect in words, on one line.
	String() string
}

// Attr is owner and mode of a file.
type Attr struct {
	UID  uint32
	GID  uint32
	Mode uint16 // permissions with setuid, setgid and sticky
}

// MarshalText is the attributes as String gives them, for JSON.
func (a Attr) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

func (a Attr) String() string { return fmt.Sprintf("%d:%d %04o", a.UID, a.GID, a.Mode) }

// AttrOf is the owner and mode of an entry.
func AttrOf(e *rootfs.Entry) Attr { return Attr{e.UID, e.GID, e.Mode} }

// SetUser writes the config's User.
type SetUser struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// SetEnv sets a variable of the config's environment.
type SetEnv struct {
	Name  string `json:"name"`
	From  string `json:"from,omitempty"`
	To    string `json:"to"`
	Index int    `json:"index"` // in Env; -1 where it is added
}

// SetArg replaces one string of a list of the config: "Entrypoint", "Cmd" or "Healthcheck".
type SetArg struct {
	Field string `json:"field"`
	Index int    `json:"index"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// SetArgs replaces the whole list: "Entrypoint" or "Cmd".
type SetArgs struct {
	Field string   `json:"field"`
	From  []string `json:"from"`
	To    []string `json:"to"`
}

// MovePort renames a key of ExposedPorts and keeps its value.
type MovePort struct {
	Key  string   `json:"key"`
	To   string   `json:"to"`
	Move PortMove `json:"move"`
}

// MakeDir adds a directory.
type MakeDir struct {
	Path string `json:"path"`
	Attr Attr   `json:"attr"`
}

// Grant changes owner and mode of a directory: one header in the layer.
type Grant struct {
	Path string        `json:"path"`
	From Attr          `json:"from"`
	To   Attr          `json:"to"`
	Want rootfs.Access `json:"-"` // what it grants
}

// GrantFile changes owner and mode of a file, whose content is repeated in the layer: the last
// resort.
type GrantFile struct {
	Path string        `json:"path"`
	From Attr          `json:"from"`
	To   Attr          `json:"to"`
	Size int64         `json:"size"`
	Want rootfs.Access `json:"-"` // what it grants
}

// WriteFile adds a file.
type WriteFile struct {
	Path    string `json:"path"`
	Attr    Attr   `json:"attr"`
	Content []byte `json:"-"`
}

// EditFile changes bytes of a file, whose content is repeated in the layer.
type EditFile struct {
	Path   string         `json:"path"`
	Before []byte         `json:"-"` // the file as it is
	Edits  []finding.Edit `json:"edits"`
}

// Strip takes setuid and setgid bits and file capabilities off a program, whose content is repeated.
type Strip struct {
	Path string `json:"path"`
	From Attr   `json:"from"`
	To   Attr   `json:"to"`
	Size int64  `json:"size"`
	Caps bool   `json:"caps"` // takes security.capability off
}

// Remove takes a file out of the tree with a whiteout.
type Remove struct {
	Path string `json:"path"`
	From Attr   `json:"from"`
}

func (SetUser) effect()   {}
func (SetEnv) effect()    {}
func (SetArg) effect()    {}
func (SetArgs) effect()   {}
func (MovePort) effect()  {}
func (MakeDir) effect()   {}
func (Grant) effect()     {}
func (GrantFile) effect() {}
func (WriteFile) effect() {}
func (EditFile) effect()  {}
func (Strip) effect()     {}
func (Remove) effect()    {}

// Kind is "set-user".
func (SetUser) Kind() string { return "set-user" }

// Kind is "set-env".
func (SetEnv) Kind() string { return "set-env" }

// Kind is "set-arg".
func (SetArg) Kind() string { return "set-arg" }

// Kind is "set-args".
func (SetArgs) Kind() string { return "set-args" }

// Kind is "move-port".
func (MovePort) Kind() string { return "move-port" }

// Kind is "make-dir".
func (MakeDir) Kind() string { return "make-dir" }

// Kind is "grant".
func (Grant) Kind() string { return "grant" }

// Kind is "grant-file".
func (GrantFile) Kind() string { return "grant-file" }

// Kind is "write-file".
func (WriteFile) Kind() string { return "write-file" }

// Kind is "edit-file".
func (EditFile) Kind() string { return "edit-file" }

// Kind is "strip".
func (Strip) Kind() string { return "strip" }

// Kind is "remove".
func (Remove) Kind() string { return "remove" }

func (e SetUser) String() string { return fmt.Sprintf("User %s → %s", orNone(e.From), e.To) }

func (e SetEnv) String() string {
	if e.Index < 0 {
		return fmt.Sprintf("Env %s=%s added", e.Name, e.To)
	}
	return fmt.Sprintf("Env %s=%s → %s", e.Name, e.From, e.To)
}

func (e SetArg) String() string { return fmt.Sprintf("%s %q → %q", e.Field, e.From, e.To) }

func (e SetArgs) String() string {
	return fmt.Sprintf("%s [%s] → [%s]", e.Field, strings.Join(e.From, " "), strings.Join(e.To, " "))
}

func (e MovePort) String() string { return fmt.Sprintf("ExposedPorts %s → %s", e.Key, e.To) }
func (e MakeDir) String() string  { return fmt.Sprintf("%s/ made, %s", e.Path, e.Attr) }
func (e Grant) String() string    { return fmt.Sprintf("%s/ %s → %s", e.Path, e.From, e.To) }

func (e GrantFile) String() string {
	return fmt.Sprintf("%s %s → %s, its %d bytes repeated", e.Path, e.From, e.To, e.Size)
}

func (e WriteFile) String() string {
	return fmt.Sprintf("%s made, %s, %d bytes", e.Path, e.Attr, len(e.Content))
}

func (e EditFile) String() string {
	if len(e.Edits) == 1 {
		return fmt.Sprintf("%s edited in one place", e.Path)
	}
	return fmt.Sprintf("%s edited in %d places", e.Path, len(e.Edits))
}

func (e Strip) String() string {
	if e.Caps && e.From == e.To {
		return fmt.Sprintf("%s without its file capabilities, its %d bytes repeated", e.Path, e.Size)
	}
	caps := ""
	if e.Caps {
		caps = " and without its file capabilities"
	}
	return fmt.Sprintf("%s %04o → %04o%s, its %d bytes repeated", e.Path, e.From.Mode, e.To.Mode, caps, e.Size)
}

func (e Remove) String() string { return fmt.Sprintf("%s (%04o) taken out", e.Path, e.From.Mode) }

func orNone(s string) string {
	if s == "" {
		return "(none, root)"
	}
	return s
}
