package image

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseConfig(t *testing.T) {
	t.Parallel()
	c, err := ParseConfig([]byte(`{"os":"linux","architecture":"arm","variant":"v7","config":{"User":"app:0","Env":["A=1","PATH=/bin","A=2","B=","=x"],"Entrypoint":["/e"],"Cmd":["a","b"],
		"WorkingDir":"srv","Volumes":{"/b":{},"/a":{}},"ExposedPorts":{"80":{},"53/UDP":{},"53/tcp":{},"8080/tcp":{},"0":{},"70000":{},"x/tcp":{},"1-9":{}},
		"Labels":{"k":"v"},"Healthcheck":{"Test":["CMD","x"]}},"rootfs":{"type":"layers","diff_ids":[]},"history":[{}]}`))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := c.Getenv("A")
	b, hasB := c.Getenv("B")
	_, hasC := c.Getenv("C")
	ports := []string{}
	for _, p := range c.ExposedPorts() {
		ports = append(ports, p.String()+"="+p.Key)
	}
	got := []any{c.User(), a, b, hasB, hasC, c.Entrypoint(), c.Cmd(), c.WorkingDir(), c.Volumes(), c.Labels(), c.Healthcheck(), c.Platform(), c.HasHistory(), ports}
	want := []any{"app:0", "2", "", true, false, []string{"/e"}, []string{"a", "b"}, "/srv", []string{"/a", "/b"}, map[string]string{"k": "v"}, []string{"CMD", "x"}, "linux/arm/v7", true,
		[]string{"53/udp=53/UDP", "53/tcp=53/tcp", "80/tcp=80", "8080/tcp=8080/tcp"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	c.Labels()["k"] = "changed"
	if c.Labels()["k"] != "v" {
		t.Error("a caller can change the labels")
	}
}

func TestParseConfigOfNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{}`, `{"config":null}`, ` {"config":{"Env":null,"Healthcheck":null,"Volumes":null}} `} {
		c, err := ParseConfig([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if c.WorkingDir() != "/" || c.User() != "" || len(c.ExposedPorts())+len(c.Volumes())+len(c.Healthcheck())+len(c.DiffIDs()) > 0 || c.HasHistory() {
			t.Errorf("%s: %+v", text, c)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``: "not JSON", `{`: "not JSON", `null`: "not a JSON object", `[]`: "cannot unmarshal", `"x"`: "cannot unmarshal", `{} {}`: "not JSON",
		`{"os":"windows"}`:                       `"windows"`,
		`{"config":{"Env":"A=1"}}`:               "Env",
		`{"config":{"User":7}}`:                  "User",
		`{"config":[]}`:                          "config",
		`{"rootfs":{"diff_ids":["sha256:x"]}}`:   "diff id",
		`{"rootfs":{"diff_ids":["x"]}}`:          "diff id",
		`{"config":{"User":"a","user":"b"}}`:     "stands twice",
		`{"config":{"User":"a"},"Config":{}}`:    "stands twice",
		`{"rootfs":{},"rootfs":{}}`:              "stands twice",
		`{"config":{"Env":[],"ENV":["A=root"]}}`: "stands twice",
	} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// FuzzParseConfig: what is taken can be patched, and reads the same afterwards but for what was set.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"os":"linux","config":{"User":"0","Env":["A=1"],"ExposedPorts":{"80/tcp":{}}},"rootfs":{"type":"layers","diff_ids":[]}}`))
	f.Add([]byte(`{"config":null}`))
	f.Add([]byte(`{"CONFIG":{"uſer":"x"}}`))
	f.Add([]byte(`{"config":{"Healthcheck":{"Test":["NONE"]}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseConfig(raw)
		if err != nil {
			return
		}
		next, err := c.Patch(Change{Path: []string{"config", "User"}, Value: "7:0"}, Change{Path: []string{"config", "Env"}, Op: Append, Value: "UNROOT=1"})
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if next.User() != "7:0" {
			t.Fatalf("%q became %q, with user %q", raw, next.Bytes(), next.User())
		}
		if v, _ := next.Getenv("UNROOT"); v != "1" {
			t.Fatalf("%q became %q, with environment %q", raw, next.Bytes(), next.Env())
		}
		same := func(c Config) string {
			return fmt.Sprint(c.Platform(), c.Entrypoint(), c.Cmd(), c.WorkingDir(), c.Volumes(), c.ExposedPorts(), c.Labels(), c.Healthcheck(), c.DiffIDs(), c.HasHistory(), len(c.Env()))
		}
		want := strings.TrimSuffix(same(c), fmt.Sprint(len(c.Env()))) + fmt.Sprint(len(c.Env())+1)
		if got := same(next); got != want {
			t.Errorf("%q became %q", raw, next.Bytes())
		}
	})
}
