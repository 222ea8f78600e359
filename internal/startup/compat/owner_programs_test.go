//go:build linux && amd64

package compat

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/oracle"
)

// A tree that scripts start with, and what they end with: every file with its owner.
const (
	makeTree = "umask 022; mkdir -p d/e; echo f >d/f; echo g >d/e/g; ln -s f d/l\n"
	showTree = "\nfind . | sort | xargs stat -c '%n %u:%g %a %F'"
)

// ownerScripts is what people do with owners, by the program that does it.
var ownerScripts = map[string]string{
	"chown": makeTree + `chown -R 33:34 d; chown -h 5:6 d/l` + showTree,
	"chgrp": makeTree + `chgrp -R 7 d; chown --from=0:7 9 d/f; chown --from=33 1 d/f; chown --reference=d/f d/e` + showTree,
	"ls": makeTree + `chown -R 33:34 d; ls -lnR --time-style=+ d | grep -v ^total | awk '{print $1,$3,$4,$6}'
		ls -nd d | awk '{print $3,$4}'`,
	"find": makeTree + `chown 33 d/f; chgrp 34 d/e; find d -user 33; find d -group 34; find d ! -user 33 | sort
		find d -uid 0 -exec chown 44 {} +` + showTree,
	"tar": makeTree + `chown -R 33:34 d; chown 5 d/f; tar cf t --sort=name d; tar tvf t --numeric-owner | awk '{print $1,$2,$6}'
		mkdir x; tar xf t -C x --same-owner --numeric-owner; rm t` + showTree,
	"bsdtar":  makeTree + `chown -R 33:34 d; bsdtar cf t d; mkdir x; bsdtar xpf t -C x --numeric-owner; rm t` + showTree,
	"rsync":   makeTree + `chown -R 33:34 d; chown 5 d/f; rsync -a --numeric-ids d/ x; chown 6 d/f; rsync -ai --numeric-ids d/ x` + showTree,
	"install": `echo >f; install -o 33 -g 34 -m 0640 f g; install -d -o 5 -g 6 -m 0700 h` + showTree,
	"cp":      makeTree + `chown -R 33:34 d; cp -a d x; cp -r d y; cp -p d/f z; mv x v` + showTree,
	"busybox": makeTree + `busybox chown -R 33:34 d; busybox stat -c %u:%g d/f; busybox find d -user 33 | sort
		busybox ls -lnR d | awk '{print $1,$3,$4}' | grep -v ^total`,
	"perl": makeTree + `perl -e 'chown 33, 34, "d/f"; open F, "d/e/g"; chown 5, -1, *F; @s = stat F; print "$s[4] $s[5]\n";
		@s = lstat "d/f"; print "$s[4] $s[5]\n"; print -o "d/f" ? "own" : "not own", "\n"'` + showTree,
	"bash": makeTree + `chown 33 d/f; bash -c 'for f in d/*; do [ -O $f ] && echo own $f; [ -G $f ] && echo group $f; done; true'`,
	"python3": makeTree + `python3 -c '
import os
os.chown("d/f", 33, 34)
fd = os.open("d/e/g", os.O_RDONLY)
os.fchown(fd, 5, -1)
print(os.fstat(fd).st_uid)
for e in sorted(os.scandir("d"), key=lambda e: e.name):
    print(e.name, e.stat().st_uid, e.stat(follow_symlinks=False).st_gid)
'; umask 0; python3 -c '
import os, socket, struct
def peer(s):
    return struct.unpack("iII", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
listener = socket.socket(socket.AF_UNIX)
listener.bind("socket")
listener.listen()
child = os.fork()
if not child:
    os.setgroups([])
    os.setgid(34)
    os.setuid(33)
    s = socket.socket(socket.AF_UNIX)
    s.connect("socket")
    s.recv(1)
    pid, uid, gid = peer(s)
    s.send(b"%d %d %d" % (pid == os.getppid(), uid, gid))
    os._exit(0)
s, _ = listener.accept()
pid, uid, gid = peer(s)
print(pid == child, uid, gid)
s.send(b"x")
print(s.recv(100), peer(listener)[1:])
os.unlink("socket")
'` + showTree,
	"setpriv": makeTree + `mkdir w; chmod 777 w; touch w/root; sleep .05
		setpriv --reuid=33 --regid=34 --clear-groups sh -c '
			sleep .05; touch w/www; stat -c %u:%g w/www w/root d/f; chown 5 w/www; chmod 600 w/root; chgrp 34 w/www; chgrp 35 w/www
			id -u; test -O w/www && echo own; test -O w/root || echo not own' 2>&1
		as() { setpriv --reuid=33 --regid=34 --clear-groups sh -c "$1"; }
		as 'cd w; mkdir d; echo >d/f; ln -s f d/l; mkfifo d/p; cp d/f d/g; mv d/g d/h; umask 077; echo >d/k' 2>&1
		touch w/mine; ls -lnR --time-style=+ w | grep -v ^total | awk '{print $1,$3,$4}'; as 'ls -ln --time-style=+ w' | grep -v ^total | awk '{print $1,$3,$4}'
		chgrp 77 w/d; chmod g+s w/d; as 'echo >w/d/m; mkdir w/d/n; stat -c "%a %u:%g" w/d/m w/d/n'
		as 'exec 3>w/three; echo three >&3; cat <w/three; for i in 1 2 3; do echo $i; done | tee w/tee; ulimit -n 20; echo >w/x; cat w/x'`,
	"cat": `echo >f; chown 33:34 f; cat <f >g; chown --reference=/proc/self/fd/0 g <f; stat -L -c %u:%g /proc/self/fd/0 g <f
		(chown 5 /dev/fd/3; stat -L -c %u /dev/fd/3) 3>>f; chown 33:34 /dev/stdout && chown 33 /proc/self/fd/1 && chown 5 /dev/stderr && echo all
		ln -s /dev/stdout log; chown 44 log && stat -L -c %u log; stat -L -c %u /dev/stdout /proc/self/fd/2; chown -h 7 log; stat -c %u f log`,
	"stat": makeTree + `cd d/e; chown 33 ../f .; stat -c "%n %u" ../f . ../e/.; cd ..; mv e ../q; cd ../q; stat -c %u .; stat -L -c %u ../d/l ../d/l/ no 2>&1; true`,
}

