// Package verify runs an image beside the one that it was made of, and judges whether it does the same as a regular user.
package verify

import (
	"context"
	"errors"
	"time"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/trace"
)

// Run is one run of an image: everything that a runner has to know.
type Run struct {
	Name     string           `json:"name"` // for people, such as "arbitrary uid 1000700000"
	Image    *image.Image     `json:"-"`    // what is run; the runner reads layers, and nothing of the config
	Digest   string           `json:"image"`
	Identity account.Identity `json:"identity"`
	Args     []string         `json:"args"` // the whole command line; Args[0] is looked up in PATH of Env
	Env      []string         `json:"env"`
	Dir      string           `json:"dir"`
	Hostname string           `json:"hostname,omitempty"`

	Caps       []string `json:"caps,omitempty"` // capabilities kept, such as "CAP_CHOWN"; EngineCaps for a baseline, none for a candidate
	NoNewPrivs bool     `json:"noNewPrivs"`
	ReadOnly   bool     `json:"readOnly,omitempty"` // the root file system
	PortStart  int      `json:"portStart"`          // net.ipv4.ip_unprivileged_port_start
	Tmpfs      []string `json:"tmpfs,omitempty"`    // paths where a tmpfs is mounted as engines do it: the mode of the image's directory, owner 0:0
	Volumes    []Volume `json:"volumes,omitempty"`

	Trace   bool          `json:"trace"`
	Await   []Socket      `json:"await,omitempty"`  // steady is not before these are listened on; where none is named, steady is when nothing new has come for Settle
	Exits   bool          `json:"exits,omitempty"`  // the run is expected to end by itself: steady is its end
	Probes  []Probe       `json:"probes,omitempty"` // asked in the steady state
	Health  []string      `json:"health,omitempty"` // HEALTHCHECK's Test as the config has it
	Settle  time.Duration `json:"settle"`
	Timeout time.Duration `json:"timeout"`        // for the whole run
	Stop    string        `json:"stop,omitempty"` // the signal that ends it, such as "SIGTERM"
	Limits  Limits        `json:"limits"`

	Streams *Streams `json:"-"` // nil: nothing to read, and what is written is kept in Outcome
}

// Streams is where a run's standard streams lead, for a run that a user looks at.
type Streams struct {
	In  Reader
	Out Writer
	Err Writer
}

// Reader and Writer are io.Reader and io.Writer.
type (
	Reader interface{ Read([]byte) (int, error) }
	Writer interface{ Write([]byte) (int, error) }
)

// Limits bounds what a run can take of the machine. A zero field is the runner's default.
type Limits struct {
	Memory    int64 `json:"memory,omitempty"`    // bytes, of all processes together
	Disk      int64 `json:"disk,omitempty"`      // bytes written to the root file system, volumes and tmpfs, each
	File      int64 `json:"file,omitempty"`      // bytes of one file
	Processes int   `json:"processes,omitempty"` // at one time, threads included
	Output    int   `json:"output,omitempty"`    // bytes kept of each standard stream
	Events    int   `json:"events,omitempty"`    // of a trace
}

// Seed is what a volume holds when it is first used.
type Seed string

// The seeds.
const (
	SeedImage Seed = "image" // owner, mode and content of the image's directory, as a new named volume of Docker
	SeedRoot  Seed = "root"  // empty, 0:0, 0755
)

// Volume is a directory that outlives a run: runs of one runner that name it share it.
type Volume struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Seed Seed   `json:"seed"` // where no run has used the name before
	// Group is given to all that is in it before the run, with rights to write, as the kubelet does for
	// a pod's fsGroup; 0: nothing is done.
	Group uint32 `json:"group,omitempty"`
}

// Probe is a question to a running service.
type Probe struct {
	Kind    string   `json:"kind"`              // "http", "tcp", "udp", "unix", "exec", "generic"
	Address string   `json:"address,omitempty"` // URL for http ("http://127.0.0.1:8080/"), "127.0.0.1:5432" for tcp and udp, a path for unix
	Args    []string `json:"args,omitempty"`    // for exec: run in the container as its user, good if it exits with 0
	Send    []byte   `json:"send,omitempty"`    // for tcp, udp and unix
	// Spoke is, for generic, what the sockets of the baseline said, by the names of their counterparts: each is
	// first asked in that protocol, and one that was silent is not waited for as long.
	Spoke  map[string]string `json:"spoke,omitempty"`
	Expect string            `json:"expect,omitempty"` // regular expression that what is answered must match; http: the body. Empty: any answer, http: a status below 400
}

