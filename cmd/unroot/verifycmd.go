package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"unroot/internal/image"
	"unroot/internal/record"
	"unroot/internal/report"
	"unroot/internal/store"
	"unroot/internal/verify"
)

// verification is one run of verify.
type verification struct {
	world     *world
	reading   *reading
	verifying *verifying
	baseline  string
	against   string
	asJSON    bool

	options verify.Options
	older   *verify.Proof // of --against
}

func newVerify(w *world) *cobra.Command {
	v := &verification{world: w, reading: &reading{world: w}, verifying: &verifying{}}
	cmd := &cobra.Command{
		Use:   "verify IMAGE",
		Short: "prove by runs that an image does what its original does, without root",
		Long: `verify runs the original of an image as it is, then the image in every way in which a platform
may run it: as its user, under a uid that it does not know, with a read-only root file system, over
volumes of several kinds; always without capabilities and with no_new_privs. It traces all of them,
and compares: what listens and what it answers, the programs that run, how commands end, the health
check. No process may have been root in any of them.

The original is found by the record that convert leaves in an image, or named with --baseline. The
image is untrusted: it gets no network, no file of this machine, and limits. An image whose config
says root is refuted before anything runs. The proof is on standard output.` + exitCodes + `  0  proven
  1  refuted; with --against also: not the same as that proof
  2  bad usage or input
  3  unproven: a baseline, a runner or an answer is missing
  4  a registry or an engine could not be reached`,
		Example: `  unroot verify registry.example/nginx:1.29-nonroot
  unroot verify --baseline nginx:1.29 oci:out:nginx --probe http://:8080/ --json > proof.json
  unroot verify oci:out:nginx --against proof.json
  unroot verify oci:out:nginx --target openshift --attach`,
		Args:              exactly("IMAGE"),
		ValidArgsFunction: upTo(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return v.run(cmd.Context(), args[0]) },
	}
	v.reading.flags(cmd)
	v.verifying.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&v.baseline, "baseline", "", "compare with this image (default: the one that the image's record names)")
	f.StringVar(&v.against, "against", "", "compare the proof with the one in this file too, and say what is not the same")
	f.BoolVar(&v.asJSON, "json", false, "write the proof as JSON")
	return cmd
}

func (v *verification) run(ctx context.Context, arg string) error {
	var err error
	if v.options, err = v.verifying.options(); err != nil {
		return err
	}
	if err := v.readOlder(); err != nil {
		return err
	}
	ref, err := store.Parse(arg)
	if err != nil {
		return err
	}
	if err := v.verifying.canAttach(ref); err != nil {
		return err
	}
	defer v.reading.start()()
	candidate, err := v.reading.one(ctx, arg)
	if err != nil {
		return err
	}
	proof, err := v.prove(ctx, candidate)
	if err != nil {
		return fmt.Errorf("verifying %q: %w", candidate.ref, err)
	}
	proof.Made = time.Now().UTC().Format(time.RFC3339)
	if err := v.tell(proof); err != nil {
		return err
	}
	if v.verifying.attach {
		if err := v.attachTo(ctx, candidate, proof); err != nil {
			return err
		}
	}
	return v.ending(proof)
}

// readOlder reads the proof of --against, before anything is opened.
func (v *verification) readOlder() error {
	if v.against == "" {
		return nil
	}
	data, err := os.ReadFile(v.against)
	if err != nil {
		return fmt.Errorf("reading a proof: %w", err)
	}
	older, err := verify.DecodeProof(data)
	if err != nil {
		return &store.HintError{Err: fmt.Errorf("--against %q: %w", v.against, err), Hint: "it takes what `unroot verify --json` wrote"}
	}
	v.older = &older
	if len(v.options.Probes) == 0 {
		v.options.Probes = probesOf(older)
	}
	return nil
}

// probesOf is the questions of a proof that somebody chose.
func probesOf(p verify.Proof) []verify.Probe {
	var probes []verify.Probe
	for _, r := range p.Results {
		for _, a := range r.Answers {
			same := func(have verify.Probe) bool { return reflect.DeepEqual(have, a.Probe) }
			if a.Probe.Kind != "generic" && !slices.ContainsFunc(probes, same) {
				probes = append(probes, a.Probe)
			}
		}
	}
	return probes
}

// scenarios is what is run: what the flags say, and where they say nothing and there is an older
// proof, the runs of that one.
func (v *verification) scenarios(c verify.Case) ([]verify.Scenario, error) {
	if v.older == nil || len(v.options.Pick) > 0 || v.options.Target != "" {
		return verify.Scenarios(c.Candidate, c.Expect, c.Options)
	}
	before := map[string]bool{}
	for _, r := range v.older.Results {
		before[r.Run] = true
	}
	for _, target := range append([]string{""}, verify.Targets...) {
		c.Options.Target = target
		list, err := verify.Scenarios(c.Candidate, c.Expect, c.Options)
		if err != nil {
			return nil, err
		}
		list, runs := only(list, before)
		if runs == len(before) && runs > 0 {
			return list, nil
		}
	}
	c.Options.Target = ""
	return verify.Scenarios(c.Candidate, c.Expect, c.Options)
}

