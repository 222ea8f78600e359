package account

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/user"
)

const (
	resolvePasswd = "root:x:0:0:root:/root:/bin/sh\n" +
		"app:x:1000:1001::/home/app:/bin/sh\r\n" +
		"app:x:1:1::/second:\n" +
		"#note:x:77:77::/n:\n" +
		"1234:x:5:5::/numeric:\n" +
		"alias:x:0:9::/a:\n" +
		"loose:x:word:8\n" +
		"huge:x:99999999999999999999:1::/:\n" +
		"wrap:x:4294967296:1::/w:\n" +
		"neg:x:-5:-6::/m:\n" +
		":x:42:42::/noname:\n" +
		"lone\n" +
		"+::::::\n"
	resolveGroup = "root:x:0:app\n" +
		"app:x:1001:app\n" +
		"#adm:x:3:app\n" +
		"wheel:x:10:root,app\n" +
		"twice:x:10:app\n" +
		"spaced:x:11: app\n" +
		"1234:x:12:\n" +
		"bad:x:word:app\n" +
		"huge:x:99999999999999999999:wrap\n" +
		"empty:x:13:,\n"
)

var userSpecs = []string{
	"", ":", "0", "00", "+0", "-0", "0:0", "root", "root:x", "root:root", "root:", ":root", ":0", ":app", ":5",
	"app", "app:", "app:app", "app:0", "app:wheel", "app:99", "app:nobody", "1000", "1000:", "1000:1000", "1000:wheel",
	"4242", "4242:10", "#note", "77", "1234", "5", ":1234", "app:1234", "alias", "loose", "huge", "wrap", "neg", "42", "lone", "+",
	"nobody", "nobody:0", "2147483647", "2147483648", "-1", "0:2147483648", "0:-1", "4294967295", "99999999999999999999", "1000:99999999999999999999",
	" app", "app ", "app:wheel:x", "0x0", "1_0", "٣", "app:bad", "app:huge", "a\nb", "app\x00", "app:#adm", "app:,",
}

func TestResolveAgreesWithTheRuntimes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("l", MaxLine)
	files := []struct{ passwd, group string }{
		{resolvePasswd, resolveGroup},
		{"", ""},
		{resolvePasswd, ""},
		{"", resolveGroup},
		{"lone\n" + resolvePasswd, resolveGroup},
		{strings.TrimSuffix(resolvePasswd, "\n"), strings.TrimSuffix(resolveGroup, "\n")},
		{resolvePasswd + long[:MaxLine-1] + "\n", resolveGroup},
		{resolvePasswd + long, resolveGroup},
		{resolvePasswd, resolveGroup + "long:x:3:" + long + ",app\n"},
		{resolvePasswd, resolveGroup + strings.Repeat(long, 17)},
	}
	for i, f := range files {
		for _, spec := range userSpecs {
			if diff := judge(spec, []byte(f.passwd), []byte(f.group)); diff != "" {
				t.Errorf("files %d, USER %q:\n%s", i, spec, diff)
			}
		}
	}
}

// judge compares Resolve with the function that Docker, containerd and runc use. The one difference
// that is meant: numbers that the kernel refuses are an error here and a failed start there.
func judge(spec string, passwd, group []byte) string {
	want, wantErr := user.GetExecUser(spec, nil, bytes.NewReader(passwd), bytes.NewReader(group))
	parsed, err := ParseUser(spec)
	var got Identity
	if err == nil {
		got, err = Resolve(parsed, ParsePasswd(passwd), ParseGroup(group))
	}
	if wantErr == nil && hasRefused(want) {
		if err == nil {
			return "an id that the kernel refuses was taken"
		}
		return ""
	}
	if (err == nil) != (wantErr == nil) {
		return cmp.Diff(wantErr, err, cmp.Transformer("text", func(err error) string { return err.Error() }))
	}
	if err != nil {
		return judgeErrors(wantErr, err)
	}
	expected := Identity{UID: uint32(want.Uid), GID: uint32(want.Gid), Home: want.Home}
	for _, gid := range want.Sgids {
		if uint32(gid) != expected.GID {
			expected.Groups = append(expected.Groups, uint32(gid))
		}
	}
	got.Name = "" // the judge does not give it
	if IsRoot(parsed, ParsePasswd(passwd)) != (expected.UID == 0) {
		return "IsRoot does not agree with the uid"
	}
	return cmp.Diff(expected, got)
}

func judgeErrors(want, got error) string {
	var missing *NoEntryError
	switch {
	case errors.Is(want, user.ErrRange) != errors.Is(got, ErrRange):
	case errors.Is(want, user.ErrNoPasswdEntries) != (errors.As(got, &missing) && missing.Kind == "user"):
	case errors.Is(want, user.ErrNoGroupEntries) != (errors.As(got, &missing) && missing.Kind == "group"):
	case missing != nil && want.Error() != got.Error():
	default:
		return ""
	}
	return cmp.Diff(want.Error(), got.Error())
}

