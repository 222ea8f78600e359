package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"unroot/internal/check"
	"unroot/internal/finding"
	"unroot/internal/report"
	"unroot/internal/survey"
)

func newCheck(w *world) *cobra.Command {
	r := &reading{world: w}
	var asJSON, dedicated bool
	cmd := &cobra.Command{
		Use:   "check IMAGE…",
		Short: "say why an image will not run as a regular user",
		Long: `check reads an image and lists what runs as root, and what would break as a regular user or
under a uid that the platform picks: path by path, with the owner and the bits that deny.
Nothing of the image is run, and nothing is changed.` + exitCodes + `  0  no findings (remarks do not count)
  1  findings
  2  bad usage or input
  4  a registry or an engine could not be reached`,
		Example: `  unroot check nginx:1.29
  unroot check --json docker-archive:app.tar
  docker save app | unroot check -`,
		Args:              atLeastOne("IMAGE"),
		ValidArgsFunction: upTo(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			defer r.start()()
			return checkImages(cmd.Context(), r, args, dedicated, asJSON)
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the findings as JSON")
	cmd.Flags().BoolVar(&dedicated, "dedicated", false, "leave uids that the platform picks out of it: only the image's own user and group count")
	return cmd
}

func checkImages(ctx context.Context, r *reading, args []string, dedicated, asJSON bool) error {
	doc := report.Findings{Version: report.Version, Images: []report.Image{}}
	for _, arg := range args {
		img, err := checkImage(ctx, r, arg, dedicated)
		if err != nil {
			return err
		}
		doc.Images = append(doc.Images, img)
	}
	if err := writeFindings(r.world, doc, asJSON); err != nil {
		return err
	}
	for _, img := range doc.Images {
		if slices.ContainsFunc(img.Findings, func(f finding.Finding) bool { return f.Severity > finding.Info }) {
			return &exitError{code: exitFindings}
		}
	}
	return nil
}

func writeFindings(w *world, doc report.Findings, asJSON bool) error {
	if asJSON {
		return report.JSON(w.out, doc)
	}
	for _, img := range doc.Images {
		if err := report.FindingsText(w.out, img); err != nil {
			return err
		}
	}
	return nil
}

func checkImage(ctx context.Context, r *reading, arg string, dedicated bool) (report.Image, error) {
	v, ref, err := r.view(ctx, arg)
	if err != nil {
		return report.Image{}, err
	}
	return findingsOf(survey.Make(v), ref, dedicated), nil
}

func findingsOf(s *survey.Survey, ref string, dedicated bool) report.Image {
	found := check.Image(s, dedicated)
	if found == nil {
		found = []finding.Finding{}
	}
	return report.Image{
		Ref: ref, Platform: s.View.Config.Platform(), Digest: s.View.Image.Digest.String(),
		Findings: found, Answers: check.Closing(s, dedicated),
	}
}