// only is the scenarios all of whose runs are wanted, and how many runs those are.
func only(list []verify.Scenario, wanted map[string]bool) (kept []verify.Scenario, runs int) {
	for _, s := range list {
		if !slices.ContainsFunc(s.Runs, func(r verify.Run) bool { return !wanted[r.Name] }) {
			kept, runs = append(kept, s), runs+len(s.Runs)
		}
	}
	return kept, runs
}

// prove runs what there is to run.
func (v *verification) prove(ctx context.Context, candidate opened) (verify.Proof, error) {
	c := verify.Case{
		Candidate: verify.FactsOf(candidate.view), Options: v.options, Unroot: versionName(),
		CandidateRef: candidate.ref.String(), Others: others(candidate),
	}
	if candidate.index != nil {
		c.CandidateIndex = candidate.index.Digest.String()
	}
	if _, refuted := verify.RefuteConfig(c.Candidate); refuted {
		return verify.Prove(ctx, c, nil, nil) // nothing is opened and nothing runs
	}
	rec, ok, err := record.Read(candidate.view.Config.Labels())
	switch {
	case err != nil:
		fmt.Fprintf(v.world.err, "note: %v\n", err)
	case ok:
		c.Expect = verify.ExpectFromRecord(rec)
	}
	if err := v.addBaseline(ctx, &c, candidate); err != nil {
		return verify.Proof{}, err
	}
	if c.Scenarios, err = v.scenarios(c); err != nil {
		return verify.Proof{}, err
	}
	line := newProgress(v.world.err)
	defer line.stop()
	runner, err := v.verifying.open(ctx, v.world, c.Candidate, line)
	if err != nil {
		return verify.Proof{}, err
	}
	proof, err := verify.Prove(ctx, c, runner, line.run)
	return proof, errors.Join(err, runner.Close())
}

// addBaseline finds the original. Where there is none it says so: the verdict is then at best
// unproven, and runs may still refute.
func (v *verification) addBaseline(ctx context.Context, c *verify.Case, candidate opened) error {
	r := *v.reading
	r.platform = candidate.view.Config.Platform()
	var view *image.View
	var err error
	if v.baseline != "" {
		view, c.BaselineRef, err = r.view(ctx, v.baseline)
	} else {
		view, c.BaselineRef, err = r.baselineOf(ctx, candidate.view, candidate.ref)
	}
	switch {
	case errors.Is(err, errNoBaseline):
		fmt.Fprintf(v.world.err, "note: %v\nhint: %s\n", err, hintOf(err))
		return nil
	case err != nil:
		return err
	}
	facts := verify.FactsOf(view)
	c.Baseline = &facts
	return nil
}

// others is the platforms of an index that this proof is not about.
func others(o opened) []verify.Tested {
	if o.index == nil {
		return nil
	}
	var list []verify.Tested
	images, names := platforms(o.index)
	for i, img := range images {
		if img.Digest != o.view.Image.Digest {
			list = append(list, verify.Tested{Platform: names[i], Verdict: verify.Unproven, Why: notRun(names[i])})
		}
	}
	return list
}

func notRun(platform string) string {
	if runsHere(platform) {
		return "--platform " + platform + " runs it"
	}
	return "this machine is " + thisPlatform()
}

// tell writes the proof.
func (v *verification) tell(p verify.Proof) error {
	if v.asJSON {
		if err := report.JSON(v.world.out, p); err != nil {
			return err
		}
	} else if err := report.ProofText(v.world.out, p); err != nil {
		return err
	}
	if v.older == nil {
		return nil
	}
	to := v.world.out
	if v.asJSON {
		to = v.world.err
	}
	return report.AgainstText(to, v.against, verify.Against(*v.older, p))
}

func (v *verification) attachTo(ctx context.Context, o opened, p verify.Proof) error {
	var member digest.Digest
	if o.index != nil {
		member = o.view.Image.Digest
	}
	return v.reading.attachProof(ctx, o.ref, member, p)
}

// ending is the exit code for a verdict. Of an older proof that is not the same, refuted is said even
// where both are proven: something has changed that nobody has looked at.
func (v *verification) ending(p verify.Proof) error {
	if v.older != nil && p.Verdict == verify.Proven && len(verify.Against(*v.older, p)) > 0 {
		return &exitError{code: exitFindings}
	}
	return verdictCode(p.Verdict)
}

// verdictCode is how a command ends for which everything was said.
func verdictCode(word verify.Word) error {
	switch word {
	case verify.Proven:
		return nil
	case verify.Refuted:
		return &exitError{code: exitFindings}
	}
	return &exitError{code: exitUnproven}
}
