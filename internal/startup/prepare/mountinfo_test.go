package prepare

import (
	"strings"
	"testing"
)

func TestParseMounts(t *testing.T) {
	t.Parallel()
	got := parseMounts([]byte(`640 511 0:53 / / rw,relatime master:164 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
not a mount
700 640 8:1 /srv/my\040data\134x /data\012\011y rw,relatime - ext4 /dev/sda1 rw,seclabel
701 640 0:70 / /empty\09x rw shared:1 master:2 - tmpfs  rw
x 640 0:70 / /a rw - tmpfs t rw
702 640 0:70 / relative rw - tmpfs t rw
`))
	if len(got) != 3 {
		t.Fatalf("%d mounts: %+v", len(got), got)
	}
	if m := got[1]; m.root != `/srv/my data\x` || m.point != "/data\n\ty" || m.fstype != "ext4" || m.source != "/dev/sda1" || m.super != "rw,seclabel" || m.device != "8:1" || m.id != 700 || m.parent != 640 {
		t.Errorf("%+v", m)
	}
	if m := got[2]; m.point != `/empty\09x` || m.source != "" || m.super != "rw" {
		t.Errorf("%+v", m)
	}
}

func TestOver(t *testing.T) {
	t.Parallel()
	table := []mount{{id: 1, point: "/"}, {id: 2, point: "/data"}, {id: 3, point: "/data/in"}, {id: 4, point: "/data"}}
	for path, want := range map[string]int{"/": 1, "/database": 1, "/data": 4, "/data/x": 4, "/data/in/y": 3} {
		if m, ok := over(table, path); !ok || m.id != want {
			t.Errorf("%s is on mount %d, want %d", path, m.id, want)
		}
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte("640 511 0:53 / / rw,relatime master:164 - overlay overlay rw,lowerdir=/a:/b\n"))
	f.Add([]byte("1 0 8:1 /srv/my\\040data /data\\012x rw - ext4 /dev/sda1 rw\n2 1 0:1 /docker/volumes/n/_data/s /v ro - nfs4 h:/e ro\n"))
	f.Add([]byte("3 1 0:9 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/cache /cache rw - xfs /dev/sdb rw\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		table := parseMounts(b)
		if len(table) > maxMounts {
			t.Errorf("%d mounts", len(table))
		}
		id := identity{uid: 1000700000}
		for _, m := range table[:min(len(table), 8)] { // every one of them would be quadratic
			if at, ok := over(table, m.point); !ok || len(at.point) < len(m.point) {
				t.Errorf("%q is on %+v", m.point, at)
			}
			for _, want := range []want{wantWrite, wantOwn, wantFill, wantRun, wantInner} {
				for _, c := range []circumstances{{id: id}, {id: id, kubernetes: true}, {id: id, docker: true, chown: true}} {
					text := message([]trouble{{path: m.point, at: m.point, want: want, mount: m, place: identify(m, table), error: "e", status: status{dir: true, mode: 0o755}}}, c)
					if n := strings.Count(text, "\n"); n >= maxLines {
						t.Errorf("%d lines:\n%s", n, text)
					}
					if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f || r == 0x9b }); i >= 0 {
						t.Errorf("a control character at %d: %q", i, text)
					}
				}
			}
		}
	})
}