// Programs that people use are told the same as with the true root.
func TestOwnersInPrograms(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for needs, script := range ownerScripts {
		t.Run(needs, func(t *testing.T) {
			t.Parallel()
			oracle.Program(t, needs)
			scripts := map[string]string{"main": script + "\n"}
			want := lab.run(t, shell, scripts, nil)
			got := lab.run(t, shell, scripts, append(arbitrary, lab.init, "consistent"))
			if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" || want == "" {
				t.Errorf("-kernel +supervisor:\n%s\n%s", diff, got)
			}
		})
	}
}

// overlaid runs a command in an overlay, as containers are: what an image brings is below, owned by root and
// the group of everyone.
const overlaid = `set -e; umask 002
mkdir ov; mount -t tmpfs none ov; cp ../main ov; cd ov; mkdir -p l/dir/sub u w m
echo f >l/f; echo g >l/dir/g; echo s >l/suid; chmod 4775 l/suid; ln -s f l/link; chmod 2775 l/dir/sub; chmod 775 l
mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m; cd m; exec "$@"`

// The files of an image get another inode below when they are written first; their owner stays.
func TestOwnersInAnOverlay(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	oracle.Program(t, "unshare")
	if out, err := exec.Command("unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt && mkdir /mnt/l /mnt/u /mnt/w && mount -t overlay o -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w /mnt").CombinedOutput(); err != nil {
		oracle.Missing(t, "an overlay: %v %s", err, out)
	}
	lab.before = []string{"unshare", "-m", "sh", "-c", overlaid, "sh"}
	const list = "find . | sort | xargs stat -c '%n %u:%g %a %F'\n"
	script := list + `chown -R 33:34 . ; chown -h 5 link
` + list + `echo more >>f; echo more >>dir/g; chmod 600 f; touch dir/sub/new; mkdir dir/sub/deep
` + list + `mv dir/g dir/h; ln f k; rm f; echo new >f; mv dir there
` + list + `chmod 640 k suid; chown 0 k; chgrp 7 there/h
` + list
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	scripts := map[string]string{"main": script}
	want := lab.run(t, shell, scripts, nil)
	got := lab.run(t, shell, scripts, append(arbitrary, lab.init, "consistent"))
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("-kernel +supervisor:\n%s", diff)
	}
}
