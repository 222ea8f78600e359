package rewrite_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/plan"
	"unroot/internal/record"
)

// TestOnlyThePlanMoved is law 1: the difference between the image before and after is exactly the
// plan's effects.
func TestOnlyThePlanMoved(t *testing.T) {
	t.Parallel()
	eachImage(t, func(t *testing.T, img *image.Image) {
		before := imagetest.View(t, img)
		for _, options := range sets(t.Name()) {
			c := convert(t, before, options)
			if c.plan.Empty() {
				continue
			}
			configKept(t, c)
			effectsMade(t, c)
			layersKept(t, c)
			manifestKept(t, c)
			treeKept(t, c)
		}
	})
}

// configKept compares the configs before and after member by member, as bytes, but for those that the
// plan names.
func configKept(t *testing.T, c converted) {
	t.Helper()
	moved := moving(c)
	compareJSON(t, "", c.before.Config.Bytes(), c.after.Image.Config, func(p string) bool { return slices.Contains(moved, p) })
}

// moving is the paths in the config, in lower case, that the plan's effects and a layer more change.
func moving(c converted) []string {
	paths := []string{"rootfs.diff_ids", "history", "config.labels." + record.Label}
	if c.before.Image.MediaType != ocispec.MediaTypeImageManifest {
		paths = append(paths, "config.labels."+ocispec.AnnotationBaseImageDigest, "config.labels."+ocispec.AnnotationBaseImageName)
	}
	for _, o := range c.plan.Operations {
		switch e := o.Effect.(type) {
		case plan.SetUser:
			paths = append(paths, "config.user")
		case plan.SetEnv:
			if e.Index >= 0 {
				paths = append(paths, "config.env."+strconv.Itoa(e.Index))
			} else {
				paths = append(paths, "config.env.+") // one more element
			}
		case plan.SetArg:
			field := strings.ToLower(e.Field)
			if e.Field == "Healthcheck" {
				field += ".test"
			}
			paths = append(paths, "config."+field+"."+strconv.Itoa(e.Index))
		case plan.SetArgs:
			paths = append(paths, "config."+strings.ToLower(e.Field))
		case plan.MovePort:
			paths = append(paths, "config.exposedports."+e.Key, "config.exposedports."+e.To)
		}
	}
	return paths
}

type jsonMember struct {
	key string
	raw json.RawMessage
}

// membersOf reads an object or array with its own decoder: keys in order, values as their bytes.
func membersOf(t *testing.T, raw json.RawMessage) (members []jsonMember, container bool) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	open, err := dec.Token()
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	if open != json.Delim('{') && open != json.Delim('[') {
		return nil, false
	}
	for i := 0; dec.More(); i++ {
		m := jsonMember{key: strconv.Itoa(i)}
		if open == json.Delim('{') {
			key, err := dec.Token()
			if err != nil {
				t.Fatal(err)
			}
			m.key = key.(string)
		}
		if err := dec.Decode(&m.raw); err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
	}
	return members, true
}

// compareJSON compares two values: equal bytes, or containers with the same members in the same order
// but for the moved ones.
func compareJSON(t *testing.T, at string, before, after json.RawMessage, moved func(string) bool) {
	t.Helper()
	if bytes.Equal(before, after) {
		return
	}
	old, isOld := membersOf(t, before)
	now, isNow := membersOf(t, after)
	if !isOld && string(before) == "null" && isNow { // a container that came into being
		isOld = true
	}
	if !isOld || !isNow {
		t.Errorf("%s: %s became %s", at, before, after)
		return
	}
	old, now = still(at, old, moved), still(at, now, moved)
	for i := range max(len(old), len(now)) {
		switch {
		case i >= len(old) && onlyMoved(t, join(at, now[i].key), now[i].raw, moved): // made for a moved member
		case i >= len(old):
			t.Errorf("%s: added %s", join(at, now[i].key), now[i].raw)
		case i >= len(now):
			t.Errorf("%s: gone", join(at, old[i].key))
		case old[i].key != now[i].key:
			t.Errorf("%s: %s stands where %s was", at, now[i].key, old[i].key)
		default:
			compareJSON(t, join(at, old[i].key), old[i].raw, now[i].raw, moved)
		}
	}
}

