package rewrite_test

import (
	"strings"
	"testing"

	"unroot/internal/finding"
	"unroot/internal/imagetest"
	"unroot/internal/plan"
	"unroot/internal/rewrite"
	"unroot/internal/rootfs"
	"unroot/internal/startup"
)

// TestEditOfKept: what is copied at start has the plan's edits, whether a link or the file itself stands
// at its path.
func TestEditOfKept(t *testing.T) {
	t.Parallel()
	const file, content = "/etc/app.conf", "write=yes\n"
	for _, kept := range []string{file, "/etc"} {
		t.Run(kept, func(t *testing.T) {
			t.Parallel()
			v := imagetest.View(t, imagetest.Parse(t, "-- config --\n{}\n-- "+file+" 0600 --\n"+content))
			p := plan.Plan{}
			do := func(e plan.Effect) { p.Operations = append(p.Operations, plan.Operation{Effect: e}) }
			do(plan.Keep{Path: kept, To: startup.Seed + kept, Size: int64(len(content))})
			if kept == file {
				do(plan.Link{Path: file, To: startup.Run + file})
			}
			do(plan.EditFile{Path: file, Before: []byte(content), Edits: []finding.Edit{{New: "port=2121\n"}}})
			res, err := rewrite.Image(t.Context(), v, p, ref)
			if err != nil {
				t.Fatal(err)
			}
			edited := []string{startup.Seed + file, file}
			if kept == file {
				edited = edited[:1]
				if node, err := res.View.Tree.Lookup(file); err != nil || node.Entry().Kind != rootfs.Symlink {
					t.Errorf("%s is no link: %v", file, err)
				}
			}
			for _, at := range edited {
				if got, err := res.View.Content(at); err != nil || string(got) != "port=2121\n"+content {
					t.Errorf("%s: %q, %v", at, got, err)
				}
			}
			text, err := rewrite.Dockerfile(v, p, ref)
			if err != nil {
				t.Fatal(err)
			}
			edit, keep := strings.Index(string(text), "base64 -d > "+file), strings.Index(string(text), "cp -a")
			if edit < 0 || keep < edit {
				t.Errorf("kept before it is edited:\n%s", text)
			}
		})
	}
}
