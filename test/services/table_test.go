package services

import (
	"regexp"
	"time"
)

// class says what a service is in the table for.
type class int

const (
	named   class = iota // the promise names it: at least namedBar of them are proven
	bound                // it cannot do its work without root: it must not be proven, and the cause must be true
	further              // nobody promised it: the mechanism must carry it, or say what is missing
)

// namedBar is how many of the named services must be proven with no hint.
const namedBar = 16

// daemonBar is how many of the twenty-five daemons must be proven, each at the lowest step of emulation
// that works for it.
const daemonBar = 23

// service is one service, the image of it, and who judges it.
type service struct {
	name   string   // as people call it
	sample string   // folder of test/images
	class  class    //
	daemon string   // what the twenty-five call it; empty: none of them
	compat string   // the step of emulation that is asked for, where no run shows the need of it: nobody logs in during a run
	unseen bool     // the judge asks for what happens in no run, such as a login: a proof cannot speak of it, and where it is wrong the page says so
	ports  bool     // it keeps its ports below 1024, which Docker and containerd leave open
	env    []string // without which nobody would start the image: of every run, and of nothing that is written
	judge  judge    // nil where the image does not even serve as root in a container as engines make them
	cause  string   // regular expression for what is said where it is not proven; it is the class of the cause
}

// mode is one way to convert: each service has one row in the document for each.
type mode struct {
	name  string
	flags []string // of convert
}

// modes: what an opt-in compatibility mode gives is a second row of a service, not another one.
var modes = []mode{{name: "plain"}}

func (s service) causes() *regexp.Regexp { return regexp.MustCompile(`(?i)` + s.cause) }

