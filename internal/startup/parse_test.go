package startup

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSpelling(t *testing.T) {
	mask := uint16(0o002)
	for _, o := range []Order{
		{},
		Default(),
		{Names: NamesNscd, Home: "/tmp/home", Java: true, Umask: &mask, Stay: true, Compat: CompatConsistent, Chroots: true},
		{Writable: []string{"/var/lib/app", "/a b"}, Fill: []string{"/run/app"}, Private: []Private{{"/etc/key", 0o600, false}, {"/data/pg", 0o700, true}}},
	} {
		program := []string{"/bin/app", "--flag", "--"}
		got, rest, err := Parse(append(o.Args(), program...))
		if err != nil || !reflect.DeepEqual(got, o) || !slices.Equal(rest, program) {
			t.Errorf("%v: read as %+v with program %v, %v", o.Args(), got, rest, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		args    string
		order   Order
		program string
		mistake string // in the error
	}{
		{args: "app --help", order: Default(), program: "app --help"},
		{args: "-- app", order: Default(), program: "app"},
		{args: "--exec -- app", program: "app"},
		{args: "--stay app --", order: Order{Stay: true}, program: "app --"},
		{args: "--names=off -- app", program: "app"},
		{args: "--writable=/a//b/../c -- app", order: Order{Writable: []string{"/a/c"}}, program: "app"},
		{args: "--writable=a -- app", mistake: "absolute path"},
		{args: "--private-file=0999:/a -- app", mistake: "a mode and a path"},
		{args: "--private-dir=/a -- app", mistake: "a mode and a path"},
		{args: "--umask=1000 -- app", mistake: "octal"},
		{args: "--stay=yes -- app", mistake: "no value"},
		{args: "--compat=root -- app", mistake: "--compat takes"},
		{args: "--names= -- app", mistake: "--names takes"},
		{args: "--nonsense -- app", mistake: "no such option"},
	} {
		o, program, err := Parse(strings.Fields(test.args))
		switch {
		case test.mistake != "":
			if err == nil || !strings.Contains(err.Error(), test.mistake) {
				t.Errorf("%q: error %v, want %q in it", test.args, err, test.mistake)
			}
		case err != nil || !reflect.DeepEqual(o, test.order) || strings.Join(program, " ") != test.program:
			t.Errorf("%q: %+v, program %q, error %v", test.args, o, program, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("--names=nscd\x00--private-file=0600:/k\x00--umask=0002\x00--\x00app")
	f.Add("--fill=/a\x00--exec\x00app\x00--x")
	f.Fuzz(func(t *testing.T, line string) {
		o, program, err := Parse(strings.Split(line, "\x00"))
		if err != nil {
			return
		}
		again, rest, err := Parse(append(o.Args(), program...))
		if err != nil || !reflect.DeepEqual(again, o) || !slices.Equal(rest, program) {
			t.Errorf("%q: %+v %q, and its spelling %q gives %+v %q, %v", line, o, program, o.Args(), again, rest, err)
		}
	})
}
