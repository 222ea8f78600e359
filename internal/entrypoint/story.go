// Package entrypoint reads, without running anything, what starts when a container starts, and which steps of it need root.
package entrypoint

import (
	"fmt"

	"unroot/internal/finding"
)

// FS is what the reader may look at: the image's merged tree. Paths are absolute and clean.
type FS interface {
	// File gives what is known of the file that path leads to, symlinks followed. ok is false where
	// there is none.
	File(path string) (f File, ok bool)
	// List gives the names in a directory, sorted; nil where path is no directory.
	List(path string) []string
}

// File is what is known of one file of the image.
type File struct {
	Path       string // real path, symlinks resolved
	Content    []byte // nil if it is not text or was not kept
	Interp     string // what follows "#!" on the first line; empty if there is none
	ELF        bool
	Dir        bool
	Executable bool // some execute bit is set
}

// Start is what the image config says about starting. The process that starts is Entrypoint followed by Cmd.
type Start struct {
	Entrypoint []string
	Cmd        []string
	Env        []string // "NAME=value"
	WorkingDir string   // "" is "/"
}

// Story is what happens when the container starts, as far as it can be read.
type Story struct {
	Steps    []Step    // the programs in the order of their start
	Programs []Program // those of them that do the work: exec'ed last, or ELF programs that are not shell utilities
	Problems []Problem // facts that keep the container from starting, or limits that were reached
	Tasks    []Task    // what scripts do that needs root or writes, by script and position
}

// Word is one argument of a program.
type Word struct {
	Value string // the value, or the part before the first unknown character
	Known bool   // Value is the whole value
}

// What says what a step's path leads to.
type What uint8

// What a step starts.
const (
	Unknown    What = iota // the name is not known from the image alone
	Missing                // there is no such file
	Shell                  // a shell script that was read
	Script                 // a script of another interpreter
	ELF                    // a native program
	Other                  // a file that is neither text nor ELF, or whose content was not kept
	whatsCount = iota
)

var whatNames = [whatsCount]string{"unknown", "missing", "shell", "script", "elf", "other"}

func (w What) String() string {
	if int(w) < len(whatNames) {
		return whatNames[w]
	}
	return fmt.Sprintf("what(%d)", uint8(w))
}

// Step is one program that starts.
type Step struct {
	Argv   []Word
	Open   bool   // more words may follow that are not known
	Path   string // real path of the program; "" if it is not known or missing
	What   What
	Interp string // interpreter of a script, as its first line names it
	Script string // the script that starts it, or the config field of inline text; "" where the image config itself does
	Line   int    // 1-based line in Script; 0 where Script is ""
	Exec   bool   // it takes the place of what started it
	User   string // the user that a step-down tool changed to before; "" if none
	Guard  Guard
	// Unlikely: the image's own Cmd, Env and files do not lead here.
	Unlikely bool
}

// Program is a step that does the container's work.
type Program = Step

// Reason says what is wrong with the start, in the same words every time.
type Reason string

// The reasons of problems.
const (
	NoCommand     Reason = "nothing to start"                   // Entrypoint and Cmd are empty
	NotFound      Reason = "not found"                          // the program of a start or an exec is not in the image
	NoInterpreter Reason = "interpreter not found"              // the "#!" line names a file that is not in the image
	NoShebang     Reason = "script without an interpreter"      // execve(2) gives ENOEXEC for text without "#!"
	NotExecutable Reason = "not executable"                     // no execute bit is set
	IsDirectory   Reason = "is a directory"                     //
	Unreadable    Reason = "script cannot be read"              // too large, too deeply nested, or no shell syntax
	NeedsRoot     Reason = "stops unless it runs as root"       // every start as another user ends as failed here
	Limit         Reason = "script is too large to read wholly" // the limit on commands was reached: tasks may be missing
)

// Problem is one fact about the start that a reader of findings wants to know. Permissions are not judged here.
type Problem struct {
	Reason Reason
	Path   string
	Detail string
}

// Kind is what a task does.
type Kind uint8

// The kinds of tasks.
const (
	StepDown   Kind = iota + 1 // changes the user for a program: gosu, su-exec, setpriv, su, chpst …
	Chown                      // chown, chgrp, install -o
	Chmod                      // chmod, setfacl, chattr
	Account                    // useradd, usermod, chpasswd …
	Setcap                     // setcap
	Package                    // the system's package manager
	SedInPlace                 // sed -i, perl -i
	Write                      // redirections, tee, cp, mv, install, ln, touch, truncate …
	MakeDir                    // mkdir
	Sysctl                     // sysctl -w, writes below /proc/sys and /sys
	Ulimit                     // ulimit, prlimit
	Mount                      // mount, umount, losetup, unshare …
	Network                    // ip, iptables, tc …
	Kernel                     // modprobe …
	Clock                      // date -s, hwclock …
	Sudo                       // sudo, doas
	Mknod                      // mknod of a device
	Chroot                     // chroot
	Cron                       // cron daemons and crontab
	Remove                     // rm, rmdir, the sources of mv
	kindsCount = iota + 1
)

var kindNames = [kindsCount]string{"", "step-down", "chown", "chmod", "account", "setcap", "package", "sed-in-place", "write",
	"make-dir", "sysctl", "ulimit", "mount", "network", "kernel", "clock", "sudo", "mknod", "chroot", "cron", "remove"}

func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Guard says which starts reach a place in a script.
type Guard uint8

// The guards. A start as root includes what happens after a step-down in the same start. An exit that may
// or may not happen before, such as one where a variable is missing, does not count as a condition.
const (
	Always      Guard = iota // every start
	Maybe                    // depends on a condition that is not about the user
	RootOnly                 // only a start as uid 0: a test of the uid dominates it
	NonRootOnly              // only a start as another uid
)

var guardNames = [...]string{"always", "maybe", "root-only", "non-root-only"}

func (g Guard) String() string {
	if int(g) < len(guardNames) {
		return guardNames[g]
	}
	return fmt.Sprintf("guard(%d)", uint8(g))
}

// Path is a path that a task touches, expanded with what is known from the image alone.
type Path struct {
	Value     string // absolute and clean where Known; as far as known otherwise
	Known     bool   // Value is the whole path
	Prefix    string // the static beginning, where Value is not known wholly
	Glob      bool   // Value or Prefix has an unquoted *, ? or [
	Recursive bool   // the command goes down into the directory
}

// Task is one privileged or writing thing that a script does.
type Task struct {
	Kind   Kind
	Script string // path of the script; for text in the image config the field, such as "Entrypoint[2]"; "" for the config's own argv
	Line   int    // 1-based; 0 where Script is ""
	Start  int    // byte range of the simple command in Script
	End    int
	Text   string // the command as written, on one line, cut at 240 bytes
	Guard  Guard
	// Unlikely: the image's own Cmd, Env and files do not lead here; another command, variable or volume may.
	Unlikely bool
	// Fatal: its failure would end the start: errexit is on and nothing looks at its status, or an
	// "|| exit" follows, or its status is the status of the whole start. Where errexit depends on something
	// that is not known, it is taken for on.
	Fatal bool
	Paths []Path
	User  string // target of StepDown and Chown; "" if unknown
	Group string
	// Edits of Script are the smallest that make this command work, or do nothing, without root. Nil
	// where none is needed or none is safe. The edits of all tasks of one script can be applied together.
	Edits    []finding.Edit
	EditNote string // what the edits do, in words
}

// Reached reports whether a start as a regular user gets to this task.
func (t Task) Reached() bool { return t.Guard != RootOnly }
