package report_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"unroot/internal/plan"
	"unroot/internal/report"
	"unroot/internal/startup"
	"unroot/internal/survey"
)

// everything is an order with all that there is.
func everything() startup.Order {
	mask := uint16(0o002)
	return startup.Order{Names: startup.NamesNscd, Home: "/home/app", Java: true, Umask: &mask, Writable: []string{"/data", "/a\x1bb"}, Stay: true,
		Private: []startup.Private{{Path: "/etc/key", Mode: 0o600}, {Path: "/data/pg", Mode: 0o700, Dir: true}}, Fill: []string{"/run/app"}, Compat: startup.CompatConsistent}
}

// TestInitText: a plan says why unroot-init is there, what it does in words, and what it emulates.
func TestInitText(t *testing.T) {
	t.Parallel()
	p := plan.Plan{Init: &plan.Init{Order: everything(), Why: []plan.Reason{{ID: "compat", What: "without it the program does not work",
		Rest: []survey.Evidence{{Source: "run", Where: "fixed, event 12", Text: "/usr/sbin/app: setgroups: EPERM"}}}}}}
	made, err := report.NewPlan("oci:app", "linux/amd64", "sha256:0000", p, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := report.PlanText(&b, made); err != nil {
		t.Fatal(err)
	}
	golden(t, "init.plan.txt", b.Bytes())
	if strings.ContainsRune(b.String(), '\x1b') {
		t.Error("what an image says reaches the terminal as it is")
	}
}

// TestDoes: every option of an order is said, and an order that asks for nothing says nothing.
func TestDoes(t *testing.T) {
	t.Parallel()
	if does := report.Does(startup.Order{}); len(does) != 0 {
		t.Errorf("nothing is asked for, and it says %q", does)
	}
	if does := report.Does(startup.Order{Stay: true}); len(does) != 1 {
		t.Errorf("one thing is asked for, and it says %q", does)
	}
	all := report.Does(everything())
	for i, change := range []func(*startup.Order){
		func(o *startup.Order) { o.Names = startup.NamesOff }, func(o *startup.Order) { o.Java = false }, func(o *startup.Order) { o.Umask = nil },
		func(o *startup.Order) { o.Writable = nil }, func(o *startup.Order) { o.Private = o.Private[:1] }, func(o *startup.Order) { o.Private = o.Private[1:] },
		func(o *startup.Order) { o.Fill = nil }, func(o *startup.Order) { o.Compat = startup.CompatOff }, func(o *startup.Order) { o.Stay = false },
	} {
		o := everything()
		change(&o)
		if does := report.Does(o); len(does) != len(all)-1 {
			t.Errorf("change %d: %q, and with it %q", i, does, all)
		}
	}
	for _, c := range startup.Compats {
		if does := report.Does(startup.Order{Compat: c}); len(does) != 1 {
			t.Errorf("%s: %q", c, does)
		}
	}
	for _, n := range []startup.Names{startup.NamesAuto, startup.NamesNscd, startup.NamesWrapper} {
		if !slices.ContainsFunc(report.Does(startup.Order{Names: n}), func(s string) bool { return strings.Contains(s, "passwd entry") }) {
			t.Errorf("%s says nothing", n)
		}
	}
}