// still is the members that do not move.
func still(at string, members []jsonMember, moved func(string) bool) []jsonMember {
	return slices.DeleteFunc(slices.Clone(members), func(m jsonMember) bool { return moved(join(at, m.key)) })
}

func onlyMoved(t *testing.T, at string, raw json.RawMessage, moved func(string) bool) bool {
	t.Helper()
	if moved(at) || moved(at[:strings.LastIndexByte(at, '.')+1]+"+") {
		return true
	}
	members, container := membersOf(t, raw)
	return container && len(members) > 0 && !slices.ContainsFunc(members, func(m jsonMember) bool { return !onlyMoved(t, join(at, m.key), m.raw, moved) })
}

func join(at, key string) string {
	switch {
	case at == "":
		return strings.ToLower(key)
	case strings.HasPrefix(at, "config.labels"), strings.HasPrefix(at, "config.exposedports"):
		return at + "." + key
	}
	return at + "." + strings.ToLower(key)
}

// effectsMade reads the candidate's config and compares it with what the plan says.
func effectsMade(t *testing.T, c converted) {
	t.Helper()
	before, after := c.before.Config, c.after.View.Config
	for _, o := range c.plan.Operations {
		switch e := o.Effect.(type) {
		case plan.SetUser:
			same(t, "User", e.To, after.User())
		case plan.SetEnv:
			value, _ := after.Getenv(e.Name)
			same(t, "Env "+e.Name, e.To, value)
		case plan.SetArgs:
			same(t, e.Field, strings.Join(e.To, "\x00"), strings.Join(list(after, e.Field), "\x00"))
		case plan.SetArg:
			same(t, e.Field, e.To, list(after, e.Field)[e.Index])
			same(t, e.Field+" before", e.From, list(before, e.Field)[e.Index])
		case plan.MovePort:
			keys := map[string]bool{}
			for _, p := range after.ExposedPorts() {
				keys[p.Key] = true
			}
			if keys[e.Key] || !keys[e.To] {
				t.Errorf("port %s → %s: exposed are %v", e.Key, e.To, after.ExposedPorts())
			}
		}
	}
	rec, ok, err := record.Read(after.Labels())
	if !ok || err != nil {
		t.Fatalf("the record: %v, %v", ok, err)
	}
	same(t, "record's user", after.User(), rec.User)
	same(t, "record's source", c.before.Image.Digest.String(), rec.Source)
	if rec.Arbitrary != c.plan.ForArbitrary() || len(rec.Open) != len(c.plan.Open) || len(rec.Ports) != len(c.plan.Ports) {
		t.Errorf("record %+v of plan %+v", rec, c.plan)
	}
}

