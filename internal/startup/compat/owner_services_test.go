//go:build linux && amd64

package compat

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"unroot/internal/oracle"
)

// ownerServices is servers that look at owners again after they set them. Each prints what a client
// of its own got.
var ownerServices = map[string]struct{ user, script, says string }{
	"initdb": {"postgres", `
D=$PWD/data; mkdir -m 2775 $D; chown -R postgres $D; chmod 700 $D
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
as $PROGRAM -D $D -A trust >log 2>&1 || cat log
B=$(dirname $PROGRAM)
as $B/pg_ctl -D $D -l server.log -o "-k $D -p PORT -c listen_addresses=''" -w start >log || cat log server.log
as $B/psql -h $D -p PORT -U postgres -Atc 'select 40 + 2' postgres
as $B/pg_ctl -D $D -m fast -w stop >log`, "42\n"},
	"dovecot": {"dovecot", `
mkdir -p mail; cat >conf <<E
base_dir = $PWD/run
state_dir = $PWD/state
log_path = $PWD/log
protocols = imap
ssl = no
listen = 127.0.0.1
mail_location = maildir:$PWD/mail/%u
first_valid_uid = 1
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=mail gid=mail home=$PWD/mail/%u
}
service imap-login {
  chroot =
  inet_listener imap {
    port = PORT
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
E
$PROGRAM -F -c conf & D=$!
cat >client.py <<'E'
import imaplib, time
for n in range(100):
    try:
        c = imaplib.IMAP4("127.0.0.1", PORT)
        break
    except OSError:
        time.sleep(0.1)
print(c.login("bob", "secret")[0], c.create("box")[0], c.select("box")[0], c.logout()[0])
E
python3 client.py || cat log; kill $D; wait $D; stat -c %U mail/bob`, "OK OK OK BYE\nmail\n"},
	"sshd": {"postgres", `
umask 022; ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f key; mkdir home made; chmod 777 made
cp key.pub home/keys; chown -R postgres home; chmod 700 home
printf '%s\n' 'Port PORT' 'ListenAddress 127.0.0.1' "HostKey $PWD/host" "AuthorizedKeysFile $PWD/home/keys" 'UsePAM no' 'PidFile none' 'StrictModes no' >conf
$PROGRAM -D -e -f $PWD/conf 2>log & S=$!
for n in 1 2 3 4 5 6 7 8 9 10; do grep -q "Server listening" log && break; sleep .3; done
ssh -q -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i key -p PORT postgres@127.0.0.1 "id -un; touch $PWD/made/t; stat -c %U $PWD/made/t" || cat log
kill $S; wait $S; stat -c '%U %n' made/t`, "postgres\npostgres\npostgres made/t\n"},
}

func TestOwnersInServices(t *testing.T) {
	t.Parallel()
	lab := newLab(t)
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range ownerServices {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := serviceProgram(t, name)
			if _, err := user.Lookup(service.user); err != nil {
				oracle.Missing(t, "%v", err)
			}
			script := "PROGRAM=" + program + "\n" + strings.ReplaceAll(service.script, "PORT", strconv.Itoa(freePort(t))) + "\n"
			if name == "sshd" { // it wants a directory for a jail, which Debian's has here
				if err := os.Mkdir("/run/sshd", 0o755); err == nil {
					t.Cleanup(func() { os.Remove("/run/sshd") })
				}
			}
			got := lab.run(t, shell, map[string]string{"main": script}, append(arbitrary, lab.init, "consistent"))
			if got != service.says {
				t.Errorf("%q, want %q", got, service.says)
			}
		})
	}
}

// serviceProgram finds a server, which may be off the path of programs.
func serviceProgram(t *testing.T, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1]
	}
	if program := "/usr/sbin/" + name; exists(program) {
		return program
	}
	return oracle.Program(t, name)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