func hasRefused(u *user.ExecUser) bool {
	for _, id := range append([]int{u.Uid, u.Gid}, u.Sgids...) {
		if uint32(id) > MaxID {
			return true
		}
	}
	return false
}

func TestIsRoot(t *testing.T) {
	t.Parallel()
	p := ParsePasswd([]byte(resolvePasswd))
	for spec, want := range map[string]bool{
		"": true, "0": true, "0:0": true, "root": true, "root:x": true, "00": true, "+0": true, "-0": true, "alias": true, ":app": true,
		"loose": true, "wrap": true, "0:1000": true,
		"app": false, "1000": false, "nobody": false, "1000:0": false, "0x0": false, "4294967296": false, "Root": false,
	} {
		u, _ := ParseUser(spec)
		if got := IsRoot(u, p); got != want {
			t.Errorf("IsRoot(%q) = %v, want %v", spec, got, want)
		}
		if u.String() != spec {
			t.Errorf("String of %q is %q", spec, u.String())
		}
	}
	if u, _ := ParseUser("root"); IsRoot(u, Passwd{}) {
		t.Error("root without a passwd file is no root: nothing is started")
	}
}

func TestResolveNames(t *testing.T) {
	t.Parallel()
	u, err := ParseUser("app")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Resolve(u, ParsePasswd([]byte(resolvePasswd)), ParseGroup([]byte(resolveGroup)))
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{UID: 1000, GID: 1001, Groups: []uint32{0, 10, 10, 0}, Name: "app", Home: "/home/app"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if u.Numeric() {
		t.Error("app is not a number")
	}
	if u, _ := ParseUser("+5:app"); !u.Numeric() || !u.HasGroup {
		t.Errorf("%+v: want a number with a group", u)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte(resolvePasswd), "app", "wheel")
	f.Add([]byte(resolveGroup), "new", "1234")
	f.Add([]byte("wheel:x:10\r\n+\n"), "wheel", "wheel")
	f.Add([]byte("a:x:1:\u00a0\n"), "b", "a")
	f.Fuzz(func(t *testing.T, b []byte, name, group string) {
		p, g, s := ParsePasswd(b), ParseGroup(b), ParseShadow(b)
		for what, got := range map[string][]byte{"passwd": p.Bytes(), "group": g.Bytes(), "shadow": s.Bytes()} {
			if !bytes.Equal(got, b) {
				t.Fatalf("%s: bytes changed", what)
			}
		}
		if e, err := NewPasswdEntry(name, 7, 8, "", "/", ""); err == nil {
			checkAdded(t, b, p, e)
		}
		if after, err := g.WithMember(group, name); err == nil {
			checkMember(t, b, after, group, name)
		}
	})
}

func checkAdded(t *testing.T, b []byte, p Passwd, e PasswdEntry) {
	old, had := p.ByName(e.Name)
	after, err := p.With(e)
	if err != nil {
		t.Fatalf("adding %q: %v", e.Name, err)
	}
	got, ok := after.ByName(e.Name)
	switch {
	case !ok:
		t.Fatalf("%q is not there after adding", e.Name)
	case had && (got != old || !bytes.Equal(after.Bytes(), b)):
		t.Fatalf("%q was there and something changed", e.Name)
	case !had && got != e:
		t.Fatalf("added %+v, found %+v", e, got)
	case !had && len(after.Bytes()) > len(b)+len(e.String())+2:
		t.Fatal("more bytes were added than one line")
	}
}

func checkMember(t *testing.T, b []byte, after Group, group, name string) {
	e, ok := after.ByName(group)
	if !ok || !strings.Contains(e.String(), name) {
		t.Fatalf("%q is not in %+v", name, e)
	}
	extra := len(after.Bytes()) - len(b)
	if extra != 0 && extra != len(name) && extra != len(name)+1 {
		t.Fatalf("%d bytes were added for %q", extra, name)
	}
}

func FuzzResolve(f *testing.F) {
	for _, spec := range userSpecs {
		f.Add(spec, []byte(resolvePasswd), []byte(resolveGroup))
	}
	f.Add("app:wheel", []byte("app:x:1\n"), []byte("wheel::\n"))
	f.Fuzz(func(t *testing.T, spec string, passwd, group []byte) {
		if diff := judge(spec, passwd, group); diff != "" {
			t.Fatalf("USER %q, passwd %q, group %q:\n%s", spec, passwd, group, diff)
		}
	})
}
