package finding

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"testing"
)

func TestApply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc string
		edits     []Edit
		want      string
	}{
		{"none", "abc", nil, "abc"},
		{"replace", "abc", []Edit{{1, 2, "XY"}}, "aXYc"},
		{"delete", "abc", []Edit{{1, 2, ""}}, "ac"},
		{"insert at the start and the end", "abc", []Edit{{3, 3, ">"}, {0, 0, "<"}}, "<abc>"},
		{"any order", "abc", []Edit{{2, 3, "C"}, {0, 1, "A"}}, "AbC"},
		{"side by side", "abc", []Edit{{0, 1, "A"}, {1, 2, "B"}}, "ABc"},
		{"insert before a replaced byte", "abc", []Edit{{1, 2, "B"}, {1, 1, "-"}}, "a-Bc"},
		{"equal edits count once", "abc", []Edit{{1, 2, "B"}, {1, 2, "B"}, {3, 3, "!"}, {3, 3, "!"}}, "aBc!"},
		{"equal edits with another between count once", "abc", []Edit{{1, 1, "x"}, {1, 1, "y"}, {1, 1, "x"}}, "axybc"},
		{"empty document", "", []Edit{{0, 0, "x"}}, "x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc := []byte(tt.doc)
			edits := slices.Clone(tt.edits)
			got, err := Apply(doc, edits)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			if string(doc) != tt.doc || !slices.Equal(edits, tt.edits) {
				t.Error("Apply changed what it was given")
			}
		})
	}
}

func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	for _, edits := range [][]Edit{{{-1, 0, ""}}, {{2, 1, ""}}, {{0, 4, ""}}, {{4, 4, "x"}}} {
		if _, err := Apply([]byte("abc"), edits); err == nil || errors.Is(err, ErrOverlap) {
			t.Errorf("%+v: %v", edits, err)
		}
	}
	for _, edits := range [][]Edit{{{0, 2, ""}, {1, 3, ""}}, {{0, 2, "x"}, {0, 2, "y"}}, {{0, 3, ""}, {1, 1, "x"}}} {
		if _, err := Apply([]byte("abc"), edits); !errors.Is(err, ErrOverlap) {
			t.Errorf("%+v: %v", edits, err)
		}
	}
}

// FuzzApply compares with the plain way: from the last edit to the first, each by itself.
func FuzzApply(f *testing.F) {
	f.Add([]byte("hello world"), 0, 5, "HELLO", 6, 11, "W", 3, 3, "-")
	f.Add([]byte("abc"), 1, 1, "x", 1, 1, "y", 1, 1, "x")
	f.Add([]byte(""), 0, 0, "", 0, 0, "a", -1, 5, "b")
	f.Fuzz(func(t *testing.T, doc []byte, s1, e1 int, n1 string, s2, e2 int, n2 string, s3, e3 int, n3 string) {
		edits := []Edit{{s1, e1, n1}, {s2, e2, n2}, {s3, e3, n3}}
		before := bytes.Clone(doc)
		got, err := Apply(doc, edits)
		if !bytes.Equal(doc, before) {
			t.Fatal("the document changed")
		}
		if err != nil {
			return
		}
		var once []Edit
		for _, e := range edits {
			if !slices.Contains(once, e) {
				once = append(once, e)
			}
		}
		slices.SortStableFunc(once, func(a, b Edit) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End)) })
		want := bytes.Clone(doc)
		for _, e := range slices.Backward(once) {
			want = slices.Concat(want[:e.Start], []byte(e.New), want[e.End:])
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%q with %+v: got %q, want %q", doc, edits, got, want)
		}
	})
}

func TestSeverity(t *testing.T) {
	t.Parallel()
	for s := Info; s <= Critical; s++ {
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Severity
		if err := json.Unmarshal(text, &back); err != nil || back != s {
			t.Errorf("%s came back as %s, %v", s, back, err)
		}
	}
	var s Severity
	if err := s.UnmarshalText([]byte("awful")); err == nil {
		t.Error("no error")
	}
	if got := Severity(9).String(); got != "severity(9)" {
		t.Error(got)
	}
}

func TestLocation(t *testing.T) {
	t.Parallel()
	for want, l := range map[string]Location{
		"config.User": {Field: "config.User"}, "/a:3": {Path: "/a", Line: 3}, "/a": {Path: "/a"}, "/v": {Field: "config.Volumes", Path: "/v"}, "": {},
	} {
		if got := l.String(); got != want {
			t.Errorf("%+v is %q, want %q", l, got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	sorted := []Finding{
		{ID: "z", Severity: Critical},
		{ID: "a", Severity: High},
		{ID: "b", Severity: High, Location: Location{Path: "/a", Line: 1}},
		{ID: "b", Severity: High, Location: Location{Path: "/a", Line: 2}},
		{ID: "b", Severity: High, Location: Location{Path: "/b"}},
		{ID: "b", Severity: High, Location: Location{Path: "/b"}, Detail: "more"},
		{ID: "a"},
	}
	for i := range sorted {
		for j := range sorted {
			if got, want := Compare(sorted[i], sorted[j]), cmp.Compare(i, j); got != want {
				t.Errorf("%+v and %+v: %d, want %d", sorted[i], sorted[j], got, want)
			}
		}
	}
}
