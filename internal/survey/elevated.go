package survey

import (
	"encoding/binary"
	"slices"
	"strings"

	"unroot/internal/entrypoint"
	"unroot/internal/rootfs"
)

// Elevated is a program that gains rights when it is started.
type Elevated struct {
	Path    string
	Entry   *rootfs.Entry
	SetUID  bool
	SetGID  bool
	Caps    bool // any file capabilities
	CapsEff bool // with the effective bit: does not start where they are dropped
}

// CapabilityXattr is the extended attribute that holds file capabilities.
const CapabilityXattr = "security.capability"

// vfsCapEffective is the effective bit of struct vfs_cap_data (linux/capability.h): with it the
// kernel refuses the execve if a capability is not in the bounding set.
const vfsCapEffective = 0x000001

// findElevated lists the setuid, setgid and file-capability files of the tree, by path.
func findElevated(t *rootfs.Tree) []Elevated {
	var found []Elevated
	for node := range t.Walk("/") {
		entry := node.Entry()
		if entry.Kind != rootfs.File {
			continue
		}
		e := Elevated{
			Entry:  entry,
			SetUID: entry.Mode&rootfs.SetUID != 0,
			SetGID: entry.Mode&rootfs.SetGID != 0 && entry.Mode&0o010 != 0, // without x it means mandatory locking
		}
		e.Caps, e.CapsEff = capabilities(entry)
		if e.SetUID || e.SetGID || e.Caps {
			e.Path = node.Path()
			found = append(found, e)
		}
	}
	return found
}

func capabilities(e *rootfs.Entry) (any, effective bool) {
	if e.Facts == nil {
		return false, false
	}
	value, ok := e.Facts.Xattrs[CapabilityXattr]
	if !ok || len(value) < 4 {
		return ok, ok
	}
	return true, binary.LittleEndian.Uint32([]byte(value))&vfsCapEffective != 0
}

// Named reports whether what starts names the program: as a step of the start, or as a word of a
// script, a command line or a health check.
func (s *Survey) Named(program string) bool {
	base := program[strings.LastIndexByte(program, '/')+1:]
	isIt := func(word string) bool { return word == base || word == program }
	for _, step := range s.Story.Steps {
		if step.Path == program || slices.ContainsFunc(step.Argv, func(w entrypoint.Word) bool { return isIt(w.Value) }) {
			return true
		}
		content, err := s.View.Content(step.Path)
		if err == nil && isScript(step) && slices.ContainsFunc(wordPattern.FindAllString(string(content), -1), isIt) {
			return true
		}
	}
	for _, text := range s.View.Config.Healthcheck() {
		if slices.ContainsFunc(wordPattern.FindAllString(text, -1), isIt) {
			return true
		}
	}
	return slices.ContainsFunc(s.Story.Programs, func(p entrypoint.Program) bool { return p.Path == program })
}
