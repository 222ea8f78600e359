package check

import (
	"fmt"
	"strings"

	"unroot/internal/account"
	"unroot/internal/survey"
)

// Answer is one closing line: a question that people have about an image, and its answer.
type Answer struct {
	Question string `json:"question"` // stable, such as "runs as uid 101:0 (nginx)"
	Yes      bool   `json:"yes"`
	Because  string `json:"because,omitempty"` // on one line
}

func (a Answer) String() string {
	word := "no"
	if a.Yes {
		word = "yes"
	}
	if a.Because != "" {
		word += ", " + a.Because
	}
	return a.Question + ": " + word
}

// Closing answers, from the image alone: does it run as its fixed uid, as an arbitrary one, with a
// read-only root, and where do its ports work.
func Closing(s *survey.Survey, dedicated bool) []Answer {
	fixed, _ := s.Fixed()
	subject := &Subject{Survey: s, Fixed: fixed, Arbitrary: !dedicated}
	answers := []Answer{
		{Question: "runs as root now", Yes: s.RunsRoot},
		subject.runsAs("runs as uid "+fixed.String(), fixed),
	}
	if !dedicated {
		answers = append(answers, subject.runsAs("runs as an arbitrary uid in group 0", account.Arbitrary()))
	}
	return append(answers, subject.readOnly(), subject.ports())
}

// runsAs collects what stands in the way of an identity.
func (s *Subject) runsAs(question string, id account.Identity) Answer {
	var obstacles []string
	for _, r := range s.Reads {
		if place, ok := survey.Locate(s.View.Tree, r.Path); ok && place.Exists && !s.View.Tree.May(id, r.Path, r.Want).OK {
			obstacles = append(obstacles, "it cannot use "+r.Path)
		}
	}
	for _, need := range s.Needs {
		if _, bad := cannotSatisfy(s, id, need); bad && need.Sure {
			obstacles = append(obstacles, "it cannot write "+need.Path)
		}
	}
	for _, t := range s.Story.Tasks {
		if _, platform := elsewhere[t.Kind]; t.Reached() && t.Fatal && (t.Edits != nil || platform) {
			obstacles = append(obstacles, fmt.Sprintf("the start stops at %q", t.Text))
		}
	}
	for _, i := range s.InsistsOn {
		obstacles = append(obstacles, i.Program+" insists on root")
	}
	for _, e := range s.Elevated {
		if e.CapsEff && s.Named(e.Path) {
			obstacles = append(obstacles, e.Path+" does not start without its file capabilities")
		}
	}
	if s.UserErr != nil {
		obstacles = append(obstacles, s.UserErr.Error())
	}
	return Answer{Question: question, Yes: len(obstacles) == 0, Because: list(obstacles)}
}

// list is the first obstacles in words.
func list(obstacles []string) string {
	const most = 3
	if len(obstacles) > most {
		return fmt.Sprintf("%s, and %d more", strings.Join(obstacles[:most], "; "), len(obstacles)-most)
	}
	return strings.Join(obstacles, "; ")
}

// readOnly says what must be mounted over a root file system that cannot be written.
func (s *Subject) readOnly() Answer {
	var tmpfs, volumes []string
	for _, dir := range s.WrittenDirs() {
		switch {
		case s.IsVolume(dir) || !survey.Ephemeral(dir):
			volumes = append(volumes, dir)
		default:
			tmpfs = append(tmpfs, dir)
		}
	}
	var because []string
	if len(tmpfs) > 0 {
		because = append(because, "with a tmpfs on "+strings.Join(tmpfs, ", "))
	}
	if len(volumes) > 0 {
		because = append(because, "with a volume on "+strings.Join(volumes, ", "))
	}
	return Answer{Question: "runs with a read-only root file system", Yes: true, Because: strings.Join(because, " and ")}
}

// ports says on which engines the ports can be bound by a regular user.
func (s *Subject) ports() Answer {
	low := s.LowPorts()
	if len(low) == 0 {
		return Answer{Question: "its ports work on every engine", Yes: true}
	}
	names := make([]string, len(low))
	for i, p := range low {
		names[i] = fmt.Sprint(p)
	}
	return Answer{
		Question: "its ports work on every engine",
		Because: fmt.Sprintf("%s: only where net.ipv4.ip_unprivileged_port_start is lowered: Docker since 20.10 and containerd's CRI since 2.0 do it by themselves, Podman and CRI-O (OpenShift) do not",
			strings.Join(names, ", ")),
	}
}
