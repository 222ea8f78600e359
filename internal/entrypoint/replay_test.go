package entrypoint

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"unroot/internal/finding"
	"unroot/internal/oracle"
)

// placed are the folders of the images that a replay moves into its own folder.
var placed = regexp.MustCompile(`(^|[^\w./}$-])(/(?:var|etc|data|vault|consul|docker-entrypoint\.d|docker-entrypoint-initdb\.d|docker-entrypoint\.sh|opt|config|app|defaults|run|sys|start\.sh|entrypoint\.sh|init\.sh|usr/local|usr/src|bin/consul|bin/vault)\b)`)

// Stubs of the system: each logs its words. What needs root fails for others, as the kernel has it.
const (
	stubRoot    = "#!/bin/sh\n[ ! -p /dev/stdin ] || cat > /dev/null\necho \"${0##*/} $*\" >> \"$LOG\"\n[ \"$FAKE\" = 0 ]\n"
	stubProgram = "#!/bin/sh\necho \"PROGRAM ${0##*/} $*\" >> \"$LOG\"\n"
	stubGosu    = "#!/bin/sh\necho \"${0##*/} $*\" >> \"$LOG\"\n[ \"$FAKE\" = 0 ] || exit 1\nshift\nFAKE=1000 exec \"$@\"\n"
	stubSu      = "#!/bin/sh\necho \"${0##*/} $*\" >> \"$LOG\"\n[ \"$FAKE\" = 0 ] || exit 1\nfor last; do :; done\nFAKE=1000 exec /bin/sh -c \"$last\"\n"
	stubSudo    = "#!/bin/sh\n[ \"$FAKE\" = 0 ] || exit 1\n[ \"$1\" != -E ] || shift\n[ \"$1\" != -u ] || shift 2\nFAKE=1000 exec \"$@\"\n"
	stubID      = "#!/bin/sh\ncase \"$*\" in -u|-g) echo \"$FAKE\" ;; -un) exec whoami ;; -u*) echo 999 ;; esac\n"
	stubWho     = "#!/bin/sh\nif [ \"$FAKE\" = 0 ]; then echo root; else echo app; fi\n"
	stubFind    = "#!/bin/sh\n[ \"$2\" != '!' ] || { a=$1; shift 4; set -- \"$a\" \"$@\"; }\nexec /usr/bin/find \"$@\"\n"
	stubInstall = "#!/bin/sh\nfor last; do :; done\ncase \"$*\" in *\" -o \"*) [ \"$FAKE\" = 0 ] || exit 1 ;; esac\nmkdir -p \"$last\"\n"
	stubStat    = "#!/bin/sh\necho 0\n"
)

var stubs = map[string]string{
	"gosu": stubGosu, "su-exec": stubGosu, "s6-setuidgid": stubGosu, "su": stubSu, "sudo": stubSudo, "id": stubID, "whoami": stubWho, "find": stubFind, "stat": stubStat, "install": stubInstall,
	"dumb-init": "#!/bin/sh\nexec \"$@\"\n", "tini": "#!/bin/sh\nshift\nexec \"$@\"\n", "rsync": "#!/bin/sh\n", "initdb": "#!/bin/sh\n", "psql": "#!/bin/sh\n",
	"envsubst": "#!/bin/sh\ncat\n", "getent": "#!/bin/sh\n", "php": "#!/bin/sh\n", "crontab": "#!/bin/sh\n", "migrate": stubProgram, "prepare": stubProgram,
}

// replay is an image of testdata placed in a folder where real shells run its scripts.
type replay struct {
	t     *testing.T
	root  string
	fs    tree
	start Start
}

func newReplay(t *testing.T, name string) replay {
	_, fs, start := readCase(t, name)
	r := replay{t: t, root: t.TempDir(), fs: tree{}, start: start}
	for _, f := range fs {
		if _, shell := shells[path.Base(f.Path)]; !shell && f.Path != "/usr/bin/env" {
			f.Path = path.Join(r.root, f.Path)
		}
		f.Content = []byte(r.place(string(f.Content)))
		r.fs.add(f)
	}
	words := [][]string{r.start.Entrypoint, r.start.Cmd, r.start.Env}
	for _, list := range words {
		for i := range list {
			list[i] = r.place(list[i])
		}
	}
	r.start.WorkingDir = r.root + "/" + strings.Trim(r.start.WorkingDir, "/")
	r.start.Env = append(r.start.Env, "PATH="+r.root+"/stubs:"+r.root+"/usr/local/bin:/usr/bin:/bin")
	for name := range stubs {
		r.fs.add(File{Path: r.root + "/stubs/" + name, ELF: true, Executable: true})
	}
	return r
}

func (r replay) place(s string) string {
	s = strings.ReplaceAll(s, `="etc/`, `="`+r.root[1:]+`/etc/`)
	return placed.ReplaceAllString(s, "${1}"+r.root+"${2}")
}

