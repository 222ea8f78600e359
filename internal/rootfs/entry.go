// Package rootfs is the merged, read-only file tree of an image, and answers as a kernel would who may do what in it.
package rootfs

// Kind is what an entry of a layer is.
type Kind uint8

// The kinds of entries. Whiteout and Opaque are instructions to the layers below, not files.
const (
	File Kind = iota + 1
	Dir
	Symlink
	Hardlink
	CharDevice
	BlockDevice
	Fifo
	Whiteout // Path is removed from the layers below
	Opaque   // everything below the directory Path is removed from the layers below
)

// Mode bits above the permissions, as in st_mode.
const (
	SetUID = 0o4000
	SetGID = 0o2000
	Sticky = 0o1000
)

// Entry is one record of one layer, in the order of the layer's tar archive.
type Entry struct {
	Path  string // absolute and clean, such as "/etc/passwd"; the root directory is "/"
	Link  string // Symlink: the target as written; Hardlink: the absolute, clean path of the target
	Size  int64  // bytes of a File
	MTime int64  // seconds since 1970
	UID   uint32
	GID   uint32
	Mode  uint16 // permissions with SetUID, SetGID and Sticky
	Kind  Kind
	Facts *Facts // what the layer's reader kept of a file; nil for most
}

// Facts is what reading a layer once keeps of a file beyond its header.
type Facts struct {
	Content  []byte            // the whole content of a small file that may matter; nil if not kept
	Interp   string            // interpreter: of a "#!" line (path and argument as written) or of an ELF program
	ELF      bool              // the file is an ELF program or library
	Mentions []string          // absolute paths under state and configuration folders that an ELF file's own strings name
	Xattrs   map[string]string // extended attributes, such as "security.capability", raw bytes
}
