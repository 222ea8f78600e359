package recipe

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"unroot/internal/finding"
	"unroot/internal/oracle"
)

// daemon is a real program with the configuration that its Debian package installs.
type daemon struct {
	program string
	tree    string // the package's configuration; "" where there is none
	main    string // file in it
	args    func(main string) []string
	without []string            // files of the tree that the package's start scripts complete first
	adapt   func(string) string // of the main file, before it is read: what the package leaves to defaults
	bound   []uint16            // ports that it listens on without a word in the main file, if it does
}

// found gives the daemon with its patterns replaced by the newest version that is installed, and
// ends the test where there is none.
func (d daemon) found(t *testing.T) daemon {
	t.Helper()
	for _, field := range []*string{&d.program, &d.tree} {
		if !strings.Contains(*field, "*") {
			continue
		}
		all, err := filepath.Glob(*field)
		if err != nil || len(all) == 0 {
			oracle.Missing(t, "%s: install it, or see the packages in the Makefile", *field)
		}
		*field = all[len(all)-1]
	}
	oracle.Program(t, d.program)
	return d
}

// after gives a change that adds text behind the first occurrence of a line.
func after(line, text string) func(string) string {
	return func(s string) string { return strings.Replace(s, line, line+text, 1) }
}

func appended(text string) func(string) string {
	return func(s string) string { return s + "\n" + text }
}

var daemons = map[string]daemon{
	"nginx": {program: "nginx", tree: "/etc/nginx", main: "nginx.conf",
		args: func(main string) []string { return []string{"-c", main, "-e", "stderr", "-g", "daemon off;"} },
		adapt: after("http {\n", "client_body_temp_path /var/lib/nginx/a;\nproxy_temp_path /var/lib/nginx/b;\nfastcgi_temp_path /var/lib/nginx/c;\n"+
			"uwsgi_temp_path /var/lib/nginx/d;\nscgi_temp_path /var/lib/nginx/e;\n")},
	"apache": {program: "apache2", tree: "/etc/apache2", main: "apache2.conf",
		args: func(main string) []string {
			return []string{"sh", "-c", ". ./envvars && exec apache2 -DFOREGROUND -d $PWD -f " + main}
		}},
	"lighttpd": {program: "lighttpd", tree: "/etc/lighttpd", main: "lighttpd.conf",
		args:  func(main string) []string { return []string{"-D", "-f", main} },
		adapt: appended("server.chroot = \"/var/tmp\"\n")},
	"haproxy": {program: "haproxy", tree: "/etc/haproxy", main: "haproxy.cfg",
		args:  func(main string) []string { return []string{"-db", "-f", main} },
		adapt: appended("frontend web\n\tbind :80,127.0.0.2:80 # the web\n\tbind /run/haproxy/web.sock user haproxy group haproxy mode 600\n")},
	"php-fpm": {program: "/usr/sbin/php-fpm*", tree: "/etc/php/*/fpm", main: "php-fpm.conf",
		args: func(main string) []string { return []string{"-F", "-y", main} }},
	"supervisor": {program: "supervisord", tree: "/etc/supervisor", main: "supervisord.conf",
		args: func(main string) []string { return []string{"-n", "-c", main} },
		adapt: func(s string) string {
			return after("[unix_http_server]\n", "chown=root:root\n")(after("[supervisord]\n", "user=daemon\n")(s))
		}},
	"redis": {program: "redis-server", tree: "/etc/redis", main: "redis.conf",
		args: func(main string) []string { return []string{main, "--daemonize", "no"} }},
	"squid": {program: "squid", tree: "/etc/squid", main: "squid.conf",
		args: func(main string) []string { return []string{"-N", "-f", main} },
		adapt: appended("cache_effective_user proxy\ncache_effective_group proxy\npid_filename /run/squid.pid\n" +
			"access_log daemon:/var/log/squid/access.log squid\ncache_log /var/log/squid/cache.log\nnetdb_filename stdio:/var/spool/squid/netdb.state\nchroot /var/tmp\n")},
	"unbound": {program: "unbound", tree: "/etc/unbound", main: "unbound.conf",
		without: []string{"unbound.conf.d/root-auto-trust-anchor-file.conf"},
		args:    func(main string) []string { return []string{"-d", "-c", main} },
		adapt: appended("server:\n\tinterface: 127.0.0.1\n\tuse-syslog: no\n\tlogfile: \"\"\n\tport: 53\n\tusername: unbound\n\tchroot: \"/var/tmp\"\n\tpidfile: /run/unbound.pid\n" +
			"remote-control:\n\tcontrol-enable: no\n")},
	"dnsmasq": {program: "dnsmasq", main: "dnsmasq.conf",
		args:  func(main string) []string { return []string{"-k", "-C", main} },
		adapt: appended("port=53\nuser=dnsmasq\ngroup=nogroup\npid-file=/run/dnsmasq.pid\nno-resolv\n")},
	"named": {program: "named", tree: "/etc/bind", main: "named.conf",
		args:  func(main string) []string { return []string{"-g", "-c", main} },
		adapt: appended("logging { channel c { file \"/var/log/named.log\"; }; };\ncontrols { };\n")},
	"mosquitto": {program: "mosquitto", tree: "/etc/mosquitto", main: "mosquitto.conf",
		args:  func(main string) []string { return []string{"-c", main} },
		adapt: appended("listener 883\nuser mosquitto\n")},
	"tinyproxy": {program: "tinyproxy", tree: "/etc/tinyproxy", main: "tinyproxy.conf",
		args: func(main string) []string { return []string{"-d", "-c", main} }},
	"proftpd": {program: "proftpd", tree: "/etc/proftpd", main: "proftpd.conf",
		args: func(main string) []string { return []string{"-n", "-c", main} },
		adapt: after("\nGroup nogroup", "\nGroup proxy\n"+ // the later one counts: not the group that the test runs as
			"ScoreboardFile /run/proftpd/scoreboard\nPidFile /run/proftpd.pid\nDelayTable /run/proftpd.delay\n")},
	"caddyfile": {program: "caddy", tree: "/etc/caddy", main: "Caddyfile",
		args:  func(main string) []string { return []string{"run", "--config", main, "--adapter", "caddyfile"} },
		adapt: func(s string) string { return "{\n\tadmin off\n}\n" + s }},
	"sshd": {program: "/usr/sbin/sshd", tree: "/etc/ssh", main: "sshd_config", bound: []uint16{22},
		args: func(main string) []string {
			return []string{"sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f key && exec /usr/sbin/sshd -D -e -h $PWD/key -f " + main}
		},
		adapt: appended("PidFile none\n")},
	"privoxy": {program: "privoxy", tree: "/etc/privoxy", main: "config",
		args: func(main string) []string { return []string{"--no-daemon", main} }},
}

