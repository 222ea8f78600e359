package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"unroot/internal/plan"
	"unroot/internal/rewrite"
	"unroot/internal/survey"
)

// Plan is what a report says about the plan for one platform's image.
type Plan struct {
	Ref        string          `json:"image"`
	Platform   string          `json:"platform"`
	Digest     string          `json:"digest"`
	Identity   Identity        `json:"identity"`
	Operations []Operation     `json:"operations"`
	Bytes      int64           `json:"bytes"`                // that the operations add to the layer's archive, uncompressed
	Layer      int             `json:"layerBytes,omitempty"` // of the layer as it is stored; only where it was made
	Ports      []plan.PortMove `json:"ports,omitempty"`
	Ephemeral  []string        `json:"ephemeral,omitempty"`
	Persistent []string        `json:"persistent,omitempty"`
	Tasks      []plan.Task     `json:"tasks,omitempty"`
	Open       []plan.Open     `json:"open,omitempty"`
	Notes      []string        `json:"notes,omitempty"`
	Init       *Init           `json:"init,omitempty"` // what is left to the moment of start
	Diffs      []Diff          `json:"diffs,omitempty"`
}

// Identity is who the image will run as.
type Identity struct {
	User      string          `json:"user"` // of the config
	Name      string          `json:"name,omitempty"`
	Arbitrary bool            `json:"arbitrary"` // any uid with group 0 is served too
	Why       survey.Evidence `json:"why"`
}

// Operation is one step, with what it rests on and what it costs.
type Operation struct {
	Kind   string            `json:"kind"`
	Text   string            `json:"text"`
	Effect plan.Effect       `json:"effect"`
	Mends  string            `json:"mends,omitempty"`
	Why    []survey.Evidence `json:"why"`
	Bytes  int64             `json:"bytes"`
}

// Diff is an edited file, as a unified diff.
type Diff struct {
	Path string `json:"path"`
	Diff string `json:"diff"`
}

// Plans is the document of `unroot plan --json`.
type Plans struct {
	Version int    `json:"version"`
	Plans   []Plan `json:"plans"`
}

// Init is unroot-init in the image.
type Init struct {
	Options   []string      `json:"options"`             // its command line, without the program that it starts
	Does      []string      `json:"does"`                // the same in words
	Emulation string        `json:"emulation,omitempty"` // the step, where calls of root are answered
	Reasons   []plan.Reason `json:"reasons"`
}

// NewPlan collects what there is to say about a plan. costs is in the order of the operations.
func NewPlan(ref, platform, digest string, p plan.Plan, costs []int64) (Plan, error) {
	out := Plan{
		Ref: ref, Platform: platform, Digest: digest,
		Identity:   Identity{User: p.Identity.User(), Name: p.Identity.Name, Arbitrary: p.ForArbitrary(), Why: p.Why},
		Operations: []Operation{},
		Ports:      p.Ports, Ephemeral: p.Ephemeral, Persistent: p.Persistent, Tasks: p.Tasks, Open: p.Open, Notes: p.Notes,
	}
	if p.Init != nil {
		out.Init = &Init{Options: p.Init.Order.Args(), Does: Does(p.Init.Order), Emulation: string(p.Init.Order.Compat), Reasons: p.Init.Why}
	}
	for i, o := range p.Operations {
		out.Operations = append(out.Operations, Operation{Kind: o.Effect.Kind(), Text: o.Effect.String(), Effect: o.Effect, Mends: o.Mends, Why: o.Why, Bytes: costs[i]})
		out.Bytes += costs[i]
	}
	diffs, err := rewrite.Diffs(p)
	for _, d := range diffs {
		out.Diffs = append(out.Diffs, Diff{Path: d.Path, Diff: string(diff.Diff("a"+d.Path, d.Before, "b"+d.Path, d.After))})
	}
	return out, err
}

// PlanText writes a plan for a person.
func PlanText(w io.Writer, p Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n\nwill run as %s", p.Ref, p.Platform, p.Identity.User)
	if p.Identity.Name != "" {
		fmt.Fprintf(&b, " (%s)", p.Identity.Name)
	}
	if p.Identity.Arbitrary {
		b.WriteString(", and as any uid in group 0")
	}
	fmt.Fprintf(&b, "\n  because %s\n", p.Identity.Why)
	writeOperations(&b, p)
	for _, d := range p.Diffs {
		fmt.Fprintf(&b, "\n%s", d.Diff)
	}
	writeInit(&b, p.Init)
	writeTasks(&b, p.Tasks)
	writeOpen(&b, p.Open)
	for _, n := range p.Notes {
		fmt.Fprintf(&b, "\nnote: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeInit says why unroot-init is in the image, and what it emulates.
func writeInit(b *strings.Builder, i *Init) {
	if i == nil {
		return
	}
	b.WriteString("\nunroot-init goes before the image's command, because\n")
	for _, r := range i.Reasons {
		fmt.Fprintf(b, "  %s: %s\n", r.ID, safe(r.What))
		for _, e := range r.Rest {
			fmt.Fprintf(b, "      %s\n", safe(e.String()))
		}
	}
	b.WriteString("  at start it\n")
	for _, text := range i.Does {
		fmt.Fprintf(b, "    - %s\n", text)
	}
	if i.Emulation != "" {
		fmt.Fprintf(b, "  %s: unroot explain compat\n", emulation(i.Emulation))
	}
}

func writeOperations(b *strings.Builder, p Plan) {
	if len(p.Operations) == 0 {
		b.WriteString("\nnothing to do\n")
		return
	}
	fmt.Fprintf(b, "\n%7s  what changes, and why\n", "bytes")
	for _, o := range p.Operations {
		fmt.Fprintf(b, "%7d  %-10s  %s\n", o.Bytes, o.Kind, o.Text)
		for _, why := range o.Why {
			fmt.Fprintf(b, "%7s  %-10s  because %s\n", "", "", why)
		}
	}
	fmt.Fprintf(b, "%7d  together, in one layer, before compression\n", p.Bytes)
}

func writeTasks(b *strings.Builder, tasks []plan.Task) {
	if len(tasks) == 0 {
		return
	}
	b.WriteString("\nwhat the start does that needs root, and where each goes\n")
	for _, t := range tasks {
		fmt.Fprintf(b, "  %-9s %s: %s\n", t.Disposition, t.Where, t.Text)
		if t.How != "" {
			fmt.Fprintf(b, "            %s\n", t.How)
		}
		if t.Field != "" && t.Disposition == plan.ToPlatform {
			fmt.Fprintf(b, "            set %s\n", t.Field)
		}
	}
}

func writeOpen(b *strings.Builder, open []plan.Open) {
	if len(open) == 0 {
		return
	}
	b.WriteString("\nopen: the image alone does not decide these\n")
	for _, o := range open {
		fmt.Fprintf(b, "  %s\n", OpenText(o))
	}
}

// OpenText is an open item for a person: what is true, and on the next line what decides it.
func OpenText(o plan.Open) string {
	scope := ""
	if o.Scope != "" {
		scope = " (only for an " + o.Scope + " uid)"
	}
	return fmt.Sprintf("%s%s: %s\n    → %s", o.ID, scope, o.What, o.Decides)
}

// Conversion is the document of `unroot convert --json`.
type Conversion struct {
	Version     int    `json:"version"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	ID          string `json:"id"` // manifest digest; image id for archives and engines
	Plans       []Plan `json:"plans"`
}

// Program is the document of `unroot version --json`.
type Program struct {
	Version  int    `json:"version"` // of the document, as in all others
	Unroot   string `json:"unroot"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}
