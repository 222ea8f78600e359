package house

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A wall says what a room must never import, directly or through others of its own module.
type wall struct {
	room  string // below internal
	never string // "any sibling", a room, or a package path; a path with "/" at its end means all below
	why   string
}

var effects = []string{"os", "os/exec", "os/signal", "os/user", "net", "net/http", "syscall", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "path/filepath", "io/ioutil"}

// pure rooms decide or describe; what they say must depend on nothing but what they are given.
var pure = []string{"account", "rootfs", "finding", "image", "layer", "entrypoint", "recipe", "record", "survey", "check", "plan", "rewrite", "report", "sample", "trace", "verify", "learn", "startup", "explain"}

var walls = []wall{
	{"account", "any sibling", "a leaf: everything else speaks of identities"},
	{"finding", "any sibling", "a leaf: every room may give findings"},
	{"record", "any sibling", "a leaf: the judge of a candidate reads it and must not know the plan"},
	{"trace", "any sibling", "a leaf: what a process did is a fact, whoever looks at it"},
	{"rootfs", "image", "the tree is built before there is a view"},
	{"image", "store", "a view is made of readers, so that store and sandbox never meet"},
	{"image", "github.com/google/go-containerregistry/", "registries belong to the store"},
	{"layer", "image", "a layer knows nothing of configs"},
	{"entrypoint", "plan", "what starts is a fact, not a decision"},
	{"recipe", "plan", "data does not decide"},
	{"recipe", "check", "data does not judge"},
	{"survey", "plan", "facts come before the decision"},
	{"survey", "check", "facts come before the judgement"},
	{"check", "plan", "a finding holds whether or not it can be mended"},
	{"check", "store", "checks look at a view, wherever it came from"},
	{"plan", "store", "a decision reads nothing"},
	{"plan", "rewrite", "a decision does not carry itself out"},
	{"plan", "github.com/google/go-containerregistry/", "a decision reads nothing"},
	{"rewrite", "store", "a lowering writes nothing"},
	{"store", "check", "transport does not judge"},
	{"store", "plan", "transport does not decide"},
	{"report", "store", "words need no transport"},
	{"report", "sandbox", "words need no run"},
	{"verify", "plan", "a judge must not trust the plan that it judges"},
	{"verify", "rewrite", "a judge does not mend"},
	{"verify", "sandbox", "a runner is handed in"},
	{"verify", "store", "a judge looks at images, wherever they came from"},
	{"learn", "store", "the rounds put nothing"},
	{"learn", "sandbox", "the runner is handed in"},
	{"learn", "report", "what was learnt is put into words by others"},
	{"explain", "plan", "words mean the same whatever is decided"},
	{"explain", "store", "words need no transport"},
	{"explain", "sandbox", "words need no run"},
	{"sandbox", "store", "what runs an image does not fetch it"},
	{"sandbox", "plan", "what runs an image does not decide how it is changed"},
	{"sandbox", "check", "what runs an image does not judge it"},
}

func TestWalls(t *testing.T) {
	t.Parallel()
	imports := importsOf(t)
	for _, w := range walls {
		found := false
		for path, deps := range imports {
			if !inRoom(path, w.room) {
				continue
			}
			found = true
			for _, dep := range deps {
				if forbidden(w, dep) {
					t.Errorf("room %s imports %s: %s", strings.TrimPrefix(path, "unroot/internal/"), dep, w.why)
				}
			}
		}
		if !found {
			t.Errorf("room %s is gone: take its walls away or give them to the room that took its place", w.room)
		}
	}
}

// inRoom reports whether a package is a room's, or a chamber of it.
func inRoom(path, room string) bool {
	return path == "unroot/internal/"+room || strings.HasPrefix(path, "unroot/internal/"+room+"/")
}

func forbidden(w wall, dep string) bool {
	switch {
	case w.never == "any sibling":
		return strings.HasPrefix(dep, "unroot/")
	case strings.HasSuffix(w.never, "/"):
		return strings.HasPrefix(dep, w.never)
	}
	return inRoom(dep, w.never)
}

// TestPureRooms looks at what the rooms import themselves: a library may open files, a room may not.
func TestPureRooms(t *testing.T) {
	t.Parallel()
	direct := directImports(t)
	for _, room := range pure {
		list, ok := direct["unroot/internal/"+room]
		if !ok {
			t.Errorf("pure room %s is gone", room)
		}
		for _, dep := range list {
			if slices.Contains(effects, dep) || strings.HasPrefix(dep, "golang.org/x/sys/") {
				t.Errorf("room %s imports %s: effects belong to the rim", room, dep)
			}
		}
	}
}

// TestEveryRoomIsListed keeps the list of pure rooms complete: a new room is pure or says why not.
func TestEveryRoomIsListed(t *testing.T) {
	t.Parallel()
	rim := map[string]string{
		"store":      "opens and puts images",
		"sandbox":    "runs images",
		"demoserver": "runs inside the demo's image",
		"oracle":     "looks for the programs that judge tests",
		"house":      "this test",
		"imagetest":  "builds images for tests",
	}
	for path := range directImports(t) {
		room, ok := strings.CutPrefix(path, "unroot/internal/")
		if !ok || strings.Contains(room, "/") {
			continue
		}
		if !slices.Contains(pure, room) && rim[room] == "" {
			t.Errorf("room %s is neither pure nor of the rim: say which", room)
		}
	}
}

// heavy is what would make a program that goes into images large or slow to start.
var heavy = []string{"fmt", "net", "os/exec", "os/user", "log", "regexp", "encoding/json", "text/template"}

// TestSmallProgram: what goes into images is made of account, its own rooms and golang.org/x/sys.
func TestSmallProgram(t *testing.T) {
	t.Parallel()
	deps := importsOf(t)["unroot/cmd/unroot-init"]
	if len(deps) == 0 {
		t.Fatal("unroot-init is gone")
	}
	for _, dep := range deps {
		first, _, _ := strings.Cut(dep, "/")
		switch {
		case slices.Contains(heavy, dep):
			t.Errorf("unroot-init imports %s: it would grow", dep)
		case dep == "unroot/internal/account", inRoom(dep, "startup") && dep != "unroot/internal/startup/program":
		case first == "unroot", strings.Contains(first, ".") && !strings.HasPrefix(dep, "golang.org/x/sys/"):
			t.Errorf("unroot-init imports %s: it is made of account, its own rooms and golang.org/x/sys", dep)
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "unroot/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var l listed
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

func importsOf(t *testing.T) map[string][]string {
	all := map[string][]string{}
	for _, l := range list(t) {
		all[l.ImportPath] = l.Deps
	}
	return all
}

func directImports(t *testing.T) map[string][]string {
	all := map[string][]string{}
	for _, l := range list(t) {
		all[l.ImportPath] = l.Imports
	}
	return all
}