// confined ends the test before anything runs if a script could write outside the replay's folder:
// the scripts run on the machine of whoever tests.
func (r replay) confined(story Story) {
	r.t.Helper()
	for _, task := range story.Tasks {
		for _, p := range task.Paths {
			at := p.Value + p.Prefix
			privileged := task.Kind == Chown || task.Kind == Setcap || task.Kind == Mknod // stubs, which only log
			if !privileged && at != "" && at != r.root && !strings.HasPrefix(at, r.root+"/") {
				r.t.Fatalf("%s:%d writes %s, outside %s", task.Script, task.Line, at, r.root)
			}
		}
	}
}

func (r replay) write(name, text string, mode os.FileMode) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
}

// lay writes the image, with the scripts as edits make them, and the directories that the tasks write into.
func (r replay) lay(story Story, edit bool) {
	edits := map[string][]finding.Edit{}
	for _, task := range story.Tasks {
		edits[task.Script] = append(edits[task.Script], task.Edits...)
		for _, p := range task.Paths {
			if p.Known && strings.HasPrefix(p.Value, r.root) {
				os.MkdirAll(path.Dir(p.Value), 0o700)
			}
			if task.Kind == SedInPlace {
				r.write(p.Value, "port=1\n", 0o600)
			}
		}
	}
	for name, text := range stubs {
		r.write(r.root+"/stubs/"+name, text, 0o700)
	}
	for _, name := range strings.Fields("chown chgrp setcap useradd groupmod usermod chpasswd sysctl mount mknod iptables apt-get") {
		r.write(r.root+"/stubs/"+name, stubRoot, 0o700)
	}
	r.write(r.root+"/defaults/app.conf", "", 0o600)
	for _, f := range r.fs {
		switch {
		case f.ELF && strings.HasPrefix(f.Path, r.root) && stubs[path.Base(f.Path)] == "":
			r.write(r.root+"/stubs/"+path.Base(f.Path), stubProgram, 0o700)
			r.write(f.Path, stubProgram, 0o700)
		case f.Dir:
			os.MkdirAll(f.Path, 0o700)
		case f.Content != nil && strings.HasPrefix(f.Path, r.root):
			text := f.Content
			if edit {
				var err error
				if text, err = finding.Apply(text, edits[f.Path]); err != nil {
					r.t.Fatal(err)
				}
			}
			if !edit { // the limit is the platform's
				text = bytes.Replace(text, []byte("ulimit -n 65536"), []byte("ulimit -n 64"), 1)
			}
			text = bytes.ReplaceAll(text, []byte("EUID"), []byte("FAKE"))
			text = bytes.Replace(text, []byte("#!/usr/bin/dumb-init "), []byte("#!"), 1)
			mode := os.FileMode(0o600)
			if f.Executable {
				mode = 0o700
			}
			r.write(f.Path, string(text), mode)
		}
	}
	for i, list := range [][]string{r.start.Entrypoint, r.start.Cmd} {
		for j := range list {
			if e := edits[[]string{"Entrypoint", "Cmd"}[i]+"["+string(rune('0'+j))+"]"]; edit && e != nil {
				out, err := finding.Apply([]byte(list[j]), e)
				if err != nil {
					r.t.Fatal(err)
				}
				list[j] = string(out)
			}
		}
	}
}

// run starts the image as the uid and gives the programs that it started.
func (r replay) run(uid string) (programs []string, err error) {
	log := filepath.Join(r.root, "log")
	os.Remove(log)
	argv := append(append([]string(nil), r.start.Entrypoint...), r.start.Cmd...)
	cmd := exec.Command("/usr/bin/env", argv...)
	cmd.Dir = r.start.WorkingDir
	cmd.Env = append(append([]string(nil), r.start.Env...), "LOG="+log, "FAKE="+uid, "HOME=/nonexistent", "ALLOW_EMPTY_PASSWORD=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Logf("as %s: %v\n%s", uid, err, out)
	}
	data, _ := os.ReadFile(log)
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "PROGRAM ") {
			programs = append(programs, line)
		}
	}
	return programs, err
}

// TestReplay runs the images of testdata under real shells: as root as they are, and as another user
// with the edits, where everything that needs root fails. Both must start the same program at the end.
func TestReplay(t *testing.T) {
	t.Parallel()
	oracle.Program(t, "bash")
	oracle.Program(t, "dash")
	cases, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range cases {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			r := newReplay(t, name)
			story := Read(r.fs, r.start)
			r.confined(story)
			r.lay(story, false)
			asRoot, err := r.run("0")
			if err != nil || len(asRoot) == 0 {
				t.Fatalf("the start as root fails: %v", err)
			}
			_, before := r.run("1000")
			r.lay(story, true)
			asOther, err := r.run("1000")
			if err != nil || len(asOther) == 0 {
				t.Fatalf("the start as another user fails: %v", err)
			}
			if asRoot[len(asRoot)-1] != asOther[len(asOther)-1] {
				t.Errorf("root starts %s, another user %s", asRoot, asOther)
			}
			if mustFail := strings.Contains("consul.txtar puid.txtar vault.txtar shellform.txtar", path.Base(name)); mustFail && before == nil {
				t.Error("without the edits the start as another user works too: this case shows nothing")
			}
		})
	}
}