// services are all rows, in the order of the document.
var services = []service{
	{name: "nginx", sample: "nginx", daemon: "nginx", judge: page(80, "/", "Welcome to nginx")},
	{name: "apache2", sample: "apache2", daemon: "apache2", judge: page(80, "/", "It works")},
	{name: "lighttpd", sample: "lighttpd", daemon: "lighttpd", judge: page(80, "/", "Placeholder page")},
	{name: "haproxy", sample: "haproxy", daemon: "haproxy", judge: page(80, "/", "served")},
	{name: "redis-server", sample: "redis", daemon: "redis", judge: redisKeeps},
	{name: "memcached", sample: "memcached", daemon: "memcached", judge: memcachedKeeps},
	{name: "mariadb-server", sample: "mariadb", daemon: "mariadbd", judge: mariadbKeeps},
	{name: "postgresql", sample: "postgres", daemon: "postgres", judge: postgresKeeps, env: []string{"POSTGRES_PASSWORD=secret"}, cause: `could not look up effective user|passwd`},
	{name: "squid", sample: "squid", daemon: "squid", judge: forwards(3128), cause: `pinger`},
	{name: "tinyproxy", sample: "tinyproxy", daemon: "tinyproxy", judge: forwards(8888)},
	{name: "mosquitto", sample: "mosquitto", daemon: "mosquitto", judge: mosquittoPasses},
	{name: "dnsmasq", sample: "dnsmasq", daemon: "dnsmasq", judge: resolves("localhost", "127.0.0.1")},
	{name: "supervisord, two programs", sample: "supervisord-two", daemon: "supervisord", judge: all(page(80, "/", "two programs"), redisKeeps)},
	{name: "php-fpm behind nginx", sample: "php-nginx", daemon: "php-fpm", judge: page(80, "/", "php says 42, visit 1")},
	{name: "unbound", sample: "unbound", daemon: "unbound", judge: resolves("www.example.test", "192.0.2.80")},
	{name: "slapd", sample: "slapd", daemon: "slapd", judge: ldapKeeps},
	{name: "git over http", sample: "git-http", judge: clones},
	{name: "Node server from npm", sample: "node-express",
		judge: page(80, "/", `"hello node"`, "--header", "Content-Type: text/plain", "--data", "hello node")},
	{name: "Python server", sample: "flask-gunicorn", judge: page(80, "/", "of this page")},

	{name: "chronyd", sample: "chronyd", daemon: "chronyd", ports: true, class: further, judge: tellsTime, cause: `superuser|uid 0`},
	{name: "exim4", sample: "exim4", daemon: "exim4", ports: true, class: further, judge: mails("/var/spool/exim4/input/*-H", "/var/mail/alice")},
	{name: "exim4, into a mailbox", sample: "exim4", ports: true, unseen: true, class: further, judge: mails("/var/mail/alice")},
	{name: "sshd, for other users", sample: "sshd", daemon: "sshd", ports: true, compat: "consistent", class: further, judge: sessions(withoutPassword, "alice", "bob"), cause: `ssh_host_|setuid|setgid|chroot|other users|uid 0`},
	{name: "systemd", sample: "systemd", class: bound, cause: `the baseline itself`},

	{name: "nginx, template of its site", sample: "nginx-envsubst", class: further, judge: page(80, "/", "hello from localhost")},
	{name: "nginx, configuration by sed", sample: "nginx-sed", class: further, judge: page(80, "/", "hello")},
	{name: "apache2 with PHP", sample: "php-apache", class: further, judge: page(80, "/", "php says 42, visit 1")},
	{name: "supervisord, nginx and php-fpm", sample: "supervisord", class: further, judge: page(80, "/", "php says 42")},
	{name: "caddy", sample: "caddy", class: further, judge: page(80, "/", "hello from caddy")},
	{name: "varnish", sample: "varnish", class: further, judge: page(80, "/", "varnish answers")},
	{name: "privoxy", sample: "privoxy", class: further, judge: forwards(8118)},
	{name: "stunnel4", sample: "stunnel4", class: further, judge: decrypts, cause: `stunnel\.key`},
	{name: "bind9", sample: "bind9", daemon: "bind9", ports: true, class: further, judge: resolves("localhost", "127.0.0.1"), cause: `tcp port 953`},
	{name: "icecast2", sample: "icecast2", class: further, judge: page(8000, "/status-json.xsl", "icestats")},
	{name: "ngircd", sample: "ngircd", class: further, judge: ircGreets},
	{name: "cron", sample: "cron", daemon: "cron", unseen: true, class: further, judge: stamped(70*time.Second, map[string]string{"/var/lib/stamps/machine": "root\n"})},
	{name: "cron, a user's crontab", sample: "cron-user", unseen: true, class: further, judge: stamped(70*time.Second, map[string]string{"/home/alice/stamp": "alice\n"}), cause: `crontabs/alice`},
	{name: "vsftpd", sample: "vsftpd", daemon: "vsftpd", ports: true, class: further, judge: ftpAnswers},
	{name: "vsftpd, a user's files", sample: "vsftpd", ports: true, unseen: true, class: further, judge: ftpKeeps},
	{name: "smbd", sample: "samba", daemon: "smbd", ports: true, class: further, judge: sharesFiles},
	{name: "sshd, with keys", sample: "sshd-keys", ports: true, unseen: true, compat: "consistent", class: further, judge: sessions(withKey("/home/alice/.ssh/id_ed25519"), "alice", "root")},
	{name: "atd", sample: "atd", unseen: true, class: further, judge: stamped(10*time.Second, map[string]string{"/var/lib/stamps/machine": "root\n", "/home/alice/stamp": "alice\n"})},
	{name: "postfix", sample: "postfix", ports: true, class: further, judge: mails("/var/mail/alice"), cause: `postfix ended`},
	{name: "tftpd", sample: "tftpd", ports: true, class: further, judge: tftpGives, cause: `setgroups|chroot|udp 0\.0\.0\.0:69`},
	{name: "xinetd", sample: "xinetd", class: further, judge: startsPrograms("nobody"), cause: `listens on tcp`},
	{name: "proftpd", sample: "proftpd", unseen: true, class: further, judge: ftpGives, cause: `set UID|setuid`},
	{name: "dovecot", sample: "dovecot", daemon: "dovecot", ports: true, class: further, judge: imapKeeps, cause: `owner of /run/dovecot`},
	{name: "rsyslog", sample: "rsyslog", daemon: "rsyslogd", class: further, judge: collects, cause: `port 514`},
	{name: "monit", sample: "monit", class: further, judge: page(2812, "/", "Monit", "--user", "admin:monit"), cause: `monitrc|passwd|env\.c`},
	{name: "nats-server", sample: "nats-server", class: further, judge: natsPasses},
	{name: "etcd", sample: "etcd", class: further, judge: etcdKeeps},
	{name: "rabbitmq-server", sample: "rabbitmq", class: further, judge: amqpGreets, cause: `cookie|crash.dump`},
	{name: "memcached by su", sample: "su-memcached", class: further, judge: memcachedKeeps},
	{name: "Python server by setpriv", sample: "setpriv-app", class: further, judge: page(80, "/", "served")},
}