// Answer is what came of a probe.
type Answer struct {
	Probe  Probe  `json:"probe"`
	OK     bool   `json:"ok"`
	Shape  string `json:"shape"`            // what can be compared between two runs: "http 200 text/html", "exit 0", "banner 220", "closed", "refused", "silent"
	Sample string `json:"sample,omitempty"` // the first bytes, printable
	Error  string `json:"error,omitempty"`  // why it is not OK, in words
}

// Socket is a socket that somebody listens on (UDP: that is bound).
type Socket struct {
	Proto   string `json:"proto"`             // "tcp", "udp", "unix"
	Address string `json:"address"`           // "0.0.0.0", "::", "127.0.0.1"; for unix its path, or "@name"
	Port    uint16 `json:"port,omitempty"`    //
	Program string `json:"program,omitempty"` // path in the image of who holds it
}

// Process is a process in the steady state, or one that was seen.
type Process struct {
	PID     int         `json:"pid"`
	Parent  int         `json:"parent"`
	Program string      `json:"program"` // path in the image
	Args    []string    `json:"args,omitempty"`
	Creds   trace.Creds `json:"creds"`
}

// End is how a run ended.
type End string

// The ends.
const (
	EndSteady  End = "steady"  // it reached a steady state, was asked, and was stopped
	EndExited  End = "exited"  // it ended by itself
	EndTimeout End = "timeout" // neither, in the time given
	EndLimit   End = "limit"   // it was ended at a limit: Outcome.Limit
	EndFailed  End = "failed"  // it could not be started: Outcome.Error
)

// Outcome is what a run came to.
type Outcome struct {
	Run       Run           `json:"run"`
	End       End           `json:"end"`
	Status    int           `json:"status"`          // exit status of the first process where it exited by itself; 128+n for a signal
	Limit     string        `json:"limit,omitempty"` // which limit ended it, such as "memory"
	Error     string        `json:"error,omitempty"` // why it could not be started
	Processes []Process     `json:"processes"`       // in the steady state, else the last that were seen
	Seen      []Process     `json:"seen,omitempty"`  // every (program, credentials) that was observed at any time, each once; exec'ed commands too
	Sockets   []Socket      `json:"sockets"`         // in the steady state
	Answers   []Answer      `json:"answers,omitempty"`
	Health    *Answer       `json:"health,omitempty"`
	Trace     trace.Log     `json:"trace"`
	Stdout    string        `json:"stdout,omitempty"` // its end, within the limit
	Stderr    string        `json:"stderr,omitempty"`
	Stopped   string        `json:"stopped,omitempty"` // how it ended when asked to: "SIGTERM", "SIGKILL"
	Steady    time.Duration `json:"steady,omitempty"`  // from its start to the steady state
	Took      time.Duration `json:"took"`              // from its start to its end
	Platform  string        `json:"platform"`          // such as "linux/amd64"
	Runner    string        `json:"runner"`            // such as "embedded", "docker 20.10.24"
}

// Progress is a step of a run that somebody may look at while it happens.
type Progress struct {
	Run  string // its name
	What string // such as "waits for tcp 8080"
}

// Runner runs images, confined.
type Runner interface {
	// Run runs one image to its end, or to its steady state and then ends it. An error means that
	// the runner failed, not the image; ErrUnavailable that it cannot work here.
	Run(ctx context.Context, r Run, watch func(Progress)) (Outcome, error)
	// Name is how proofs call the runner, such as "embedded" or "docker 20.10.24".
	Name() string
	// Close ends what the runner has started and removes what it has made.
	Close() error
}

// ErrUnavailable is returned by runners that cannot work on this machine.
var ErrUnavailable = errors.New("cannot run images here")

// EngineCaps is the capabilities that Docker Engine leaves a container with by default.
// https://docs.docker.com/engine/security/#linux-kernel-capabilities
var EngineCaps = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}
