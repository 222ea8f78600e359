package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	digest := "sha256:" + strings.Repeat("a", 64)
	tests := []struct {
		in   string
		want Ref
		text string // canonical
	}{
		{"nginx", Ref{Registry, "", "docker.io/library/nginx:latest"}, "docker://docker.io/library/nginx:latest"},
		{"nginx:1.29", Ref{Registry, "", "docker.io/library/nginx:1.29"}, "docker://docker.io/library/nginx:1.29"},
		{"docker://team/app", Ref{Registry, "", "docker.io/team/app:latest"}, "docker://docker.io/team/app:latest"},
		{"localhost:5000/app:2", Ref{Registry, "", "localhost:5000/app:2"}, "docker://localhost:5000/app:2"},
		{"app:1@" + digest, Ref{Registry, "", "docker.io/library/app@" + digest}, "docker://docker.io/library/app@" + digest},
		{"index.docker.io/library/nginx", Ref{Registry, "", "docker.io/library/nginx:latest"}, "docker://docker.io/library/nginx:latest"},
		{"docker:5000/app", Ref{Registry, "", "docker:5000/app:latest"}, "docker://docker:5000/app:latest"},
		{"docker://app.tar", Ref{Registry, "", "docker.io/library/app.tar:latest"}, "docker://docker.io/library/app.tar:latest"},
		{"oci:dir", Ref{OCILayout, "dir", ""}, "oci:dir"},
		{"oci:dir:tag", Ref{OCILayout, "dir", "tag"}, "oci:dir:tag"},
		{"oci:/a/b:docker.io/library/x:1", Ref{OCILayout, "/a/b", "docker.io/library/x:1"}, "oci:/a/b:docker.io/library/x:1"},
		{`oci:C:\images\l:tag`, Ref{OCILayout, `C:\images\l`, "tag"}, `oci:C:\images\l:tag`},
		{"oci-archive:a.tar:v1", Ref{OCIArchive, "a.tar", "v1"}, "oci-archive:a.tar:v1"},
		{"docker-archive:a.tar", Ref{DockerArchive, "a.tar", ""}, "docker-archive:a.tar"},
		{"docker-archive:a.tar:app", Ref{DockerArchive, "a.tar", "app:latest"}, "docker-archive:a.tar:app:latest"},
		{"docker-archive:a.tar:docker.io/library/app:1", Ref{DockerArchive, "a.tar", "app:1"}, "docker-archive:a.tar:app:1"},
		{"docker-archive:a.tar:r.example:5000/app:1", Ref{DockerArchive, "a.tar", "r.example:5000/app:1"}, "docker-archive:a.tar:r.example:5000/app:1"},
		{"docker-daemon:app", Ref{Engine, "", "app:latest"}, "docker-daemon:app:latest"},
		{"docker-daemon:" + digest, Ref{Engine, "", digest}, "docker-daemon:" + digest},
		{"-", Ref{Stdin, "", ""}, "-"},
	}
	for _, test := range tests {
		got, err := Parse(test.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", test.in, err)
			continue
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("Parse(%q) differs (-want +got):\n%s", test.in, diff)
		}
		if got.String() != test.text {
			t.Errorf("Parse(%q) prints %q, want %q", test.in, got, test.text)
		}
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, hint string }{
		{"", "docker://"},
		{"Nginx", "docker://"},
		{"dir:x", "oci:"},
		{"containers-storage:x", "oci:"},
		{"https://registry.example/x", "docker://"},
		{"./app.tar", "docker-archive:./app.tar"},
		{"app.tar", "docker-archive:app.tar"},
		{"/srv/layout", "oci:/srv/layout"},
		{"oci:", "oci:DIR"},
		{"oci::tag", "oci:DIR"},
		{"oci:dir:-", "oci:DIR"},
		{"docker-archive:a.tar:UPPER", "docker-archive:"},
		{"docker-archive:a.tar:app@sha256:" + strings.Repeat("a", 64), "docker-archive:"},
		{"docker-daemon:", "docker-daemon:"},
		{"docker://", "docker://"},
	}
	for _, test := range tests {
		_, err := Parse(test.in)
		if err == nil || !strings.Contains(hintOf(err), test.hint) {
			t.Errorf("Parse(%q): %v, hint %q, want a hint with %q", test.in, err, hintOf(err), test.hint)
		}
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, f := range []string{"a.tar", "b.tar"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a.tar", filepath.Join(dir, "link.tar")); err != nil {
		t.Fatal(err)
	}
	s := testStore(t, Options{})
	mustPut(t, s, "oci:"+dir+"/layout:only", mustOpen(t, s, fromRegistry(t, s, ociImage(t, 1, 10))))
	if err := os.Symlink("layout", filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		a, b string
		want bool
	}{
		{"nginx", "docker://docker.io/library/nginx:latest", true},
		{"nginx:1", "nginx:2", false},
		{"r.example/nginx", "nginx", false},
		{"docker-daemon:app", "docker-daemon:docker.io/library/app:latest", true},
		{"docker-daemon:app", "app", false},
		{"docker-archive:DIR/a.tar", "docker-archive:DIR/x/../a.tar:app:1", true},
		{"docker-archive:DIR/a.tar", "oci-archive:DIR/link.tar", true},
		{"docker-archive:DIR/a.tar", "docker-archive:DIR/b.tar", false},
		{"docker-archive:DIR/new.tar", "docker-archive:DIR/./new.tar", true},
		{"docker-archive:DIR/a.tar", "docker-archive:DIR/new.tar", false},
		{"oci:DIR/layout:only", "oci:DIR/other:only", true},
		{"oci:DIR/layout", "oci:DIR/other:only", true},
		{"oci:DIR/layout:only", "oci:DIR/layout:new", false},
		{"oci:DIR/layout:only", "oci:DIR/elsewhere:only", false},
		{"-", "-", false},
	}
	// DIR/x/.. is DIR only where x exists; paths are compared as files.
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		a := mustParse(t, strings.ReplaceAll(test.a, "DIR", dir))
		b := mustParse(t, strings.ReplaceAll(test.b, "DIR", dir))
		if Same(a, b) != test.want || Same(b, a) != test.want {
			t.Errorf("Same(%q, %q) is not %t", test.a, test.b, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"nginx:1.29", "oci:a:b", "docker-archive:a:b:c", "docker-daemon:x", "-", "docker://a@sha256:0", `oci:C:\x:t`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := Parse(s)
		if err != nil {
			var hint *HintError
			if !errors.As(err, &hint) {
				t.Fatalf("Parse(%q): %v has no hint", s, err)
			}
			return
		}
		again, err := Parse(ref.String())
		if err != nil || again != ref {
			t.Fatalf("Parse(%q) is %+v, printed %q, which is %+v, %v", s, ref, ref, again, err)
		}
	})
}
