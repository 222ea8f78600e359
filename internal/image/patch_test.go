package image

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc, want string
		change          Change
	}{
		{"set", `{ "config" : {"User":"root" , "X":1e5}}`, `{ "config" : {"User":"101:0" , "X":1e5}}`, Change{Path: []string{"config", "User"}, Value: "101:0"}},
		{"set in another case", `{"config":{"user":"root"}}`, `{"config":{"user":"1"}}`, Change{Path: []string{"config", "User"}, Value: "1"}},
		{"set missing", "{\"config\":{\n  \"A\": 1\n}}", "{\"config\":{\n  \"A\": 1,\"User\":\"1\"\n}}", Change{Path: []string{"config", "User"}, Value: "1"}},
		{"set in empty object", `{"config":{ }}`, `{"config":{"User":"1" }}`, Change{Path: []string{"config", "User"}, Value: "1"}},
		{"set in null", `{"config":null}`, `{"config":{"User":"1"}}`, Change{Path: []string{"config", "User"}, Value: "1"}},
		{"set without parent", `{}`, `{"config":{"Labels":{"a.b/c":"<d>"}}}`, Change{Path: []string{"config", "Labels", "a.b/c"}, Value: "<d>"}},
		{"set element", `{"Env":["A=1","B=2" ,"C=3"]}`, `{"Env":["A=1","B=9" ,"C=3"]}`, Change{Path: []string{"Env", "1"}, Value: "B=9"}},
		{"append", `{"Env":["A=1" ]}`, `{"Env":["A=1","B=2" ]}`, Change{Path: []string{"Env"}, Op: Append, Value: "B=2"}},
		{"append to empty", `{"Env":[ ]}`, `{"Env":["B=2" ]}`, Change{Path: []string{"Env"}, Op: Append, Value: "B=2"}},
		{"append to null", `{"Env":null}`, `{"Env":["B=2"]}`, Change{Path: []string{"Env"}, Op: Append, Value: "B=2"}},
		{"append to missing", `{"A":"]"}`, `{"A":"]","Env":["B=2"]}`, Change{Path: []string{"Env"}, Op: Append, Value: "B=2"}},
		{"rename keeps the value", `{"ExposedPorts":{"80/tcp":{ }, "x":{}}}`, `{"ExposedPorts":{"8080/tcp":{ }, "x":{}}}`, Change{Path: []string{"ExposedPorts", "80/tcp"}, Op: Rename, Value: "8080/tcp"}},
		{"delete first", `{"a":{"x":1, "y":2}}`, `{"a":{"y":2}}`, Change{Path: []string{"a", "x"}, Op: Delete}},
		{"delete last", `{"a":{"x":1, "y":2 }}`, `{"a":{"x":1 }}`, Change{Path: []string{"a", "y"}, Op: Delete}},
		{"delete only", `{"a":{ "x":1 }}`, `{"a":{ }}`, Change{Path: []string{"a", "x"}, Op: Delete}},
		{"delete nothing", `{"a":{}}`, `{"a":{}}`, Change{Path: []string{"a", "b", "c"}, Op: Delete}},
		{"strings with brackets and quotes", `{"a":"}\"]{","b":[{"c":"\\"}],"d":1}`, `{"a":"}\"]{","b":[{"c":"\\"}],"d":2}`, Change{Path: []string{"d"}, Value: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Patch([]byte(tt.doc), tt.change)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestPatchRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, doc, want string }{
		{"not JSON", `{"config":`, "not a JSON document"},
		{"twice", `{"config":{"User":"a","User":"b"}}`, "stands twice"},
		{"twice in two cases", `{"config":{"User":"a","user":"b"}}`, "stands twice"},
		{"not an object", `{"config":[1]}`, "not an index"},
		{"a number", `{"config":7}`, "neither an object nor an array"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Patch([]byte(tt.doc), Change{Path: []string{"config", "User"}, Value: "1"})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// FuzzPatch: whatever the document, a change either is refused or gives JSON in which exactly the
// named place has the new value, as encoding/json reads it.
func FuzzPatch(f *testing.F) {
	f.Add(`{"config":{"User":"root","Env":["A=b"]},"x":[1,2,{"y":null}]}`)
	f.Add(`{"config":null}`)
	f.Add(` { } `)
	f.Add(`{"config":{"user":"\u0041\"}"}}`)
	f.Fuzz(func(t *testing.T, doc string) {
		got, err := Patch([]byte(doc), Change{Path: []string{"config", "User"}, Value: "7:0"})
		if err != nil {
			return
		}
		var before, after any
		if err := json.Unmarshal([]byte(doc), &before); err != nil {
			t.Fatalf("a document that is not JSON was patched: %v", err)
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("patched %q to %q: %v", doc, got, err)
		}
		var read struct{ Config struct{ User string } }
		if err := json.Unmarshal(got, &read); err != nil && !errors.As(err, new(*json.UnmarshalTypeError)) {
			t.Fatal(err)
		} else if err == nil && read.Config.User != "7:0" {
			t.Fatalf("%q reads as user %q", got, read.Config.User)
		}
		forget(before)
		forget(after)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("more moved than the user (-before +after):\n%s", diff)
		}
	})
}

// forget removes the user from a decoded document, and a config that then is empty.
func forget(doc any) {
	top, _ := doc.(map[string]any)
	for name, value := range top {
		if !strings.EqualFold(name, "config") {
			continue
		}
		config, _ := value.(map[string]any)
		for key := range config {
			if strings.EqualFold(key, "User") {
				delete(config, key)
			}
		}
		if len(config) == 0 {
			delete(top, name)
		}
	}
}
