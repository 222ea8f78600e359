package prepare

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	yamlLib "go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write golden files")

// rootLines are the mounts that every container has.
const rootLines = `600 500 0:53 / / rw,relatime - overlay overlay rw,lowerdir=/l
601 600 0:54 / /proc rw - proc proc rw
602 600 8:1 /var/lib/docker/containers/c0/hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
`

var (
	arbitrary = identity{uid: 1000700000}
	fixed     = identity{uid: 65532}
	grouped   = identity{uid: 65532, groups: []uint32{65532}}
	onDocker  = circumstances{docker: true, chown: true}
	onPodman  = circumstances{podman: true, chown: true}
	onKube    = circumstances{kubernetes: true, chown: true}
	nowhere   = circumstances{chown: true}
	noChown   = circumstances{docker: true}
)

var (
	rootDir = status{mode: 0o755, dir: true}
	empty   = contents{known: true, empty: true}
	data    = contents{known: true, name: "x", status: status{mode: 0o644}}
)

// messages are situations, each a golden file.
var messages = []struct {
	name     string
	id       identity
	c        circumstances
	mounts   string
	troubles []trouble
}{
	{"docker-volume-fresh", arbitrary, onDocker,
		"700 600 8:1 /var/lib/docker/volumes/data/_data /var/lib/app rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/var/lib/app", status: rootDir, inside: empty}}},
	{"docker-volume-old", fixed, onDocker,
		"700 600 8:1 /var/lib/docker/volumes/shop_data/_data /var/lib/app rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/var/lib/app", status: rootDir, inside: data}}},
	{"docker-volume-foreign", arbitrary, onDocker,
		"700 600 8:1 /var/lib/docker/volumes/pg/_data /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: status{uid: 999, gid: 999, mode: 0o700, dir: true}}}},
	{"docker-volume-part", fixed, noChown,
		"700 600 8:1 /srv/docker/volumes/pg/_data/sub /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data/a/b", at: "/data/a", status: rootDir, inside: empty}}},
	{"docker-bind", fixed, onDocker,
		"700 600 8:1 /srv/it's\\040data /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: status{uid: 1000, gid: 1000, mode: 0o755, dir: true}, inside: data}}},
	{"docker-bind-system", fixed, onDocker,
		"700 600 8:1 /etc/ssl /certs rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/certs", status: rootDir, inside: data}}},
	{"docker-bind-group", fixed, onDocker,
		"700 600 8:1 /srv/data /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: status{uid: 0, gid: 2000, mode: 0o2775, dir: true}, inside: data}}},
	{"kubernetes-nfs-group", fixed, onKube,
		"700 600 0:80 / /data rw - nfs4 files.example:/export/app rw,addr=10.0.0.1",
		[]trouble{{path: "/data", error: "permission denied", status: status{uid: 0, gid: 2000, mode: 0o2770, dir: true}}}},
	{"docker-bind-unsure", arbitrary, onDocker,
		"700 600 8:2 /me/data /data rw - xfs /dev/sdb1 rw",
		[]trouble{{path: "/data", status: rootDir, inside: empty}}},
	{"docker-bind-file", arbitrary, onDocker,
		"700 600 8:1 /srv/app.conf /etc/app.conf rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/etc/app.conf", status: status{mode: 0o644}}}},
	{"docker-bind-mode", fixed, onDocker,
		"700 600 8:1 /srv/data /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: status{uid: 65532, mode: 0o555, dir: true}, inside: empty}}},
	{"docker-bind-readonly", fixed, onDocker,
		"700 600 8:1 /srv/data /data ro,relatime - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", failure: failReadOnly, status: status{uid: 65532, mode: 0o755, dir: true}}}},
	{"docker-tmpfs", arbitrary, onDocker,
		"700 600 0:70 / /run/app rw,nosuid - tmpfs tmpfs rw",
		[]trouble{{path: "/run/app", status: rootDir, inside: empty}}},
	{"docker-image", arbitrary, onDocker, "",
		[]trouble{{path: "/opt/app/cache", status: rootDir, inside: empty}}},
	{"docker-image-readonly", arbitrary, onDocker,
		"600 500 0:53 / / ro,relatime - overlay overlay rw",
		[]trouble{{path: "/var/cache/app", failure: failReadOnly, status: status{uid: 65532, mode: 0o775, dir: true}}}},
	{"docker-private-dir", fixed, onDocker,
		"700 600 8:1 /var/lib/docker/volumes/pg/_data /var/lib/postgresql/data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/var/lib/postgresql/data", want: wantOwn, status: status{uid: 999, gid: 0, mode: 0o770, dir: true}}}},
	{"docker-inner", arbitrary, onDocker,
		"700 600 8:1 /var/lib/docker/volumes/graf/_data /var/lib/grafana rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/var/lib/grafana", want: wantInner, status: status{mode: 0o777, dir: true},
			inside: contents{known: true, name: "grafana.db", status: status{mode: 0o640}, more: 3}}}},
	{"docker-nfs", fixed, onDocker,
		"700 600 0:80 / /data rw - nfs4 files.example:/export/app rw,addr=10.0.0.1",
		[]trouble{{path: "/data", error: "permission denied", status: status{uid: 65534, gid: 65534, mode: 0o777, dir: true}}}},
	{"docker-selinux", fixed, onDocker,
		"700 600 8:1 /srv/data /data rw - xfs /dev/sda1 rw,seclabel,attr2",
		[]trouble{{path: "/data", error: "permission denied", status: status{uid: 65532, mode: 0o755, dir: true}}}},
	{"docker-users", fixed, circumstances{docker: true, chown: true, users: true, hostUID: 165532, hostGID: 100000, rootless: true},
		"700 600 8:1 /srv/data /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: rootDir, inside: empty}}},
	{"docker-many", arbitrary, onDocker,
		"700 600 8:1 /var/lib/docker/volumes/a/_data /a rw - ext4 /dev/sda1 rw\n701 600 8:1 /var/lib/docker/volumes/b/_data /b rw - ext4 /dev/sda1 rw\n702 600 8:1 /srv/c /c rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/a", status: rootDir, inside: empty}, {path: "/b/1", status: rootDir, inside: data}, {path: "/b/2", status: rootDir, inside: empty},
			{path: "/c", status: rootDir, inside: data}, {path: "/d", status: rootDir, inside: empty}, {path: "/e", status: rootDir, inside: empty}, {path: "/f", status: rootDir, inside: empty}}},
	{"docker-hostile", arbitrary, onDocker,
		"700 600 8:1 /srv/a\\012$(reboot)\033[2J /data\\012x rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data\nx", status: rootDir, inside: empty}}},
	{"gone", fixed, onDocker,
		"700 600 0:80 / /data rw - nfs4 files.example:/export/app rw,addr=10.0.0.1",
		[]trouble{{path: "/data", failure: failGone, error: "stale file handle", unknown: true}}},
	{"podman-volume", arbitrary, onPodman,
		"700 600 8:1 /var/lib/containers/storage/volumes/data/_data /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: rootDir, inside: data}}},
	{"podman-bind-rootless", fixed, circumstances{podman: true, chown: true, users: true, rootless: true, hostUID: 165531},
		"700 600 8:1 /home/me/data /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: rootDir, inside: empty}}},
	{"podman-tmpfs", arbitrary, onPodman,
		"700 600 0:70 / /run/app rw,nosuid - tmpfs tmpfs rw",
		[]trouble{{path: "/run/app", status: rootDir, inside: empty}}},
	{"podman-image-readonly", arbitrary, onPodman,
		"600 500 0:53 / / ro,relatime - overlay overlay rw",
		[]trouble{{path: "/run/unroot", at: "/run", want: wantRun, failure: failReadOnly, status: rootDir, note: "the private copy of /etc/monit/monitrc is made there"}}},
	{"nowhere-volume", fixed, nowhere,
		"700 600 8:16 / /data rw - ext4 /dev/sdb rw",
		[]trouble{{path: "/data", status: rootDir, inside: empty}}},
	{"kubernetes-claim", fixed, onKube,
		"700 600 8:16 / /data rw - ext4 /dev/sdb rw",
		[]trouble{{path: "/data", status: rootDir, inside: empty}}},
	{"kubernetes-claim-group-without-effect", grouped, onKube,
		"700 600 8:1 /var/lib/kubelet/pods/6b1d/volumes/kubernetes.io~csi/pvc-1/mount /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: rootDir, inside: data}}},
	{"kubernetes-emptydir-private", grouped, onKube,
		"700 600 8:1 /var/lib/kubelet/pods/6b1d/volumes/kubernetes.io~empty-dir/pgdata /var/lib/postgresql/data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/var/lib/postgresql/data", want: wantOwn, status: status{gid: 65532, mode: 0o2777, dir: true}, inside: empty}}},
	{"kubernetes-private-below-root", grouped, onKube,
		"700 600 8:16 / /data rw - ext4 /dev/sdb rw",
		[]trouble{{path: "/data", want: wantOwn, status: status{gid: 65532, mode: 0o2777, dir: true}, inside: empty}}},
	{"kubernetes-image-private", arbitrary, onKube, "",
		[]trouble{{path: "/var/lib/postgresql/data", want: wantOwn, status: status{uid: 65532, mode: 0o770, dir: true}, inside: data}}},
	{"docker-image-private", arbitrary, onDocker, "",
		[]trouble{{path: "/var/lib/postgresql/data", want: wantOwn, status: status{uid: 65532, mode: 0o770, dir: true}, inside: data}}},
	{"kubernetes-claim-foreign", fixed, onKube,
		"700 600 8:16 / /data rw - ext4 /dev/sdb rw",
		[]trouble{{path: "/data", status: status{uid: 999, gid: 999, mode: 0o700, dir: true}}}},
	{"kubernetes-memory-private", grouped, onKube,
		"700 600 0:70 / /var/lib/app/data rw - tmpfs tmpfs rw",
		[]trouble{{path: "/var/lib/app/data", want: wantOwn, status: status{gid: 65532, mode: 0o2777, dir: true}, inside: empty}}},
	{"kubernetes-hostpath", arbitrary, onKube,
		"700 600 8:1 /srv/data /data rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/data", status: rootDir, inside: data}}},
	{"kubernetes-many", fixed, onKube,
		"700 600 8:16 / /data rw - ext4 /dev/sdb rw\n701 600 8:17 / /more rw - ext4 /dev/sdc rw\n702 600 8:1 /srv/a /a rw - ext4 /dev/sda1 rw\n703 600 8:1 /srv/b /var/b rw - ext4 /dev/sda1 rw\n704 600 0:80 / /n rw - nfs4 h:/e rw",
		[]trouble{{path: "/data", status: rootDir, inside: empty}, {path: "/more", status: rootDir, inside: empty}, {path: "/a", status: rootDir, inside: data}, {path: "/var/b", status: rootDir, inside: empty},
			{path: "/n", status: status{gid: 2000, mode: 0o770, dir: true}}}},
	{"podman-many", fixed, onPodman,
		"700 600 8:1 /var/lib/containers/storage/volumes/a/_data /a rw - ext4 /dev/sda1 rw\n701 600 8:1 /var/lib/containers/storage/volumes/b/_data /b rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/a", status: status{uid: 999, mode: 0o755, dir: true}, inside: empty}, {path: "/b", status: status{uid: 998, mode: 0o755, dir: true}, inside: empty}}},
	{"kubernetes-configmap", fixed, onKube,
		"700 600 8:1 /var/lib/kubelet/pods/6b1d/volumes/kubernetes.io~configmap/app-conf /etc/app rw - ext4 /dev/sda1 rw",
		[]trouble{{path: "/etc/app", failure: failReadOnly, status: status{mode: 0o777, dir: true}}}},
	{"kubernetes-nfs", fixed, onKube,
		"700 600 0:80 / /data rw - nfs4 files.example:/export/app rw,addr=10.0.0.1",
		[]trouble{{path: "/data", error: "permission denied", status: rootDir}}},
	{"kubernetes-image-readonly", fixed, onKube,
		"600 500 0:53 / / ro,relatime - overlay overlay rw",
		[]trouble{{path: "/var/cache/app", failure: failReadOnly, status: rootDir}, {path: "/tmp", failure: failReadOnly, status: status{mode: 0o1777, dir: true}}}},
	{"kubernetes-claim-readonly", fixed, onKube,
		"700 600 8:16 / /data ro - ext4 /dev/sdb rw",
		[]trouble{{path: "/data", failure: failReadOnly, status: rootDir}}},
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, test := range messages {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lines := rootLines
			if strings.HasPrefix(test.mounts, "600 ") {
				_, lines, _ = strings.Cut(rootLines, "\n")
			}
			table := parseMounts([]byte(lines + test.mounts))
			for i := range test.troubles {
				tr := &test.troubles[i]
				if tr.at == "" {
					tr.at = tr.path
				}
				tr.mount, _ = over(table, tr.at)
				tr.place = identify(tr.mount, table)
			}
			c := test.c
			c.id = test.id
			text := message(test.troubles, c)
			compare(t, test.name, text)
			if n := strings.Count(text, "\n") + 1; n > maxLines {
				t.Errorf("%d lines", n)
			}
			checkYAML(t, text)
		})
	}
}

