package record

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want := Record{Version: Version, Source: "sha256:00", User: "101:0", Arbitrary: true,
		Ports:     []Port{{From: 80, To: 8080, Proto: "tcp"}},
		Ephemeral: []string{"/run"}, Persistent: []string{"/data"},
		Open: []Open{{ID: "passwd-entry", Path: "/etc/passwd", What: "no entry"}}}
	text, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, ok, err := Read(map[string]string{Label: text, "other": "x"})
	if err != nil || !ok {
		t.Fatalf("ok %v, error %v", ok, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	if _, ok, err := Read(map[string]string{"other": "x"}); ok || err != nil {
		t.Errorf("an image without a record: ok %v, error %v", ok, err)
	}
	for name, value := range map[string]string{
		"JSON":    "{",
		"version": `{"version":2}`,
		"bytes":   strings.Repeat(" ", maxSize+1),
	} {
		if _, ok, err := Read(map[string]string{Label: value}); ok || err == nil {
			t.Errorf("%s: ok %v, error %v", name, ok, err)
		}
	}
}

// FuzzRead: whatever the label holds, Read neither panics nor gives a record of another version, and
// what it gives reads the same when it is written again.
func FuzzRead(f *testing.F) {
	f.Add(`{"version":1,"user":"101:0","arbitrary":true,"ports":[{"from":80,"to":8080,"proto":"tcp"}]}`)
	f.Add(`{"version":2}`)
	f.Add(`null`)
	f.Add(`[1`)
	f.Add(`{"version":1,"ports":[{"from":-1}]}`)
	f.Fuzz(func(t *testing.T, value string) {
		r, ok, err := Read(map[string]string{Label: value})
		if ok == (err != nil) {
			t.Fatalf("ok %v with error %v", ok, err)
		}
		if !ok {
			return
		}
		if r.Version != Version {
			t.Fatalf("version %d", r.Version)
		}
		text, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, ok, err := Read(map[string]string{Label: text})
		if !ok || err != nil {
			t.Fatalf("%s: %v, %v", text, ok, err)
		}
		if second, _ := again.Marshal(); second != text {
			t.Errorf("%s became %s", text, second)
		}
	})
}
