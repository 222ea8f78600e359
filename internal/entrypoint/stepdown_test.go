package entrypoint

import (
	"os/exec"
	"strings"
	"testing"

	"unroot/internal/oracle"
)

func TestWithoutStepDown(t *testing.T) {
	t.Parallel()
	cases := []struct{ argv, rest, user, group string }{
		{"gosu postgres postgres -D /data", "postgres -D /data", "postgres", ""},
		{"/usr/local/bin/gosu 999:0 x", "x", "999", "0"},
		{"su-exec consul:consul consul agent", "consul agent", "consul", "consul"},
		{"tini -g -- su-exec app x -v", "tini -g -- x -v", "app", ""},
		{"tini -- gosu app", "tini --", "app", ""},
		{"dumb-init -r 15:3 env A=b nice -n 5 gosu app x", "dumb-init -r 15:3 env A=b nice -n 5 x", "app", ""},
		{"setpriv --reuid=app --regid app --clear-groups x -a", "x -a", "app", "app"},
		{"setpriv --init-groups --reuid app -- x", "x", "app", ""},
		{"setpriv --no-new-privs gosu app x", "setpriv --no-new-privs x", "app", ""},
		{"su app -c cmd", "/bin/sh -c cmd", "app", ""},
		{"su - app -s /bin/bash -c cmd a b", "/bin/bash -c cmd a b", "app", ""},
		{"su -s /bin/bash app -- -c cmd", "/bin/bash -c cmd", "app", ""},
		{"su -lc cmd app", "/bin/sh -c cmd", "app", ""},
		{"su --command=cmd app", "/bin/sh -c cmd", "app", ""},
		{"su -c cmd", "/bin/sh -c cmd", "root", ""},
		{"su app script arg", "/bin/sh script arg", "app", ""},
		{"runuser -u app -- x -y", "x -y", "app", ""},
		{"runuser app -c cmd", "/bin/sh -c cmd", "app", ""},
		{"runuser -l app -c cmd", "/bin/sh -c cmd", "app", ""},
		{"chpst -u app:grp x", "x", "app", "grp"},
		{"chpst -u :1000:1001 -e /env x", "chpst -e /env x", "1000", "1001"},
		{"chpst -e /env -U app x", "chpst -e /env x", "", ""},
		{"s6-setuidgid app x", "x", "app", ""},
		{"s6-applyuidgid -u 1000 -g 1001 -G 1,2 x", "x", "1000", "1001"},
		{"setuidgid app x", "x", "app", ""},
		{"start-stop-daemon --start --chuid app:grp --exec /x -- -a", "start-stop-daemon --start --exec /x -- -a", "app", "grp"},
		{"start-stop-daemon -S -c app -x /x", "start-stop-daemon -S -x /x", "app", ""},
		{"sudo -E -u app x -y", "x -y", "app", ""},
		{"sudo -EHu app -- x", "x", "app", ""},
		{"sudo x", "x", "root", ""},
		{"sudo -u app A=b x", "env A=b x", "app", ""},
		{"sudo --user=app --group grp x", "x", "app", "grp"},
		{"doas -u app x", "x", "app", ""},
		{"capsh --user=app -- -c cmd", "/bin/bash -c cmd", "app", ""},
		{"chroot --userspec=app:grp / x -y", "x -y", "app", "grp"},
		{"chroot --userspec app / x", "x", "app", ""},
		{"sudo gosu app su-exec b x", "x", "b", ""},
		// Nothing to take out.
		{"nginx -g x", "", "", ""}, {"setpriv --no-new-privs x", "", "", ""}, {"chpst -e /env x", "", "", ""}, {"start-stop-daemon --start --exec /x", "", "", ""},
		{"start-stop-daemon --start --user app --exec /x", "", "", ""}, {"chroot /newroot x", "", "", ""}, {"chroot --userspec=a /newroot x", "", "", ""},
		{"capsh --print", "", "", ""}, {"sudo -v", "", "", ""}, {"gosu", "", "", ""}, {"echo gosu app x", "", "", ""}, {"env", "", "", ""}, {"", "", "", ""},
	}
	for _, c := range cases {
		rest, user, group, ok := WithoutStepDown(strings.Split(c.argv, " "))
		if ok != (c.rest != "") {
			t.Errorf("%q: found is %v, left is %q", c.argv, ok, rest)
			continue
		}
		if got := strings.Join(rest, " "); ok && (got != c.rest || user != c.user || group != c.group) {
			t.Errorf("%q: %q as %q:%q, want %q as %q:%q", c.argv, got, user, group, c.rest, c.user, c.group)
		}
	}
}