func compare(t *testing.T, name, text string) {
	t.Helper()
	golden := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(golden, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text+"\n"); diff != "" {
		t.Error(diff)
	}
}

// checkYAML has a reader of YAML look at the fields that a message prints, each of which stands once.
func checkYAML(t *testing.T, text string) {
	t.Helper()
	var section []string
	for _, line := range append(strings.Split(text, "\n"), "end:") {
		if in, ok := strings.CutPrefix(line, "  "); ok {
			section = append(section, in)
			continue
		}
		if len(section) > 0 && slices.ContainsFunc([]string{"securityContext:", "volumes:", "volumeMounts:", "initContainers:", "tmpfs:"}, func(key string) bool { return strings.HasPrefix(section[0], key) }) {
			var pod struct {
				SecurityContext struct {
					FSGroup             int    `yaml:"fsGroup"`
					FSGroupChangePolicy string `yaml:"fsGroupChangePolicy"`
					SupplementalGroups  []int  `yaml:"supplementalGroups"`
					RunAsUser           int    `yaml:"runAsUser"`
					RunAsGroup          int    `yaml:"runAsGroup"`
				} `yaml:"securityContext"`
				Volumes []struct {
					Name     string
					EmptyDir struct{} `yaml:"emptyDir"`
				}
				VolumeMounts   []volumeMount `yaml:"volumeMounts"`
				InitContainers []struct {
					Name, Image     string
					Command         []string
					SecurityContext struct {
						RunAsUser    int  `yaml:"runAsUser"`
						RunAsNonRoot bool `yaml:"runAsNonRoot"`
						Capabilities struct{ Add []string }
					} `yaml:"securityContext"`
					VolumeMounts []volumeMount `yaml:"volumeMounts"`
				} `yaml:"initContainers"`
				Tmpfs []string
			}
			block := strings.Join(section, "\n")
			d := yamlLib.NewDecoder(strings.NewReader(block))
			d.KnownFields(true)
			if err := d.Decode(&pod); err != nil {
				t.Errorf("%v in\n%s", err, block)
			}
		}
		section = nil
	}
}

type volumeMount struct {
	Name      string
	MountPath string `yaml:"mountPath"`
}