// judged is a copy of a configuration that was edited through directives only.
type judged struct {
	dir     string
	main    string
	ports   []uint16 // moved to
	sockets []string
	choices int       // how many user, group and chroot directives there are
	kept    Directive // the one that keep chose, if any
}

// prepare copies a daemon's configuration, and edits the copy by the directives that are read: the
// includes stay in the copy, every written path goes below a folder of the test, ports move to free
// ones, and what must go goes, but for the one directive that keep points at (by number).
func prepare(t *testing.T, d daemon, keep int) judged {
	t.Helper()
	j := judged{dir: t.TempDir()}
	j.main = filepath.Join(j.dir, d.main)
	if d.tree != "" {
		copyTree(t, d.tree, j.dir)
	}
	for _, name := range d.without {
		if err := os.Remove(filepath.Join(j.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if d.adapt != nil {
		content, _ := os.ReadFile(j.main)
		write(t, j.main, []byte(d.adapt(string(content))))
	}
	p := preparation{judged: &j, tree: d.tree, keep: keep, bound: d.bound, moved: map[uint16]uint16{}}
	p.files(t, func(path string, content []byte) { // ports first: a reference may come before its directive
		for _, d := range p.read(path, content) {
			p.choosePort(t, d)
		}
	})
	p.files(t, func(path string, content []byte) { p.file(t, path, content) })
	return j
}

type preparation struct {
	*judged
	tree  string
	keep  int
	bound []uint16
	moved map[uint16]uint16
}

func (p *preparation) files(t *testing.T, visit func(path string, content []byte)) {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(p.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		visit(path, content)
	}
}

// read gives a file's directives; what it may say by its silence only where that is known to hold.
func (p *preparation) read(path string, content []byte) []Directive {
	return slices.DeleteFunc(Read(path, content), func(d Directive) bool {
		return d.Hint && (path != p.main || !slices.Contains(p.bound, d.Implied))
	})
}

func (p *preparation) choosePort(t *testing.T, d Directive) {
	t.Helper()
	if from := max(d.Port, d.Implied); d.Role == Listen && from != 0 && p.moved[from] == 0 {
		p.moved[from] = freePort(t)
		p.ports = append(p.ports, p.moved[from])
	}
}

func (p *preparation) file(t *testing.T, path string, content []byte) {
	t.Helper()
	var edits []finding.Edit
	for _, d := range p.read(path, content) {
		edits = append(edits, p.edit(t, content, d)...)
	}
	for from, to := range p.moved {
		for _, r := range references(content, from) {
			edits = append(edits, finding.Edit{Start: r.Start, End: r.End, New: fmt.Sprint(to)})
		}
	}
	after, err := finding.Apply(content, edits)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	write(t, path, after)
}

func references(content []byte, from uint16) []PortRef {
	names := Recognise("", content)
	if len(names) == 0 {
		return nil
	}
	return References(content, names[0], from)
}

func (p *preparation) edit(t *testing.T, content []byte, d Directive) []finding.Edit {
	switch d.Role {
	case User, Group, Chroot:
		p.choices++
		if p.choices == p.keep {
			p.kept = d
			return nil
		}
		switch {
		case d.Instead == "{user}":
			return []finding.Edit{SetValue(content, d, "nobody")}
		case d.Instead == "{group}":
			return []finding.Edit{SetValue(content, d, "nogroup")}
		case d.Drop:
			return []finding.Edit{Remove(content, d)}
		}
	case Listen:
		if to := p.moved[max(d.Port, d.Implied)]; to != 0 {
			return []finding.Edit{MovePort(content, d, to)}
		}
	case Include:
		if rest, ok := strings.CutPrefix(d.Value, p.tree+"/"); ok && p.tree != "" {
			return []finding.Edit{SetValue(content, d, filepath.Join(p.dir, rest))}
		}
	case PidFile, Log, StateDir, StateFile, Socket:
		if strings.HasPrefix(d.Value, "/") && !strings.HasPrefix(d.Value, "/dev/") {
			to := p.redirect(t, d)
			return []finding.Edit{SetValue(content, d, to)}
		}
	}
	return nil
}

// redirect makes a place for a written path below the test's folder.
func (p *preparation) redirect(t *testing.T, d Directive) string {
	to := filepath.Join(p.dir, "root", d.Value)
	if d.Role == Socket {
		p.sockets = append(p.sockets, to)
	}
	if d.Dir {
		mkdir(t, to)
		return to
	}
	mkdir(t, filepath.Dir(to))
	if content, err := os.ReadFile(d.Value); err == nil && d.Role == StateFile {
		write(t, to, content)
	}
	return to
}

// serves runs the daemon as an ordinary user and tells whether it accepts a connection.
func serves(t *testing.T, d daemon, j judged) (bool, string) {
	t.Helper()
	args := d.args(j.main)
	if args[0] != "sh" {
		args = append([]string{d.program}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, j.dir
	cmd.Env = append(os.Environ(), "HOME="+j.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		giveAway(t, j.dir)
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		select {
		case <-done:
		case <-time.After(5 * time.Second):
		}
	}()
	// Privileges go after the sockets are bound: one connection proves nothing, so a second must
	// work a while later.
	steady := 0
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		select {
		case <-done:
			done <- nil
			return false, out.String()
		default:
		}
		if !reachable(j) {
			steady = 0
		} else if steady++; steady > 6 {
			return true, ""
		}
	}
	return false, "nothing listened in time"
}

// reachable tries the last moved port, or where none was the sockets.
func reachable(j judged) bool {
	network, addresses := "unix", j.sockets
	if len(j.ports) > 0 {
		network, addresses = "tcp", []string{fmt.Sprintf("127.0.0.1:%d", j.ports[0])}
	}
	for _, a := range addresses {
		if c, err := net.DialTimeout(network, a, time.Second); err == nil {
			_ = c.Close()
			return true
		}
	}
	return false
}

// TestRealProgramsServe: the package's configuration, edited only through directives, makes the real
// program serve on the moved port as an ordinary user with no capability.
func TestRealProgramsServe(t *testing.T) {
	t.Parallel()
	for dialect, d := range daemons {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			d := d.found(t)
			j := prepare(t, d, 0)
			if len(j.ports) == 0 && len(j.sockets) == 0 {
				t.Fatal("nothing to listen on was found")
			}
			if ok, out := serves(t, d, j); !ok {
				t.Errorf("does not serve on %v %v:\n%s", j.ports, j.sockets, tail(out))
			}
		})
	}
}

// TestFatalIsFatal: each user, group and chroot directive, left in alone, stops the real program
// exactly where the dialect says that it does.
func TestFatalIsFatal(t *testing.T) {
	t.Parallel()
	for dialect, d := range daemons {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			d := d.found(t)
			oracle.Root(t)
			for keep := 1; keep <= prepare(t, d, 0).choices; keep++ {
				j := prepare(t, d, keep)
				ok, out := serves(t, d, j)
				if ok == j.kept.Fatal {
					t.Errorf("%s %s %s in %s: fatal %v, but serves %v:\n%s", j.kept.Role, j.kept.Key, j.kept.Value, j.kept.Path, j.kept.Fatal, ok, tail(out))
				}
			}
		})
	}
}

func tail(s string) string { return s[max(0, len(s)-1500):] }

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// copyTree copies regular files, following links as the programs do.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		oracle.Missing(t, "configuration %s: %v", from, err)
	}
	for _, e := range entries {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		info, err := os.Stat(source)
		switch {
		case err != nil:
		case info.IsDir():
			mkdir(t, target)
			copyTree(t, source, target)
		case info.Mode().IsRegular() && info.Mode()&0o077 != 0: // what is root's alone no package configures a daemon with
			content, err := os.ReadFile(source)
			if err != nil {
				oracle.Missing(t, "reading %s: %v", source, err)
			}
			write(t, target, content)
		}
	}
}

func giveAway(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, 65534, 65534)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
