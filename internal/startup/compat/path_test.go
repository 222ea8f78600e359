package compat

import (
	"testing"
)

func TestView(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		dir      int32
		path     string
		nofollow bool
		want     string // "": left to the kernel
	}{
		{atCWD, "a/b", false, "/proc/7/cwd/a/b"},
		{atCWD, ".", false, "/proc/7/cwd/."},
		{5, "a/", false, "/proc/7/fd/5/a/"},
		{-1, "a", false, "/proc/7/fd/-1/a"},
		{5, "/etc/passwd", false, "/etc/passwd"},
		{5, "", false, ""},
		{atCWD, "/", false, "/"},
		{atCWD, "//./etc", false, "//./etc"},
		{atCWD, "/proc", false, ""},
		{atCWD, "/proc/1/fd/1", false, "/proc/1/fd/1"},
		{atCWD, "/proc/sys", false, ""},
		{atCWD, "/proc/self", true, ""},
		{atCWD, "/proc/self/fd/1", false, "/proc/7/fd/1"},
		{atCWD, "/./proc//self/./fd/1", false, "/proc/7/fd/1"},
		{atCWD, "/proc/self/fd/1", true, ""},
		{atCWD, "/proc/self/fd/1/x", false, ""},
		{atCWD, "/proc/self/fd/x", false, ""},
		{atCWD, "/proc/self/fd/-1", false, ""},
		{atCWD, "/proc/self/fd", false, ""},
		{atCWD, "/proc/thread-self/fd/12", false, "/proc/7/fd/12"},
		{atCWD, "/dev/stdout", false, "/proc/7/fd/1"},
		{atCWD, "/dev/stdout", true, "/dev/stdout"},
		{atCWD, "/dev/stdout/", false, ""},
		{atCWD, "/dev/fd/3", false, "/proc/7/fd/3"},
		{atCWD, "/dev/fd", true, ""},
		{atCWD, "/dev/null", false, "/dev/null"},
		{atCWD, "/process", false, "/process"},
	} {
		got, ok := viewPath(nil, 7, test.dir, []byte(test.path), test.nofollow)
		if ok != (test.want != "") || ok && string(got) != test.want {
			t.Errorf("%d %q nofollow %v: %q, %v, want %q", test.dir, test.path, test.nofollow, got, ok, test.want)
		}
	}
	if got := string(viewFD(nil, 7, atCWD)); got != "/proc/7/cwd" {
		t.Errorf("working directory: %q", got)
	}
}

// A path never leads into the supervisor's own /proc/self by its first elements.
func FuzzView(f *testing.F) {
	for _, path := range []string{"/proc/self/fd/1", "//proc/./self", "/dev/fd/0", "/./dev//stdin", "a", "/"} {
		f.Add([]byte(path), false)
	}
	f.Fuzz(func(t *testing.T, path []byte, nofollow bool) {
		got, ok := viewPath(nil, 7, atCWD, path, nofollow)
		if !ok {
			return
		}
		if first, rest := element(got); string(first) == "proc" {
			if who, _ := element(rest); string(who) == "self" || string(who) == "thread-self" {
				t.Errorf("%q is taken for %q", path, got)
			}
		}
	})
}
