package verify

// Word is what a judge says. There are three, never only two.
type Word string

// The words.
const (
	Proven   Word = "proven"
	Refuted  Word = "refuted"
	Unproven Word = "unproven"
)

// worse is the worse of two words: refuted, then unproven, then proven.
func worse(a, b Word) Word {
	for _, w := range []Word{Refuted, Unproven} {
		if a == w || b == w {
			return w
		}
	}
	return Proven
}

// ReasonID names a kind of reason; it never changes.
type ReasonID string

// The reasons.
const (
	ConfigRoot     ReasonID = "config-root"     // the config says root: nothing was run
	RootProcess    ReasonID = "root-process"    // a process had a uid 0
	Capability     ReasonID = "capability"      // a process had a capability, or could get one back
	NewPrivileges  ReasonID = "new-privileges"  // a process ran without no_new_privs
	OtherIdentity  ReasonID = "other-identity"  // a process ran as somebody else than the scenario says
	TraceGap       ReasonID = "trace-gap"       // events are missing from the trace
	TraceCut       ReasonID = "trace-cut"       // the trace says itself that it is not whole
	NotConfined    ReasonID = "not-confined"    // the run was not what the scenario asks for
	NotStarted     ReasonID = "not-started"     // the command could not be executed
	NotSteady      ReasonID = "not-steady"      // it reached no steady state in the time given
	LimitHit       ReasonID = "limit"           // it was ended at a limit
	EndedEarly     ReasonID = "ended"           // it ended where the baseline goes on
	StaysAlive     ReasonID = "stays"           // it goes on where the baseline ends
	ExitStatus     ReasonID = "exit-status"     // it ended otherwise than the baseline
	OutputDiffers  ReasonID = "output"          // what a command printed tells of a failure
	SocketMissing  ReasonID = "socket-missing"  // nobody listens where the baseline does
	SocketAddress  ReasonID = "socket-address"  // it listens, but for others than the baseline does
	SocketProgram  ReasonID = "socket-program"  // another program listens
	SocketExtra    ReasonID = "socket-extra"    // somebody listens where nobody does in the baseline
	ProgramMissing ReasonID = "program-missing" // a program of the baseline does not run
	ProgramExtra   ReasonID = "program-extra"   // a program runs that the baseline never ran
	HealthFails    ReasonID = "health"          // the image's HEALTHCHECK fails
	ProbeFails     ReasonID = "probe"           // a probe is not answered as it must be
	AnswerDiffers  ReasonID = "answer"          // a probe is answered in another way than by the baseline
	NotAsked       ReasonID = "not-asked"       // nothing was asked of what listens
	NoBaseline     ReasonID = "no-baseline"     // there is nothing to compare with
	BaselineFails  ReasonID = "baseline"        // the baseline is no measure: it did not work itself
	NoRunner       ReasonID = "no-runner"       // images cannot be run here
	NothingRun     ReasonID = "nothing-run"     // no scenario was run
	LateDenial     ReasonID = "late-denial"     // a write that the baseline makes when it is stopped was refused
)

// Verdict is what came of comparing two runs, or of several such comparisons.
type Verdict struct {
	Word        Word         `json:"verdict"`
	Reasons     []Reason     `json:"reasons,omitempty"`     // why it is not proven; the worst first
	Benign      []Benign     `json:"benign,omitempty"`      // denials that the outcome shows to be harmless
	Differences []Difference `json:"differences,omitempty"` // what is not the same and does not count against it
}

// Reason is one thing that speaks against a candidate, or that keeps one from speaking for it.
type Reason struct {
	ID       ReasonID   `json:"id"`
	Word     Word       `json:"verdict"`            // what it makes of the verdict
	Text     string     `json:"text"`               // one sentence without a full stop
	Cause    string     `json:"cause,omitempty"`    // why that is so, as far as the trace tells
	Evidence []Evidence `json:"evidence,omitempty"` //
}

// Evidence is one observation; one of the fields is set.
type Evidence struct {
	Events  []uint64 `json:"events,omitempty"` // sequence numbers in the candidate's trace
	Process *Process `json:"process,omitempty"`
	Socket  *Socket  `json:"socket,omitempty"`
	Answer  *Answer  `json:"answer,omitempty"`
	Text    string   `json:"text,omitempty"` // such as the last line of standard error
}

// Benign is a denial, or several of one kind, that did not keep the candidate from the baseline's
// steady state.
type Benign struct {
	Events []uint64 `json:"events"`         // sequence numbers, at most 16
	Count  int      `json:"count"`          // how many there were
	Exe    string   `json:"exe,omitempty"`  // the program
	Call   string   `json:"call"`           //
	Path   string   `json:"path,omitempty"` // or
	Addr   string   `json:"addr,omitempty"` //
	Errno  string   `json:"errno"`
	Class  string   `json:"class,omitempty"` // of what it is the mark
	Text   string   `json:"text"`            // the denial in words
	Why    string   `json:"why"`             // why it is harmless
}

// Difference is something that is not the same in two runs, or in two proofs.
type Difference struct {
	What     string `json:"what"`     // such as "answer of http :8080/"
	Before   string `json:"before"`   // in the baseline; in the older proof
	After    string `json:"after"`    //
	Expected bool   `json:"expected"` // the candidate's maker said so
}

// add takes a reason in.
func (v *Verdict) add(r Reason) {
	v.Reasons = append(v.Reasons, r)
	v.Word = worse(v.Word, r.Word)
}

// has reports whether one of the reasons has the id.
func (v Verdict) has(id ReasonID) bool {
	for _, r := range v.Reasons {
		if r.ID == id {
			return true
		}
	}
	return false
}
