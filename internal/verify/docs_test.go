package verify_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"unroot/internal/verify"
)

// TestDocumented: the page about proofs names every field and every reason.
func TestDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/proof.md")
	if err != nil {
		t.Fatal(err)
	}
	for field, where := range fields(reflect.TypeFor[verify.Proof](), map[string]string{}) {
		if !strings.Contains(string(page), "`"+field+"`") {
			t.Errorf("field %q of %s is not documented", field, where)
		}
	}
	source, err := os.ReadFile("verdict.go")
	if err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(`ReasonID = "([a-z-]+)"`).FindAllSubmatch(source, -1)
	if len(ids) < 20 {
		t.Fatalf("%d ids", len(ids))
	}
	for _, id := range ids {
		if !strings.Contains(string(page), "| `"+string(id[1])+"` |") {
			t.Errorf("reason %q is not documented", id[1])
		}
	}
}

// fields collects the JSON names of a type and of all that it holds.
func fields(of reflect.Type, all map[string]string) map[string]string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Array {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct {
		return all
	}
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name != "" {
			all[name] = of.Name()
		}
		fields(f.Type, all)
	}
	return all
}
