package account

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const debianPasswd = `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
toor:*:0:0::/root:
`

func TestPasswdLookups(t *testing.T) {
	t.Parallel()
	text := "# comment\n\n  \t\n" + debianPasswd +
		"short:x:5\n" +
		"words:x:five:5::/:\n" +
		"minus:x:-1:5::/:\n" +
		"noid:x:4294967295:0::/:\n" +
		"last:x:4294967294:4294967294::/:\n" +
		":x:7:7::/:\n" +
		"bare:x:8:9\n" +
		" crlf:x:10:11:c:/home/crlf:/bin/sh\r\n" +
		"root:x:12:12:second::\n" +
		"colons:x:13:13::/h:/bin/sh:more\n" +
		"+nis:::::/x:\n+::::::\n-gone::::::\n" +
		"unfinished:x:14:14::/:/bin/sh"
	p := ParsePasswd([]byte(text))
	if diff := cmp.Diff(text, string(p.Bytes())); diff != "" {
		t.Fatalf("bytes changed (-in +out):\n%s", diff)
	}
	byName := map[string]PasswdEntry{
		"root":       {"root", "x", 0, 0, "root", "/root", "/bin/bash"},
		"toor":       {"toor", "*", 0, 0, "", "/root", ""},
		"last":       {"last", "x", MaxID, MaxID, "", "/", ""},
		"bare":       {"bare", "x", 8, 9, "", "", ""},
		"crlf":       {"crlf", "x", 10, 11, "c", "/home/crlf", "/bin/sh"},
		"colons":     {"colons", "x", 13, 13, "", "/h", "/bin/sh:more"},
		"unfinished": {"unfinished", "x", 14, 14, "", "/", "/bin/sh"},
	}
	for name, want := range byName {
		got, ok := p.ByName(name)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("ByName(%q): %v\n%s", name, ok, diff)
		}
	}
	for _, name := range []string{"short", "words", "minus", "noid", "", "+nis", "nis", "-gone", "+", "# comment"} {
		if got, ok := p.ByName(name); ok {
			t.Errorf("ByName(%q) = %v, want none", name, got)
		}
	}
	if e, ok := p.ByUID(0); !ok || e.Name != "root" {
		t.Errorf("ByUID(0) = %v: the first match must win", e)
	}
	if _, ok := p.ByUID(7); ok {
		t.Error("an account without a name was found")
	}
	var lines []int
	for _, m := range p.Malformed() {
		lines = append(lines, m.Line)
	}
	if diff := cmp.Diff([]int{7, 8, 9, 10, 12}, lines); diff != "" {
		t.Errorf("malformed lines:\n%s", diff)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	long := "long:x:1:1:" + strings.Repeat("c", MaxLine) + ":/:\n"
	p := ParsePasswd([]byte(long + "root:x:0:0::/:\n"))
	if _, ok := p.ByName("long"); ok || len(p.Malformed()) != 1 {
		t.Errorf("a line of %d bytes: found %v, malformed %v", len(long), ok, p.Malformed())
	}
	if _, ok := p.ByName("root"); !ok {
		t.Error("the line behind a long one was not found")
	}
	many := ParseGroup([]byte(strings.Repeat("\n", MaxLines) + "late:x:1:\n"))
	if _, ok := many.ByName("late"); ok || len(many.Malformed()) != 1 {
		t.Errorf("line %d: found %v, malformed %v", MaxLines+1, ok, many.Malformed())
	}
	if _, err := many.With(GroupEntry{Name: "app", GID: 7}); !errors.Is(err, errTooLarge) {
		t.Errorf("adding behind the limit: error %v", err)
	}
	broken := ParseShadow([]byte(strings.Repeat("x\n", 1000)))
	if len(broken.Malformed()) != maxMalformed {
		t.Errorf("%d malformed lines listed, want %d", len(broken.Malformed()), maxMalformed)
	}
}

func TestGroupLookups(t *testing.T) {
	t.Parallel()
	text := "root:x:0:\nadm:x:4:syslog,app\nbare:x:9\nspaced:x:10: app , other,,\r\napp:x:11:\n+:::\nwheel:x:10:app\n"
	g := ParseGroup([]byte(text))
	if got := string(g.Bytes()); got != text {
		t.Fatalf("bytes changed: %q", got)
	}
	if diff := cmp.Diff([]uint32{4, 10, 10}, g.Of("app")); diff != "" {
		t.Errorf("groups of app:\n%s", diff)
	}
	if e, ok := g.ByGID(10); !ok || e.Name != "spaced" {
		t.Errorf("ByGID(10) = %v", e)
	}
	if e, ok := g.ByName("bare"); !ok || e.GID != 9 || e.Members != nil {
		t.Errorf("ByName(bare) = %v %v", e, ok)
	}
	count := 0
	for range g.All() {
		count++
	}
	if count != 6 {
		t.Errorf("%d groups, want 6", count)
	}
}

