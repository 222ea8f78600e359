package rewrite_test

import (
	"slices"
	"strings"
	"testing"

	"unroot/internal/check"
	"unroot/internal/finding"
	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/plan"
	"unroot/internal/survey"
)

// TestCandidatesAreMended: what is grave in a candidate is listed as open in its plan. Neither room
// knows the other, so that a planner and a check that disagree show here.
func TestCandidatesAreMended(t *testing.T) {
	t.Parallel()
	eachImage(t, func(t *testing.T, img *image.Image) {
		v := imagetest.View(t, img)
		for _, options := range []string{"", "uid=10001 init=never", "group=dedicated init=never", "uid=10001 group=dedicated init=never"} {
			c := convert(t, v, options)
			for _, f := range check.Image(survey.Make(c.after.View), c.plan.Group == plan.GroupDedicated) {
				if f.Severity >= finding.High && !isOpen(c.plan, f) {
					t.Errorf("%q: the candidate has %s %s %s: %s, and no open item says so", options, f.Severity, f.ID, f.Location, f.Detail)
				}
			}
			mendedAreGone(t, options, c)
		}
	})
}

// isOpen reports whether an open item of the plan speaks of the finding.
func isOpen(p plan.Plan, f finding.Finding) bool {
	return slices.ContainsFunc(p.Open, func(o plan.Open) bool {
		switch f.ID {
		case "start":
			return o.ID == "start-unknown"
		case "insists-on-root", "low-port":
			return o.ID == f.ID
		}
		if strings.Contains(o.What, f.Location.String()+":") { // the line of a script that writes what stays closed
			return true
		}
		return o.Path != "" && (o.Path == f.Location.Path || strings.HasPrefix(f.Location.Path, o.Path+"/"))
	})
}

// mendedAreGone: a finding that an operation says it mends is not in the candidate at the same place.
func mendedAreGone(t *testing.T, options string, c converted) {
	t.Helper()
	after := check.Image(survey.Make(c.after.View), c.plan.Group == plan.GroupDedicated)
	for _, o := range c.plan.Operations {
		switch o.Mends {
		case "run-as-root", "user-name", "user-unknown", "no-account", "account-file-writable", "home":
		default:
			continue
		}
		if slices.ContainsFunc(after, func(f finding.Finding) bool { return f.ID == o.Mends }) {
			t.Errorf("%q: %s does not mend %s", options, o.Effect, o.Mends)
		}
		if _, ok := check.Find(o.Mends); !ok {
			t.Errorf("%s mends %q, which no check finds", o.Effect, o.Mends)
		}
	}
}