func same(t *testing.T, what, want, got string) {
	t.Helper()
	if want != got {
		t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func list(c image.Config, field string) []string {
	switch field {
	case "Entrypoint":
		return c.Entrypoint()
	case "Cmd":
		return c.Cmd()
	}
	return c.Healthcheck()
}

// layersKept: original layers keep their digests, diff ids and history; at most one is added.
func layersKept(t *testing.T, c converted) {
	t.Helper()
	before, after := c.before.Image, c.after.Image
	n := len(before.Layers)
	added := len(after.Layers) - n
	if added < 0 || added > 1 || (added == 0) != (c.after.Layer == 0) {
		t.Fatalf("%d layers became %d", n, len(after.Layers))
	}
	for i, l := range before.Layers {
		if diff := cmp.Diff(l.Descriptor(), after.Layers[i].Descriptor()); diff != "" {
			t.Errorf("layer %d:\n%s", i, diff)
		}
	}
	if diff := cmp.Diff(c.before.Config.DiffIDs(), c.after.View.Config.DiffIDs()[:n]); diff != "" {
		t.Errorf("diff ids:\n%s", diff)
	}
	type config struct {
		History []json.RawMessage
		RootFS  struct{ Type json.RawMessage }
	}
	var old, now config
	if json.Unmarshal(before.Config, &old) != nil || json.Unmarshal(after.Config, &now) != nil {
		t.Fatal("configs that do not parse")
	}
	if diff := cmp.Diff(old.History, now.History[:len(old.History)]); diff != "" || len(now.History) > len(old.History)+1 {
		t.Errorf("history:\n%s", diff)
	}
	if len(old.History) > 0 && (len(now.History) != len(old.History)+1 || strings.Contains(string(now.History[len(old.History)]), "empty_layer") != (added == 0)) {
		t.Errorf("history %s", now.History)
	}
}

// manifestKept: of the manifest, only the config's descriptor, one layer more, and the annotations
// that name the base moved.
func manifestKept(t *testing.T, c converted) {
	t.Helper()
	before, after := c.before.Image, c.after.Image
	if before.Manifest == nil {
		if after.Manifest != nil || after.Digest != digest.FromBytes(after.Config) {
			t.Error("a manifest came into being")
		}
		return
	}
	moved := []string{"config.digest", "config.size", "layers.+", "layers." + strconv.Itoa(len(before.Layers))}
	if before.MediaType == ocispec.MediaTypeImageManifest {
		moved = append(moved, "annotations."+ocispec.AnnotationBaseImageDigest, "annotations."+ocispec.AnnotationBaseImageName)
	}
	compareJSON(t, "", before.Manifest, after.Manifest, func(p string) bool { return slices.Contains(moved, p) })
	var m ocispec.Manifest
	if err := json.Unmarshal(after.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	if m.Config.Digest != digest.FromBytes(after.Config) || m.Config.Size != int64(len(after.Config)) || after.Digest != digest.FromBytes(after.Manifest) {
		t.Errorf("the manifest names config %s of %d bytes", m.Config.Digest, m.Config.Size)
	}
	for i, l := range m.Layers {
		if diff := cmp.Diff(l, after.Layers[i].Descriptor()); diff != "" {
			t.Errorf("layer %d of the manifest (-) and of the image (+):\n%s", i, diff)
		}
	}
}

// isNew reports whether the image had no such file.
func isNew(c converted, p string) bool {
	_, err := c.before.Tree.Lookup(p)
	return err != nil
}

// treeKept: of the tree, only the paths that the plan's operations name differ.
func treeKept(t *testing.T, c converted) {
	t.Helper()
	touched := map[string]bool{}
	var kept []string
	for _, o := range c.plan.Operations {
		switch e := o.Effect.(type) {
		case plan.MakeDir:
			touched[e.Path] = true
		case plan.Grant:
			touched[e.Path] = true
		case plan.GrantFile:
			touched[e.Path] = true
		case plan.WriteFile:
			touched[e.Path] = true
		case plan.EditFile:
			touched[e.Path] = true
		case plan.Strip:
			touched[e.Path] = true
		case plan.Remove:
			touched[e.Path] = true
		case plan.AddProgram:
			touched[e.Path] = true
		case plan.Link:
			touched[e.Path] = true
		case plan.Keep:
			kept = append(kept, e.To)
		}
	}
	untouched := func(rows []row) []row {
		return slices.DeleteFunc(rows, func(r row) bool {
			return touched[r.Path] || slices.ContainsFunc(kept, func(to string) bool {
				return r.Path == to || strings.HasPrefix(r.Path, to+"/") || strings.HasPrefix(to, r.Path+"/") && isNew(c, r.Path)
			})
		})
	}
	if diff := cmp.Diff(untouched(tree(c.before)), untouched(tree(c.after.View))); diff != "" {
		t.Errorf("files that no operation names (-before +after):\n%s", diff)
	}
}
