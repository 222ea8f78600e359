// Package launch starts one process of a run: it enters or makes the run's world, becomes the run's identity and executes the program.
package launch

// Spec is how one process of a run is started. It is handed to the stage, which carries it out from top to bottom.
type Spec struct {
	Join int   `json:"join,omitempty"` // pid of a process of the run, whose namespaces and root directory are entered; 0: none
	Root *Root `json:"root,omitempty"` // the root file system to set up and to move into; nil: the present one stays

	SetIdentity bool     `json:"setIdentity,omitempty"` // false: the process stays who it is, as in an engine's container
	UID         uint32   `json:"uid"`
	GID         uint32   `json:"gid"`
	Groups      []uint32 `json:"groups,omitempty"`
	Caps        []string `json:"caps,omitempty"` // kept with SetIdentity, such as "CAP_CHOWN": permitted, effective and bounding, as engines do for uid 0
	NoNewPrivs  bool     `json:"noNewPrivs,omitempty"`
	Filter      []byte   `json:"filter,omitempty"` // seccomp program: struct sock_filter in the machine's byte order; nil: none
	Limits      []Limit  `json:"limits,omitempty"`
	OOMScore    int      `json:"oomScore,omitempty"` // oom_score_adj, if it is not 0

	Args []string `json:"args"` // Args[0] is looked up in PATH of Env, as engines do
	Env  []string `json:"env,omitempty"`
	Dir  string   `json:"dir,omitempty"`
}

// Limit is one resource limit, such as unix.RLIMIT_FSIZE.
type Limit struct {
	Resource int    `json:"resource"`
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// Root is a root file system and what is mounted in it, as container engines do.
type Root struct {
	Lower     []string `json:"lower"`           // directories, the topmost first
	Upper     string   `json:"upper,omitempty"` // where changes go, with Work beside it; both on one file system
	Work      string   `json:"work,omitempty"`
	ReadOnly  bool     `json:"readOnly,omitempty"`
	Mounts    []Mount  `json:"mounts,omitempty"`
	Hostname  string   `json:"hostname,omitempty"`
	PortStart int      `json:"portStart"` // net.ipv4.ip_unprivileged_port_start
}

// Mount is a tmpfs or a volume inside a root file system. Its target is made where it is missing.
type Mount struct {
	Source string `json:"source,omitempty"` // a directory of a volume; empty: a tmpfs
	Target string `json:"target"`           // path in the root, symlinks resolved inside it
	Size   int64  `json:"size,omitempty"`   // of a tmpfs, in bytes
}
