package verify

import (
	"encoding/json"
	"time"

	"unroot/internal/account"
)

// ProofVersion is the version of the proof's form that this package writes. Within a version fields
// may be added, and none goes or changes its meaning.
const ProofVersion = 1

// Proof is the document that says what was run, what was seen and what follows.
type Proof struct {
	Version   int       `json:"version"`
	Verdict   Word      `json:"verdict"`             // the worst of its parts
	Emulation string    `json:"emulation,omitempty"` // in a sentence, what of root is emulated inside the candidate
	Reasons   []Reason  `json:"reasons,omitempty"`   // that concern no single run
	Except    []string  `json:"except,omitempty"`    // advisory scenarios that do not hold
	Candidate Subject   `json:"candidate"`           //
	Baseline  *Subject  `json:"baseline,omitempty"`  // the image that the candidate was made of
	Expect    Expect    `json:"expect"`              // what was taken for granted
	Platforms []Tested  `json:"platforms"`           // of the image, run or not
	Original  *Observed `json:"original,omitempty"`  // what the baseline's run came to
	Results   []Result  `json:"scenarios"`           // one for each run of a scenario
	Rounds    Rounds    `json:"rounds,omitempty"`    // of learning, as learn gives them
	Runner    string    `json:"runner"`              // such as "embedded"
	Unroot    string    `json:"unroot"`              // the version of the program
	Took      int64     `json:"tookMs"`              // milliseconds, of all runs together
	Made      string    `json:"created,omitempty"`   // RFC 3339; only where the caller gives it
}

// Rounds is a list of JSON objects that this package only carries.
type Rounds []json.RawMessage

// Subject is an image that a proof is about.
type Subject struct {
	Ref      string `json:"image,omitempty"` // reference with its transport, where it is known
	Digest   string `json:"digest"`          // of the platform's manifest; of the config where it has none
	Index    string `json:"index,omitempty"` // digest of the index that it is a member of
	Platform string `json:"platform"`
	User     string `json:"user"` // the config's User, as it is written
}

// Tested is a platform of an image, and what is known of it.
type Tested struct {
	Platform string `json:"platform"`
	Verdict  Word   `json:"verdict"` // unproven where it was not run
	Why      string `json:"why,omitempty"`
}

// Identity is who a run's command is started as.
type Identity struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
	Name   string   `json:"name,omitempty"`
}

func identityOf(id account.Identity) Identity {
	return Identity{UID: id.UID, GID: id.GID, Groups: id.Groups, Name: id.Name}
}

// String is the identity for a person, such as "101:0 (nginx)".
func (i Identity) String() string {
	return account.Identity{UID: i.UID, GID: i.GID, Name: i.Name}.String()
}

// Observed is what was seen of one run.
type Observed struct {
	Identity  Identity  `json:"identity"`
	Args      []string  `json:"args"`
	End       End       `json:"end"`
	Status    int       `json:"status"`
	Processes []Process `json:"processes"`      // of the steady state
	Seen      []Process `json:"seen,omitempty"` // every program and identity that was observed at any time
	Sockets   []Socket  `json:"sockets"`
	Answers   []Answer  `json:"answers,omitempty"`
	Health    *Answer   `json:"health,omitempty"`
	Events    uint64    `json:"events"`             // of the trace
	Stderr    string    `json:"stderr,omitempty"`   // its last line, where the run is not proven
	Stopped   string    `json:"stopped,omitempty"`  //
	Steady    int64     `json:"steadyMs,omitempty"` // milliseconds to the steady state
	Took      int64     `json:"tookMs"`             // milliseconds
	Platform  string    `json:"platform,omitempty"` //
}

// Result is one run of a scenario, judged.
type Result struct {
	Scenario  string   `json:"scenario"`
	Covers    []string `json:"covers"`             // the scenarios that the run serves
	Run       string   `json:"run"`                // its name
	Advisory  bool     `json:"advisory,omitempty"` // told, and not part of the whole
	ReadOnly  bool     `json:"readOnly,omitempty"`
	PortStart int      `json:"portStart"`
	Tmpfs     []string `json:"tmpfs,omitempty"`
	Volumes   []Volume `json:"volumes,omitempty"`
	Observed
	Verdict
}

func observe(o Outcome) Observed {
	return Observed{
		Identity: identityOf(o.Run.Identity), Args: o.Run.Args, End: o.End, Status: o.Status, Processes: orEmpty(o.Processes), Seen: o.Seen,
		Sockets: orEmpty(o.Sockets), Answers: o.Answers, Health: o.Health, Events: o.Trace.Total, Stopped: o.Stopped,
		Steady: milliseconds(o.Steady), Took: milliseconds(o.Took), Platform: o.Platform,
	}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func milliseconds(d time.Duration) int64 { return d.Milliseconds() }
