package probe

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"unroot/internal/oracle"
	"unroot/internal/verify"
)

// server is a real server from a Debian package. {dir} is a directory of its own, {port} and {port2} free ports,
// {key} a file with a key and a certificate, {me} the user that the test runs as.
type server struct {
	name    string
	program string // looked up in PATH and where Debian puts servers
	user    string // that it runs as where the test is root and the server refuses to
	files   map[string]string
	prepare []string // commands, one a line
	args    []string
	shell   string            // where the test is root, what runs before the server, in a mount namespace of its own
	want    map[string]string // socket → shape; "tcp {port}", "unix {dir}/s"
}

var servers = []server{
	{
		name: "nginx", program: "nginx",
		files: map[string]string{"c": `daemon off; pid {dir}/p; error_log {dir}/e; events {}
http { access_log off; client_body_temp_path {dir}/a; proxy_temp_path {dir}/b; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
 server { listen 127.0.0.1:{port}; root {dir}; location = / { default_type text/html; return 200 "<p>hi</p>"; } location /broken { return 500; } location /x { return 301 /y/; } }
 server { listen 127.0.0.1:{port2} ssl; ssl_certificate {key}; ssl_certificate_key {key}; return 404; }
 server { listen unix:{dir}/sock; return 302 https://id.example/; } }`},
		args: []string{"-c", "{dir}/c", "-e", "{dir}/e"},
		want: map[string]string{"tcp {port}": "http 200 text/html", "tcp {port2}": "https 404 text/html", "unix {dir}/sock": "http 302 to https://id.example:443/"},
	},
	{name: "redis", program: "redis-server", args: []string{"--port", "{port}", "--unixsocket", "{dir}/s", "--dir", "{dir}", "--save", ""},
		want: map[string]string{"tcp {port}": "redis pong", "unix {dir}/s": "redis pong"}},
	{name: "redis with a password", program: "redis-server", args: []string{"--port", "{port}", "--requirepass", "x", "--dir", "{dir}", "--save", ""},
		want: map[string]string{"tcp {port}": "redis NOAUTH"}},
	{name: "memcached", program: "memcached", user: "memcache", args: []string{"-l", "127.0.0.1", "-p", "{port}", "-U", "{port}"},
		want: map[string]string{"tcp {port}": "memcached version", "udp {port}": "memcached version"}},
	{name: "mosquitto", program: "mosquitto", files: map[string]string{"c": "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser {me}\n"},
		args: []string{"-c", "{dir}/c"}, want: map[string]string{"tcp {port}": "mqtt connack 0"}},
	{name: "dnsmasq", program: "dnsmasq", args: []string{"-k", "-p", "{port}", "--listen-address=127.0.0.1", "--bind-interfaces", "-u", "{me}", "-x", "{dir}/p", "-C", "/dev/null", "-R"},
		want: map[string]string{"tcp {port}": "dns NOERROR", "udp {port}": "dns NOERROR"}},
	{name: "postgresql", program: "/usr/lib/postgresql/*/bin/postgres", user: "postgres", prepare: []string{"{bin}/initdb -D {dir}/d --no-sync -A scram-sha-256 -U postgres --pwfile={dir}/w"},
		files: map[string]string{"w": "secret\n"},
		args:  []string{"-D", "{dir}/d", "-p", "{port}", "-k", "{dir}", "-F", "-c", "listen_addresses=127.0.0.1"},
		want:  map[string]string{"tcp {port}": "postgresql authentication 10", "unix {dir}/.s.PGSQL.{port}": "postgresql authentication 10"}},
	{name: "mariadb", program: "mariadbd", user: "mysql", prepare: []string{"mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db --datadir={dir}/d --skip-name-resolve"},
		args: []string{"--no-defaults", "--datadir={dir}/d", "--port={port}", "--bind-address=127.0.0.1", "--socket={dir}/s", "--pid-file={dir}/p", "--innodb-flush-method=nosync"},
		want: map[string]string{"tcp {port}": "mysql greeting", "unix {dir}/s": "mysql greeting"}},
	{name: "slapd", program: "slapd", files: map[string]string{"c": "include /etc/ldap/schema/core.schema\npidfile {dir}/p\ndatabase ldif\nsuffix dc=x\ndirectory {dir}\n"},
		args: []string{"-d", "0", "-f", "{dir}/c", "-h", "ldap://127.0.0.1:{port}"}, want: map[string]string{"tcp {port}": "ldap bind 0"}},
	{name: "haproxy", program: "haproxy", files: map[string]string{"c": `global
 stats socket {dir}/cli
defaults
 mode http
 timeout client 5s
 timeout connect 5s
 timeout server 5s
frontend f
 bind 127.0.0.1:{port}
 bind 127.0.0.1:{port2} ssl crt {key}
 http-request return status 200 content-type text/plain string hi
`}, args: []string{"-db", "-f", "{dir}/c"}, want: map[string]string{"tcp {port}": "http 200 text/plain", "tcp {port2}": "https 200 text/plain", "unix {dir}/cli": "cli"}},
	{name: "haproxy without a server behind it", program: "haproxy", files: map[string]string{"c": `defaults
 mode http
 timeout client 5s
 timeout connect 5s
 timeout server 5s
listen f
 bind 127.0.0.1:{port}
 server a 127.0.0.1:1
`}, args: []string{"-db", "-f", "{dir}/c"}, want: map[string]string{"tcp {port}": "http 503 text/html"}},
	{name: "php-fpm", program: "php-fpm[0-9]*", files: map[string]string{"c": "[global]\nerror_log={dir}/e\npid={dir}/p\n[w]\nlisten={dir}/s\npm=static\npm.max_children=2\nuser={me}\n[x]\nlisten=127.0.0.1:{port}\npm=static\npm.max_children=2\nuser={me}\n"},
		args: []string{"-F", "-R", "-n", "-y", "{dir}/c"}, want: map[string]string{"unix {dir}/s": "fastcgi 10", "tcp {port}": "fastcgi 10"}},
	// as root it wants a directory that only its service makes
	{name: "sshd", program: "sshd", shell: "mount -t tmpfs none /run && mkdir -m 755 /run/sshd", prepare: []string{"ssh-keygen -q -t ed25519 -N  -f {dir}/k"},
		args: []string{"-D", "-e", "-f", "/dev/null", "-h", "{dir}/k", "-p", "{port}", "-o", "ListenAddress=127.0.0.1", "-o", "PidFile={dir}/p"}, want: map[string]string{"tcp {port}": "ssh 2.0"}},
}

