package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/plan"
	"unroot/internal/report"
	"unroot/internal/rewrite"
	"unroot/internal/store"
	"unroot/internal/survey"
	"unroot/internal/verify"
)

// conversion is one run of convert.
type conversion struct {
	world            *world
	reading          *reading
	planning         *planning
	proving          *proving
	strict           bool
	dryRun           bool
	asJSON           bool
	asDockerfile     bool
	keepAttestations bool

	opts    plan.Options
	from    store.Ref
	plans   []planned
	dropped int
}

func newConvert(w *world) *cobra.Command {
	c := &conversion{world: w, reading: &reading{world: w}, planning: &planning{}, proving: &proving{}}
	cmd := &cobra.Command{
		Use:   "convert SOURCE DESTINATION",
		Short: "make an image run as a regular user",
		Long: `convert makes an image run as a regular user and writes it to the destination. It adds one small
layer and patches the config; the original layers, the other fields and the other platforms of an
index stay as they are. It prints the manifest digest (for archives and engines the image id).

Nothing of the image is run, unless --verify asks for it. What the image alone does not decide is
listed on standard error; with --strict it ends the conversion before anything is written. An index
is converted as a whole; attestations are dropped, since the digests that they speak of no longer
exist.

With --verify the original is run as it is, confined and traced, then what the conversion makes of
it; what the runs show to be needed, or denied, goes into the next plan, until nothing is added.
Only what is proven is written. See unroot help verify.` + exitCodes + `  0  converted and written
  1  --verify, and the result is refuted; nothing was written
  2  bad usage or input; nothing was written
  3  --verify, and the result is unproven; --strict, and something is open; nothing was written
  4  a registry or an engine could not be reached`,
		Example: `  unroot convert nginx:1.29 registry.example/nginx:1.29-nonroot
  unroot convert docker-archive:app.tar oci:out:app --uid 10001 --group dedicated --port 80=8080
  unroot convert --verify nginx:1.29 oci:out:nginx --target openshift --probe http://:8080/
  docker save app | unroot convert - docker-daemon:app:nonroot`,
		Args:              exactly("SOURCE", "DESTINATION"),
		ValidArgsFunction: upTo(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.proving.read(cmd.Flags()); err != nil {
				return err
			}
			return c.run(cmd.Context(), args[0], args[1])
		},
	}
	c.reading.flags(cmd)
	c.planning.flags(cmd)
	c.proving.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&c.strict, "strict", false, "write nothing where something is open")
	f.BoolVar(&c.dryRun, "dry-run", false, "print the plan and write nothing")
	f.BoolVar(&c.asJSON, "json", false, "write what was done as JSON instead of the digest")
	f.BoolVar(&c.asDockerfile, "dockerfile", false, "with --dry-run: print the plan as a Dockerfile")
	f.BoolVar(&c.keepAttestations, "keep-attestations", false, "keep the attestations of an index, although they speak of the original")
	return cmd
}

func (c *conversion) run(ctx context.Context, src, dst string) error {
	if c.asDockerfile && !c.dryRun {
		return badFlag("--dockerfile prints a plan, and convert writes an image", "add --dry-run, or use `unroot plan --dockerfile`")
	}
	if err := oneForm(c.asJSON, c.asDockerfile); err != nil {
		return err
	}
	var err error
	if c.opts, err = c.planning.options(); err != nil {
		return err
	}
	c.opts.Target = c.proving.target
	if c.from, err = store.Parse(src); err != nil {
		return err
	}
	to, err := store.Parse(dst)
	if err != nil {
		return err
	}
	if err := destination(c.from, to); err != nil {
		return err
	}
	if err := c.proving.canAttach(to); err != nil {
		return err
	}
	c.proving.to = to
	defer c.reading.start()()
	source, err := c.reading.open(ctx, c.from)
	if err != nil {
		return err
	}
	result, err := c.convert(ctx, source)
	if err != nil {
		return fmt.Errorf("converting %q: %w", src, err)
	}
	if done, err := c.withoutWriting(); done || err != nil {
		return err
	}
	id, err := c.reading.store.Put(ctx, to, result)
	if err != nil {
		return err
	}
	if err := c.placed(ctx, to); err != nil {
		return err
	}
	if err := c.tellProof(); err != nil {
		return err
	}
	c.tellDone()
	c.tellOpen()
	return c.tell(id, to)
}

// withoutWriting is what a conversion ends with that writes nothing: a plan was asked for, the result
// is not proven, or something is open that must not be.
func (c *conversion) withoutWriting() (done bool, err error) {
	switch {
	case c.dryRun:
		if err := c.tellProof(); err != nil {
			return true, err
		}
		if err := c.showPlans(); err != nil {
			return true, err
		}
		return true, verdictCode(c.proving.verdict())
	case c.proving.verdict() != verify.Proven:
		return true, c.refuse()
	case c.strict && c.open() > 0:
		c.tellOpen()
		return true, &exitError{exitUnproven, &store.HintError{Err: fmt.Errorf("%s open; nothing was written", count(c.open(), "item")), Hint: "decide them, or convert without --strict"}}
	}
	return false, nil
}

func (c *conversion) showPlans() error {
	if c.asDockerfile {
		return c.dockerfile()
	}
	return writePlans(c.world, c.asJSON, c.plans)
}

// destination refuses a destination that is the source: the original would be gone.
func destination(from, to store.Ref) error {
	switch {
	case to.Transport == store.Stdin:
		return &store.HintError{Err: errors.New("standard output cannot take an image"), Hint: "write to docker-archive:FILE"}
	case store.Same(from, to):
		return &store.HintError{Err: fmt.Errorf("destination %q is the source", to), Hint: "choose another tag or place; the original is what you go back to"}
	}
	return nil
}

