package rewrite_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/plan"
	"unroot/internal/rewrite"
	"unroot/internal/survey"
)

var update = flag.Bool("update", false, "write the golden sections anew")

// optionSets is what every image is planned with.
var optionSets = []string{
	"",
	"uid=10001 init=never",
	"group=dedicated",
	"uid=10001 group=dedicated init=never",
	"uid=999 setuid=strip init=never",
	"setuid=keep keep-ports init=never",
	"port=80=9080 port=9999=9998 init=never",
	"writable=/srv/cache writable=/etc/app writable=/run init=never",
	"env=HOME=/opt/home env=NEW=1 env=PATH=/x init=never",
	"repeat=1 init=never",
	"repeat=32 init=never",
	"group=dedicated writable=/srv/cache setuid=strip keep-ports init=never",
}

// withInit is what some images are planned with too: the program makes their layers large and tests slow.
var withInit = []string{
	"init=always",
	"init=always target=openshift uid=10001",
	"compat=simple",
	"compat=identities group=dedicated",
	"compat=consistent uid=10001 writable=/srv/cache",
}

// sets is what an image is planned with.
func sets(name string) []string {
	for _, few := range []string{"git.txtar", "insists.txtar", "numeric.txtar", "volumes.txtar"} {
		if strings.HasSuffix(name, "plan/testdata/"+few) {
			return append(slices.Clone(optionSets), withInit...)
		}
	}
	return optionSets
}

// eachImage runs a test for every image that the tests of the pure middle have.
func eachImage(t *testing.T, run func(t *testing.T, img *image.Image)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".txtar" || !strings.Contains(name, "testdata") {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil || !isImage(txtar.Parse(text)) {
			return err
		}
		n++
		t.Run(strings.TrimPrefix(filepath.ToSlash(name), "../"), func(t *testing.T) {
			t.Parallel()
			img, _ := imagetest.Load(t, name)
			run(t, img)
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 20 {
		t.Fatalf("only %d images found", n)
	}
}

// isImage tells this form of archive from those of other rooms.
func isImage(ar *txtar.Archive) bool {
	_, config := imagetest.Section(ar, "config")
	_, whole := imagetest.Section(ar, "image")
	return config || whole
}

const ref = "docker://registry.example/app:1"

// converted is an image before and after.
type converted struct {
	before *image.View
	plan   plan.Plan
	after  rewrite.Result
}

func convert(t *testing.T, v *image.View, options string) converted {
	t.Helper()
	opts, err := imagetest.Options(options)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(survey.Make(v), opts)
	if err != nil {
		t.Fatal(err)
	}
	res, err := rewrite.Image(t.Context(), v, p, ref)
	if err != nil {
		t.Fatal(err)
	}
	return converted{v, p, res}
}
