// Package check is the list of checks: each a value that says what goes wrong when an image runs as a regular user, and why.
package check

import (
	"fmt"
	"slices"

	"unroot/internal/account"
	"unroot/internal/finding"
	"unroot/internal/survey"
)

// Check is one rule.
type Check struct {
	ID       string           // stable, such as "run-as-root"
	Title    string           // the reason of its findings, the same every time
	Severity finding.Severity // of its findings, unless one says otherwise
	Doc      string           // what happens, why, and what mends it; paragraphs of plain text
	Twins    []Twin           // checks of other tools for the same thing
	Image    func(*Subject) []finding.Finding
}

// Twin is a check of another tool that looks at the same thing.
type Twin struct {
	Tool string // such as "hadolint"
	ID   string // such as "DL3002"
	Note string // where it sees less or other things; empty where it is the same
}

// Subject is an image that is looked at for the identities that it is meant for.
type Subject struct {
	*survey.Survey
	Fixed     account.Identity // who it runs as, or would after a conversion
	Arbitrary bool             // any uid with group 0 is meant to work too
}

// identities is who the image is meant for.
func (s *Subject) identities() []account.Identity {
	if s.Arbitrary {
		return []account.Identity{s.Fixed, account.Arbitrary()}
	}
	return []account.Identity{s.Fixed}
}

// All is every check, by the order in which people meet them. It is the only list: documentation,
// reports and tests are made from it.
func All() []Check {
	return slices.Concat(identityChecks, startChecks, scriptChecks, pathChecks, portChecks, programChecks)
}

// Image runs every check on a surveyed image, and gives the findings worst first.
func Image(s *survey.Survey, dedicated bool) []finding.Finding {
	fixed, _ := s.Fixed()
	subject := &Subject{Survey: s, Fixed: fixed, Arbitrary: !dedicated}
	var found []finding.Finding
	for _, c := range All() {
		if c.Image == nil {
			continue
		}
		for _, f := range c.Image(subject) {
			found = append(found, c.complete(f))
		}
	}
	slices.SortStableFunc(found, finding.Compare)
	return slices.CompactFunc(found, func(a, b finding.Finding) bool { return finding.Compare(a, b) == 0 })
}

// complete fills what is the same for all findings of a check.
func (c Check) complete(f finding.Finding) finding.Finding {
	f.ID, f.Reason = c.ID, c.Title
	for _, twin := range c.Twins {
		f.Twins = append(f.Twins, twin.Tool+" "+twin.ID)
	}
	if f.Severity == finding.Info {
		f.Severity = c.Severity
	}
	return f
}

// Find is the check with the id.
func Find(id string) (Check, bool) {
	for _, c := range All() {
		if c.ID == id {
			return c, true
		}
	}
	return Check{}, false
}

// one is a finding at a config field.
func one(field, detail, hint string) []finding.Finding {
	return []finding.Finding{{Location: finding.Location{Field: field}, Detail: detail, Hint: hint}}
}

// at is a finding at a path of the tree.
func at(p, detail, hint string) finding.Finding {
	return finding.Finding{Location: finding.Location{Path: p}, Detail: detail, Hint: hint}
}

const convertHint = "unroot convert mends it"

// who names an identity in a sentence.
func who(id account.Identity) string {
	if id.IsArbitrary() {
		return fmt.Sprintf("an arbitrary uid (%s)", id.User())
	}
	return "uid " + id.String()
}
