//go:build linux

package nscd

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"unroot/internal/oracle"
	"unroot/internal/startup"
)

func TestNeeded(t *testing.T) {
	t.Parallel()
	asks := strings.Repeat("\x00", 4*readLen-10) + "/var/run/nscd/socket" // across two pieces
	for _, test := range []struct {
		name  string
		files map[string]string
		order startup.Names
		want  startup.Names
		fails bool
	}{
		{"off", nil, startup.NamesOff, startup.NamesOff, false},
		{"empty image", nil, startup.NamesAuto, startup.NamesNscd, false},
		{"known uid", map[string]string{"/etc/passwd": "a:x:1000700000:0:::"}, startup.NamesNscd, startup.NamesOff, false},
		{"commented uid", map[string]string{"/etc/passwd": "#a:x:1000700000:0:::\na:x:7:1000700000"}, startup.NamesNscd, startup.NamesNscd, false},
		{"libc asks", map[string]string{"/usr/lib/aarch64-linux-gnu/libc.so.6": asks}, startup.NamesAuto, startup.NamesNscd, false},
		{"musl asks", map[string]string{"/lib/ld-musl-x86_64.so.1": asks, "/lib64/libc.so.6": "no"}, startup.NamesAuto, startup.NamesNscd, false},
		{"libc does not ask", map[string]string{"/lib64/libc.so.6": "no"}, startup.NamesAuto, startup.NamesOff, false},
		{"wrapper", map[string]string{"/lib64/libc.so.6": "no", "/usr/lib64/libnss_wrapper.so": ""}, startup.NamesAuto, startup.NamesWrapper, false},
		{"wrapper wanted", map[string]string{"/lib64/libc.so.6": asks, "/usr/lib64/libnss_wrapper.so": ""}, startup.NamesWrapper, startup.NamesWrapper, false},
		{"no wrapper", nil, startup.NamesWrapper, startup.NamesOff, true},
	} {
		root := t.TempDir()
		for path, content := range test.files {
			if err := os.MkdirAll(filepath.Dir(root+path), 0o755); err != nil {
				t.Fatal(err)
			}
			put(t, root+path, content)
		}
		got, err := needed(test.order, testUID, root)
		var failure *Failure
		if got != test.want || (err != nil) != test.fails || err != nil && (!errors.As(err, &failure) || failure.Hint == "") {
			t.Errorf("%s: %q, %v; want %q", test.name, got, err, test.want)
		}
	}
}

func TestNeededOfThisMachine(t *testing.T) {
	t.Parallel()
	if got, err := needed(startup.NamesAuto, testUID, ""); got != startup.NamesNscd || err != nil {
		t.Errorf("Debian's libc: %q, %v", got, err)
	}
	if got, err := needed(startup.NamesAuto, 0, ""); got != startup.NamesOff || err != nil {
		t.Errorf("root: %q, %v", got, err)
	}
}

// TestWrapper runs programs under libnss_wrapper.so with the files that Wrapper writes.
func TestWrapper(t *testing.T) {
	t.Parallel()
	if _, err := wrapperPath(""); err != nil {
		oracle.Missing(t, "%v", err)
	}
	oracle.Root(t)
	home := t.TempDir()
	open(t, home)
	files := t.TempDir()
	passwd, group := filepath.Join(files, "passwd"), filepath.Join(files, "group")
	put(t, passwd, "root:x:0:0:::/bin/sh\nlast:x:3:3:no newline:/:/bin/sh")
	put(t, group, "root:x:0:")
	facts := Facts{UID: testUID, GID: 4711, Home: home, Shell: "/bin/sh", Name: "app", Passwd: passwd, Group: group}
	env, err := wrapper(facts, "", home, []string{"A=b", "LD_PRELOAD=", "NSS_WRAPPER_GROUP=/old"})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(env, "A=b") || len(env) != 4 {
		t.Errorf("environment %q", env)
	}
	for path, want := range map[string]string{
		home + "/passwd": "root:x:0:0:::/bin/sh\nlast:x:3:3:no newline:/:/bin/sh\napp:x:1000700000:4711:container user:" + home + ":/bin/sh\n",
		home + "/group":  "root:x:0:\napp:x:4711:\n",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	got := asStranger(t, t.TempDir(), home, strings.Join(env, " ")+" sh -c 'whoami; getent passwd last; getent group 4711'")
	if want := "app\nlast:x:3:3:no newline:/:/bin/sh\napp:x:4711:"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if _, err := wrapper(facts, "", "/proc", nil); err == nil {
		t.Error("no error where nothing can be written")
	}
}

func TestPreload(t *testing.T) {
	t.Parallel()
	library, err := wrapperPath("")
	if err != nil {
		oracle.Missing(t, "%v", err)
	}
	for before, want := range map[string]string{"": library, "/a.so": "/a.so:" + library, "/b/libnss_wrapper.so": "/b/libnss_wrapper.so"} {
		env, err := Wrapper(t.TempDir(), []string{"LD_PRELOAD=" + before})
		if err != nil || lookup(env, "LD_PRELOAD") != want {
			t.Errorf("before %q: %q, %v; want %q", before, lookup(env, "LD_PRELOAD"), err, want)
		}
	}
}