// TestEdits gives the script after the edits of a start as another user, under errexit.
func TestEdits(t *testing.T) {
	t.Parallel()
	shell := oracle.Program(t, "bash")
	cases := []struct{ script, want string }{
		{`exec gosu postgres "$@"`, `exec "$@"`},
		{`exec su-exec redis redis-server "$@"`, `exec redis-server "$@"`},
		{`exec gosu \` + "\n\tapp \\\n\tx", `exec x`},
		{`exec gosu app x >/log 2>&1`, `exec x >/log 2>&1`},
		{`exec gosu "$RUN_AS" "$@"`, `exec "$@"`},
		{`su -s /bin/sh app -c "x y"`, `/bin/sh -c "x y"`},
		{`su - app -c 'exec x "$0"' a "$@"`, `/bin/sh -c 'exec x "$0"' a "$@"`},
		{`exec su app -s /bin/bash -c "x $y"`, `exec /bin/bash -c "x $y"`},
		{`su -c"x y" app`, `su -c"x y" app`},
		{`sudo -u app x`, `x`},
		{`sudo chown a /b`, `true chown a /b`},
		{`sudo A=b x`, `env A=b x`},
		{`exec start-stop-daemon --start -c app --exec /x -- -f`, `exec start-stop-daemon --start --exec /x -- -f`},
		{`set -- gosu app "$@"; exec "$@"`, `set -- "$@"; exec "$@"`},
		{`RUN="gosu app"; exec $RUN "$@"`, `RUN="gosu app"; exec "$@"`},
		{`RUN="gosu app x"; exec $RUN`, `RUN="gosu app x"; exec $RUN`},
		{`run() { "$@"; }; run gosu app x`, `run() { "$@"; }; run x`},
		{`as() { gosu app "$@"; }; as x`, `as() { "$@"; }; as x`},
		{`exec tini -- gosu app x`, `exec tini -- x`},
		{`if gosu nobody true; then x; fi`, `if true; then x; fi`},
		{`sh -c 'exec gosu app x'`, `sh -c 'exec x'`},
		{`bash -c "gosu app x $y"`, `bash -c "x $y"`},
		{`sh -c "gosu app \"x\""`, `sh -c "gosu app \"x\""`}, // the quotes are not those of the inner text
		{`eval "gosu app x"`, `eval "gosu app x"`},
		{`chown -R a:b /c`, `true chown -R a:b /c`},
		{`A=b chown a /c`, `A=b true chown a /c`},
		{`command chown a /c`, `command true chown a /c`},
		{`if x; then chown a /b; fi`, `if x; then true chown a /b; fi`},
		{`find /a -exec chown b {} +`, `find /a -exec true chown b {} +`},
		{`find /a -exec chown b {} \;`, `find /a -exec chown b {} \;`},
		{`find /a -print0 | xargs -0 chown b`, `find /a -print0 | xargs -0 true chown b`},
		{`chown a /b || true`, `chown a /b || true`},
		{`chown a /b || exit 1`, `true chown a /b || exit 1`},
		{`chown a /b && chmod 1 /b; x`, `chown a /b && chmod 1 /b || true; x`},
		{`chown a /b && x`, `true chown a /b && x`}, // the status of the start
		{`chmod 700 /a`, `chmod 700 /a || true`},
		{`chmod -x /a; x`, `chmod -x /a || true; x`},
		{`ulimit -n 65536`, `ulimit -n 65536 || true`},
		{`ulimit -n`, `ulimit -n`},
		{`install -d -o a -g b -m 755 /c`, `install -d -m 755 /c`},
		{`install -d /c -o a`, `install -d /c`},
		{`install -oa --group=b x /c`, `install x /c`},
		{`mkdir -p /a; cp x /b; sed -i s/a/b/ /c`, `mkdir -p /a; cp x /b; sed -i s/a/b/ /c`},
		{`echo a:b | chpasswd`, `echo a:b | true chpasswd`},
		{`chmod 1 /a <<E` + "\nE\n", `chmod 1 /a <<E || true` + "\nE\n"},
		{`x=$(chown a /b)`, `x=$(true chown a /b)`},
		{`[ "$(id -u)" = 0 ] && chown a /b; true`, `[ "$(id -u)" = 0 ] && chown a /b; true`},
		{"chown a /b # why\nx", "true chown a /b # why\nx"},
		{`set -o pipefail; chmod 1 /a | cat`, `set -o pipefail; true chmod 1 /a | cat`},
		{`useradd a; setcap x=ep /b; mount /c; sysctl -w a=b; apt-get install x`, `true useradd a; true setcap x=ep /b; true mount /c; true sysctl -w a=b; true apt-get install x`},
		{`echo 1 > /proc/sys/a/b`, `echo 1 > /proc/sys/a/b || true`},
	}
	for _, c := range cases {
		fs := tree{}
		fs.add(File{Path: "/e.sh", Content: []byte(c.script), Interp: "/bin/bash -e", Executable: true})
		story := Read(fs, Start{Entrypoint: []string{"/e.sh"}, Cmd: []string{"server"}})
		got := afterEdits(t, story, "/e.sh", c.script)
		if got != c.want {
			t.Errorf("%q\n\tbecomes %q\n\twant    %q", c.script, got, c.want)
		}
		if out, err := exec.Command(shell, "-n", "-c", got).CombinedOutput(); err != nil {
			t.Errorf("%q: bash does not read it: %v\n%s", got, err, out)
		}
	}
}