// TestServers lets real servers judge the greetings: that they are recognised, over every sort of socket.
func TestServers(t *testing.T) {
	t.Parallel()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.test(t)
		})
	}
}

func (s server) test(t *testing.T) {
	fill := s.start(t, s.find(t))
	var sockets []verify.Socket
	var want []string
	for where, shape := range s.want {
		sockets = append(sockets, socketAt(t, fill.Replace(where)))
		want = append(want, shape)
	}
	awaitListening(t, sockets)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	// What is expected is asked first, and changes no answer, right or wrong.
	right, wrong := map[string]string{}, map[string]string{}
	for i, a := range Generic(ctx, sockets, World{}) {
		right[a.Probe.Address] = want[i]
		wrong[a.Probe.Address] = []string{"silent", "redis pong", "http 418"}[i%3]
		s.judge(t, a, want[i])
	}
	for _, spoke := range []map[string]string{right, wrong} {
		for i, a := range Generic(ctx, sockets, World{Spoke: spoke}) {
			s.judge(t, a, want[i])
		}
	}
}

func (s server) judge(t *testing.T, a verify.Answer, want string) {
	t.Helper()
	if a.Shape != want || a.OK != !strings.HasPrefix(want, "http 5") {
		t.Errorf("%s: got %q (%v, %q, %q), want %q", a.Probe.Address, a.Shape, a.OK, a.Sample, a.Error, want)
	}
}

// find gives the program's path.
func (s server) find(t *testing.T) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		name := filepath.Join(dir, s.program)
		if strings.HasPrefix(s.program, "/") {
			name = s.program
		}
		if found, _ := filepath.Glob(name); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	oracle.Missing(t, "program %s: install its Debian package, see test/packages.txt", s.program)
	return ""
}

// start runs the server until the test ends.
func (s server) start(t *testing.T, program string) *strings.Replacer {
	dir := shortDir(t)
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "key.pem")
	writeKey(t, key)
	fill := strings.NewReplacer("{dir}", dir, "{port}", freePort(t), "{port2}", freePort(t), "{bin}", filepath.Dir(program), "{me}", me.Username, "{key}", key)
	for name, text := range s.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(fill.Replace(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	as := s.account(t, dir)
	for _, line := range s.prepare {
		words := strings.Split(fill.Replace(line), " ")
		cmd := exec.Command(words[0], words[1:]...)
		cmd.SysProcAttr, cmd.Dir = as, dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	var args []string
	for _, a := range s.args {
		args = append(args, fill.Replace(a))
	}
	if s.shell != "" && os.Geteuid() == 0 {
		args = append([]string{"-c", s.shell + ` && exec "$@"`, "sh", program}, args...)
		program, as.Unshareflags = "/bin/sh", syscall.CLONE_NEWNS
	}
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr, cmd.Dir = as, dir
	run(t, cmd, filepath.Join(dir, "output"))
	return fill
}

// run starts a server in a process group of its own, and ends all of it with the test.
func run(t *testing.T, cmd *exec.Cmd, log string) {
	output, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	group := cmd.Process.Pid
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		signalGroup(group, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
		}
		signalGroup(group, syscall.SIGKILL)
		<-ended
		if t.Failed() {
			said, _ := os.ReadFile(log)
			t.Logf("%s says: %s", cmd.Path, said)
		}
	})
}

// signalGroup reaches the processes of one group, and never all (kill(2): -1).
func signalGroup(group int, signal syscall.Signal) {
	if group > 1 {
		_ = syscall.Kill(-group, signal)
	}
}

// account gives who the server runs as: the user of its package where the test is root.
func (s server) account(t *testing.T, dir string) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if s.user == "" || os.Geteuid() != 0 {
		return attr
	}
	account, err := user.Lookup(s.user)
	if err != nil {
		oracle.Missing(t, "user %s: install the package of %s", s.user, s.program)
	}
	uid, _ := strconv.Atoi(account.Uid)
	gid, _ := strconv.Atoi(account.Gid)
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return attr
}
