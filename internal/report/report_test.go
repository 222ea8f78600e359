package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/check"
	"unroot/internal/imagetest"
	"unroot/internal/plan"
	"unroot/internal/report"
	"unroot/internal/rewrite"
	"unroot/internal/survey"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// reports is what check and plan say of an image of the plan's tests. The digest depends on the
// compressor's version, so that it is left out.
func reports(t *testing.T, name string) (report.Image, report.Plan) {
	t.Helper()
	img, _ := imagetest.Load(t, "../plan/testdata/"+name+".txtar")
	v := imagetest.View(t, img)
	s := survey.Make(v)
	p, err := plan.Make(s, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	costs, err := rewrite.Costs(v, p)
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range p.Operations {
		if _, ok := op.Effect.(plan.AddProgram); ok {
			costs[i] = 2_000_000 // each build of unroot-init has another size
		}
	}
	const ref, digest = "docker://registry.example/app:1", "sha256:0000"
	out, err := report.NewPlan(ref, v.Config.Platform(), digest, p, costs)
	if err != nil {
		t.Fatal(err)
	}
	return report.Image{Ref: ref, Platform: v.Config.Platform(), Digest: digest, Findings: check.Image(s, false), Answers: check.Closing(s, false)}, out
}

var images = []string{"nginx", "tasks", "git", "numeric-shared"}

func TestText(t *testing.T) {
	t.Parallel()
	for _, name := range images {
		found, made := reports(t, name)
		var b bytes.Buffer
		if err := report.FindingsText(&b, found); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".findings.txt", b.Bytes())
		b.Reset()
		if err := report.PlanText(&b, made); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".plan.txt", b.Bytes())
	}
}

// TestJSON holds the documents that other programs read: fields may come, none may go or change.
func TestJSON(t *testing.T) {
	t.Parallel()
	for _, name := range images {
		found, made := reports(t, name)
		var b bytes.Buffer
		if err := report.JSON(&b, report.Findings{Version: report.Version, Images: []report.Image{found}}); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".findings.json", b.Bytes())
		b.Reset()
		if err := report.JSON(&b, report.Plans{Version: report.Version, Plans: []report.Plan{made}}); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".plan.json", b.Bytes())
	}
}

// TestEmptyJSON: lists are there where they are empty, so that a reader need not look for null.
func TestEmptyJSON(t *testing.T) {
	t.Parallel()
	made, err := report.NewPlan("x", "linux/amd64", "sha256:0", plan.Plan{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"operations":[]`) {
		t.Errorf("%s", text)
	}
}

// TestCosts: the bytes of the operations are those of the layer that is written.
func TestCosts(t *testing.T) {
	t.Parallel()
	for _, name := range append(images, "volumes", "elevated", "layers") {
		img, _ := imagetest.Load(t, "../plan/testdata/"+name+".txtar")
		v := imagetest.View(t, img)
		p, err := plan.Make(survey.Make(v), plan.Options{})
		if err != nil {
			t.Fatal(err)
		}
		costs, err := rewrite.Costs(v, p)
		if err != nil || len(costs) != len(p.Operations) {
			t.Fatalf("%s: %d costs for %d operations, %v", name, len(costs), len(p.Operations), err)
		}
		var sum int64
		for _, c := range costs {
			sum += c
		}
		delta, err := rewrite.Delta(t.Context(), v, p, 0)
		if err != nil {
			t.Fatal(err)
		}
		var archive bytes.Buffer
		if err := delta.Write(&archive); err != nil {
			t.Fatal(err)
		}
		// An edit may change the number of blocks of a file, and the archive ends with two empty ones.
		if over := int64(archive.Len()) - 1024 - sum; over < -1024 || over > 1024 {
			t.Errorf("%s: the operations cost %d bytes, the archive has %d", name, sum, archive.Len())
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWriteErrors(t *testing.T) {
	t.Parallel()
	found, made := reports(t, "git")
	for name, err := range map[string]error{
		"findings": report.FindingsText(brokenPipe{}, found), "plan": report.PlanText(brokenPipe{}, made), "json": report.JSON(brokenPipe{}, found),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