func TestWith(t *testing.T) {
	t.Parallel()
	app, err := NewPasswdEntry("app", 65532, 0, "", "/home/app", "/sbin/nologin")
	if err != nil {
		t.Fatal(err)
	}
	const line = "app:x:65532:0::/home/app:/sbin/nologin\n"
	tests := map[string]struct{ in, want string }{
		"empty":            {"", line},
		"ordinary":         {debianPasswd, debianPasswd + line},
		"no final newline": {"root:x:0:0::/:/bin/sh", "root:x:0:0::/:/bin/sh\n" + line},
		"nis at the end":   {"root:x:0:0:::\n+::::::\n", "root:x:0:0:::\n" + line + "+::::::\n"},
		"nis unfinished":   {"root:x:0:0:::\n-bad\n+", "root:x:0:0:::\n" + line + "-bad\n+"},
		"only nis":         {"+", line + "+"},
		"crlf":             {"root:x:0:0:::\r\n", "root:x:0:0:::\r\n" + line},
		"there already":    {"app:x:1:1::/:\n", "app:x:1:1::/:\n"},
		"malformed twin":   {"app:x:y:1::/:\n", "app:x:y:1::/:\n" + line},
		"comment at end":   {"root:x:0:0:::\n# end", "root:x:0:0:::\n# end\n" + line},
	}
	for name, tt := range tests {
		before := ParsePasswd([]byte(tt.in))
		after, err := before.With(app)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, string(after.Bytes())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if string(before.Bytes()) != tt.in {
			t.Errorf("%s: the old value changed", name)
		}
		again, _ := after.With(app)
		if string(again.Bytes()) != string(after.Bytes()) {
			t.Errorf("%s: added twice", name)
		}
	}
}

func TestWithMember(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"wheel:x:10:\n", "wheel:x:10:app\n"},
		{"wheel:x:10:root\n", "wheel:x:10:root,app\n"},
		{"wheel:x:10:root", "wheel:x:10:root,app"},
		{"wheel:x:10\n", "wheel:x:10:app\n"},
		{"wheel:x:10:root,\n", "wheel:x:10:root,app\n"},
		{"wheel:x:10:root \r\nadm:x:4:\r\n", "wheel:x:10:root,app \r\nadm:x:4:\r\n"},
		{"wheel:x:10:root,app\n", "wheel:x:10:root,app\n"},
		{"#wheel:x:1:\nwheel:x:bad:\nwheel:x:10:\nwheel:x:11:\n", "#wheel:x:1:\nwheel:x:bad:\nwheel:x:10:app\nwheel:x:11:\n"},
	}
	for _, tt := range tests {
		after, err := ParseGroup([]byte(tt.in)).WithMember("wheel", "app")
		if err != nil {
			t.Fatalf("%q: %v", tt.in, err)
		}
		if got := string(after.Bytes()); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.in, got, tt.want)
		}
	}
	var missing *NoEntryError
	if _, err := ParseGroup(nil).WithMember("wheel", "app"); !errors.As(err, &missing) || missing.Name != "wheel" {
		t.Errorf("no group: error %v", err)
	}
	if _, err := ParseGroup([]byte("wheel:x:10:\n")).WithMember("wheel", "a,b"); err == nil {
		t.Error("a member name with a comma was taken")
	}
}

func TestEntriesAreChecked(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a:b", "a\nb", "a b", "+a", "-a", "#a", "a,b", "12", "+1", "99999999999999999999", "a\x00", "\u00a0a"} {
		if _, err := NewPasswdEntry(name, 1, 1, "", "/", ""); err == nil {
			t.Errorf("user name %q was taken", name)
		}
		if _, err := ParsePasswd(nil).With(PasswdEntry{Name: name}); err == nil {
			t.Errorf("user name %q was added", name)
		}
		if _, err := NewGroupEntry(name, 1); err == nil {
			t.Errorf("group name %q was taken", name)
		}
		if _, err := NewShadowEntry(name, Locked); err == nil {
			t.Errorf("shadow name %q was taken", name)
		}
	}
	bad := []PasswdEntry{
		{Name: "a", UID: MaxID + 1}, {Name: "a", GID: MaxID + 1}, {Name: "a", Home: "/:/"},
		{Name: "a", Shell: "x\n"}, {Name: "a", Comment: "\r"}, {Name: "a", Password: ":"},
	}
	for _, e := range bad {
		if _, err := ParsePasswd(nil).With(e); err == nil {
			t.Errorf("%+v was added", e)
		}
	}
	if _, err := ParseShadow(nil).With(ShadowEntry{Name: "a", Aging: "::"}); err == nil {
		t.Error("a shadow entry with three aging fields was added")
	}
	if _, err := NewGroupEntry("g", 1, "a", "b:c"); err == nil {
		t.Error("a member with a colon was taken")
	}
}

func TestShadow(t *testing.T) {
	t.Parallel()
	in := "root:*:19000:0:99999:7:::\nold:$6$x$y\n"
	s := ParseShadow([]byte(in))
	e, err := NewShadowEntry("app", Locked)
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.With(e)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(after.Bytes()), in+"app:!:::::::\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if e, ok := after.ByName("root"); !ok || e.Password != "*" || e.Aging != "19000:0:99999:7:::" {
		t.Errorf("root: %+v %v", e, ok)
	}
	if e, ok := after.ByName("app"); !ok || e.Password != Locked || strings.Count(e.String(), ":") != 8 {
		t.Errorf("app: %+v %v", e, ok)
	}
}
