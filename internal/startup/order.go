// Package startup is what unroot-init does before the program of an image starts: an order, as a value, with its spelling on a command line.
package startup

// Where unroot-init and what belongs to it stand in an image.
const (
	Path = "/unroot-init"           // the program
	Seed = "/usr/share/unroot-init" // files of the image that are copied at start: Seed + their path
	Run  = "/run/unroot"            // private directory of whoever runs, made at start: copies stand at Run + their path
)

// Order is what is to be done, once, by the user who runs, before the program starts. The zero
// Order starts the program and does nothing else.
type Order struct {
	Names    Names     // who answers for the running uid where no account file knows it
	Home     string    // HOME where the variable is missing or names a directory that cannot be written; "": Run + "/home"
	Java     bool      // JAVA_TOOL_OPTIONS tells a Java machine the home directory and the name, which it takes from passwd alone
	Umask    *uint16   // nil: as it is
	Writable []string  // paths that must be writable; the start ends with ExitVolume where one is not
	Private  []Private // files and directories whose program demands to own them
	Fill     []string  // directories that get what they lack of their content in the image, kept under Seed
	Compat   Compat    // how calls that only root may make are answered
	Chroots  bool      // with a supervisor: every chroot(2) succeeds and changes nothing where the engine forbids it, so that its path is not seen; for images that only change to empty directories
	Stay     bool      // stay as first process even where nothing else asks for it: reap and forward signals
}

// Private is a file or directory that whoever runs must own. A file is copied from Seed + Path to
// Run + Path, to which the image has a symbolic link at Path. A directory is made at Path itself.
type Private struct {
	Path string
	Mode uint16 // permissions that its program demands
	Dir  bool
}

// Names is who answers getpwuid and its like for the running uid.
type Names string

// The ways to answer.
const (
	NamesOff     Names = ""        // nobody
	NamesAuto    Names = "auto"    // what the C libraries in the image call for: a responder, else a wrapper that is there
	NamesNscd    Names = "nscd"    // a responder at /var/run/nscd/socket
	NamesWrapper Names = "wrapper" // the image's libnss_wrapper.so
)

// Compat is how calls that only root may make are answered. None gives a privilege: the kernel sees
// one unprivileged user throughout.
type Compat string

// The steps, each more than the one before.
const (
	CompatOff        Compat = ""           // by the kernel
	CompatSimple     Compat = "simple"     // chown and the set-id family succeed and do nothing: a seccomp filter, no process stays
	CompatIdentities Compat = "identities" // every process has the ids, groups and capabilities that it believes: a supervisor answers
	CompatConsistent Compat = "consistent" // and files have the owners that were given to them: stat is answered too
)

// Compats is the steps, lowest first.
var Compats = []Compat{CompatSimple, CompatIdentities, CompatConsistent}

// Exit codes of unroot-init itself, beside those of the program it starts.
const (
	ExitUsage    = 2   // the command line; nothing was started
	ExitVolume   = 78  // a path cannot be written or made private (EX_CONFIG of sysexits.h)
	ExitOwn      = 125 // unroot-init itself failed, as engines have it
	ExitNoExec   = 126 // the program is there and cannot be executed
	ExitNotFound = 127 // the program is not there
)

// VolumesEnv is the variable of the environment that, set to "warn", lets a start go on where a path
// cannot be written.
const VolumesEnv = "UNROOT_VOLUMES"