// convert makes the candidate of every platform.
func (c *conversion) convert(ctx context.Context, source image.Source) (image.Source, error) {
	one := func(img *image.Image) (*image.Image, error) { return c.convertImage(ctx, img) }
	out := image.Source{Ref: source.Ref}
	if source.Image != nil || c.reading.platform != "" {
		img, err := c.reading.pick(source)
		if err != nil {
			return out, err
		}
		if err := c.learn(ctx, source, indexOf(image.Source{Image: img})); err != nil {
			return out, err
		}
		out.Image, err = one(img)
		return out, err
	}
	err := c.learn(ctx, source, source.Index)
	if err == nil {
		out.Index, err = rewrite.Index(source.Index, one, c.drop)
	}
	return out, err
}

// learn runs what --verify asks to be run of the platforms that are converted.
func (c *conversion) learn(ctx context.Context, source image.Source, index *image.Index) error {
	if !c.proving.wanted {
		return nil
	}
	images, names := platforms(index)
	if len(images) == 0 {
		return errors.New("there is no image in it that could be run")
	}
	return c.learnAll(ctx, source, images, names)
}

// drop says which members of an index go: attestations speak of a digest that no longer exists.
func (c *conversion) drop(image.Member) bool {
	if c.keepAttestations {
		return false
	}
	c.dropped++
	return true
}

func (c *conversion) convertImage(ctx context.Context, img *image.Image) (*image.Image, error) {
	v, err := image.Open(ctx, img, c.reading.options())
	if err != nil {
		return nil, err
	}
	result, made, err := c.candidate(ctx, v)
	if err != nil {
		return nil, err
	}
	if err := holds(result.View, made); err != nil {
		return nil, err
	}
	c.plans = append(c.plans, planned{view: v, plan: made, ref: c.from.String(), layer: result.Layer})
	return result.Image, nil
}

// candidate is what a platform's image becomes: by what runs have shown, or by the image alone.
func (c *conversion) candidate(ctx context.Context, v *image.View) (rewrite.Result, plan.Plan, error) {
	if learnt, ok := c.proving.learnt[v.Image]; ok {
		return learnt.Candidate, learnt.Plan, nil
	}
	made, err := plan.Make(survey.Make(v), c.opts)
	if err != nil {
		return rewrite.Result{}, made, err
	}
	result, err := rewrite.Image(ctx, v, made, c.from.String())
	return result, made, err
}

// holds checks a candidate before it is written: its config names a user that is not root, and every
// grant of the plan holds in its tree.
func holds(candidate *image.View, made plan.Plan) error {
	passwd, _ := candidate.Accounts()
	user, err := account.ParseUser(candidate.Config.User())
	if err != nil || account.IsRoot(user, passwd) {
		return fmt.Errorf("[internal error] the candidate's user is %q", candidate.Config.User())
	}
	for _, op := range made.Operations {
		g, ok := op.Effect.(plan.Grant)
		if !ok {
			continue
		}
		for _, id := range made.Identities() {
			if answer := candidate.Tree.May(id, g.Path, g.Want); !answer.OK {
				return fmt.Errorf("[internal error] the candidate does not grant %s: %s", g.Path, answer)
			}
		}
	}
	return nil
}

// open is how many items are open, each counted once.
func (c *conversion) open() int {
	items := map[plan.Open]bool{}
	for _, p := range c.plans {
		for _, o := range p.plan.Open {
			items[o] = true
		}
	}
	return len(items)
}

// tellDone says on standard error what is different now for who runs the image.
func (c *conversion) tellDone() {
	var lines []string
	if c.dropped > 0 {
		lines = append(lines, fmt.Sprintf("note: %s dropped: what they speak of has another digest now (--keep-attestations keeps them)", count(c.dropped, "attestation")))
	}
	for _, p := range c.plans {
		for _, move := range p.plan.Ports {
			lines = append(lines, fmt.Sprintf("port %d/%s is now %d", move.From, move.Proto, move.To))
		}
		for _, n := range p.plan.Notes {
			lines = append(lines, "note: "+n)
		}
	}
	c.say(lines)
}

// tellOpen says on standard error what the image alone does not decide.
func (c *conversion) tellOpen() {
	var lines []string
	for _, p := range c.plans {
		for _, o := range p.plan.Open {
			lines = append(lines, "open: "+report.OpenText(o))
		}
	}
	c.say(lines)
}

// say writes each line once: the platforms of an index mostly have the same to say.
func (c *conversion) say(lines []string) {
	said := map[string]bool{}
	for _, line := range lines {
		if !said[line] {
			said[line] = true
			fmt.Fprintln(c.world.err, line)
		}
	}
}

// dockerfile writes the plan for one platform as a Dockerfile, which is for one.
func (c *conversion) dockerfile() error {
	p := c.plans[0]
	if len(c.plans) > 1 {
		fmt.Fprintf(c.world.err, "note: a Dockerfile is for one platform, this one for %s; --platform names another\n", p.view.Config.Platform())
	}
	return writeDockerfile(c.world, p.view, p.plan, p.ref)
}

// tell prints the result: the digest, or everything as JSON.
func (c *conversion) tell(id string, to store.Ref) error {
	if !c.asJSON {
		_, err := fmt.Fprintln(c.world.out, id)
		return err
	}
	plans, err := reports(c.plans)
	if err != nil {
		return err
	}
	return report.JSON(c.world.out, provenConversion{Proofs: c.proving.proofs, Conversion: report.Conversion{
		Version: report.Version, Source: c.from.String(), Destination: to.String(), ID: id, Plans: plans,
	}})
}
