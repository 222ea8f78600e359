package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"unroot/internal/image"
	"unroot/internal/plan"
	"unroot/internal/report"
	"unroot/internal/rewrite"
	"unroot/internal/survey"
	"unroot/internal/verify"
)

func newPlan(w *world) *cobra.Command {
	r := &reading{world: w}
	p := &planning{}
	var asJSON, asDockerfile bool
	var target string
	cmd := &cobra.Command{
		Use:   "plan IMAGE",
		Short: "say what would change, why, and how many bytes each step adds",
		Long: `plan reads an image and prints what convert would do: each operation with what it rests on and
the bytes that it adds, the edits as diffs, the privileged tasks of the start and where each
goes, and what the image alone does not decide. Nothing is run, and nothing is changed.` + exitCodes + `  0  the plan was made
  2  bad usage or input
  4  a registry or an engine could not be reached`,
		Example: `  unroot plan nginx:1.29
  unroot plan --json docker-archive:app.tar
  unroot plan --dockerfile nginx:1.29 > Dockerfile`,
		Args:              exactly("IMAGE"),
		ValidArgsFunction: upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneForm(asJSON, asDockerfile); err != nil {
				return err
			}
			opts, err := p.options()
			if err != nil {
				return err
			}
			if opts.Target = target; target != "" && !slices.Contains(verify.Targets, target) {
				return badFlag("--target %q: not known", "--target takes "+oneOf(verify.Targets), target)
			}
			defer r.start()()
			v, ref, err := r.view(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			made, err := plan.Make(survey.Make(v), opts)
			if err != nil {
				return err
			}
			if asDockerfile {
				return writeDockerfile(w, v, made, ref)
			}
			return writePlans(w, asJSON, []planned{{view: v, plan: made, ref: ref}})
		},
	}
	r.flags(cmd)
	p.flags(cmd)
	cmd.Flags().StringVar(&target, "target", "", "the platform that the image is for, which may do a part of it: "+strings.Join(verify.Targets, ", ")+" (default: any)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the plan as JSON")
	cmd.Flags().BoolVar(&asDockerfile, "dockerfile", false, "write the plan as a Dockerfile that starts FROM the image")
	return cmd
}

// oneForm refuses two forms of one result.
func oneForm(asJSON, asDockerfile bool) error {
	if asJSON && asDockerfile {
		return badFlag("--json and --dockerfile are two forms of the same plan", "choose one of them")
	}
	return nil
}

// planned is the plan for one platform's image, and what it gave where it was carried out.
type planned struct {
	view  *image.View
	plan  plan.Plan
	ref   string
	layer int
}

func (p planned) report() (report.Plan, error) {
	costs, err := rewrite.Costs(p.view, p.plan)
	if err != nil {
		return report.Plan{}, err
	}
	out, err := report.NewPlan(p.ref, p.view.Config.Platform(), p.view.Image.Digest.String(), p.plan, costs)
	out.Layer = p.layer
	return out, err
}

func reports(plans []planned) ([]report.Plan, error) {
	out := make([]report.Plan, len(plans))
	for i, p := range plans {
		var err error
		if out[i], err = p.report(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func writePlans(w *world, asJSON bool, plans []planned) error {
	all, err := reports(plans)
	if err != nil {
		return err
	}
	if asJSON {
		return report.JSON(w.out, report.Plans{Version: report.Version, Plans: all})
	}
	for _, p := range all {
		if err := report.PlanText(w.out, p); err != nil {
			return err
		}
	}
	return nil
}

func writeDockerfile(w *world, v *image.View, p plan.Plan, ref string) error {
	text, err := rewrite.Dockerfile(v, p, ref)
	if err != nil {
		return err
	}
	_, err = w.out.Write(text)
	return err
}
