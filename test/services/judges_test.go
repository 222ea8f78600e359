package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// judge asks a real request of the service's protocol; the error says what was wrong with the
// answer. An answer that only says that something failed is an error too.
type judge func(ctx context.Context, p place) error

// clients are the programs that the judges ask with; test/packages.txt names their packages.
var clients = []string{"nsenter", "curl", "redis-cli", "memccp", "memccat", "mariadb", "psql", "mosquitto_pub",
	"mosquitto_sub", "dig", "ldapsearch", "ldapmodify", "git", "ssh", "logger", "ntpdig", "smbclient"}

// all wants every one of the judges to be content.
func all(judges ...judge) judge {
	return func(ctx context.Context, p place) error {
		for _, j := range judges {
			if err := j(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
}

// curl asks for a page: status 200 to 299, and the text in it.
func curl(ctx context.Context, p place, says, url string, options ...string) error {
	line := append([]string{"curl", "--disable", "--fail", "--silent", "--show-error", "--max-time", "10"}, options...)
	return p.says(ctx, []string{says}, "", append(line, url)...)
}

func page(port int, path, says string, options ...string) judge {
	return func(ctx context.Context, p place) error {
		return curl(ctx, p, says, "http://"+p.address(port)+path, options...)
	}
}

// forwards asks a proxy for a page that only the test's own server has.
func forwards(port int) judge {
	return func(ctx context.Context, p place) error {
		return fromOrigin(p, 18080, func() error {
			return curl(ctx, p, "page of the origin", "http://127.0.0.1:18080/", "--proxy", "http://"+p.address(port), "--noproxy", "")
		})
	}
}

// fromOrigin asks while the test's own server is there for the service to ask in turn.
func fromOrigin(p place, port int, ask func() error) error {
	end, err := p.origin(port, "page of the origin")
	if err != nil {
		return err
	}
	defer end()
	return ask()
}

func decrypts(ctx context.Context, p place) error {
	return fromOrigin(p, 8080, func() error {
		return curl(ctx, p, "page of the origin", "https://"+p.address(443)+"/", "--insecure")
	})
}

func redisKeeps(ctx context.Context, p place) error {
	cli := []string{"redis-cli", "-e", "-h", "127.0.0.1", "-p", strconv.Itoa(p.port(6379))}
	for _, exchange := range [][2]string{{"SET greeting hello", "OK"}, {"GET greeting", "hello"}, {"SAVE", "OK"}} {
		if err := p.says(ctx, []string{exchange[1]}, "", append(cli, strings.Fields(exchange[0])...)...); err != nil {
			return err
		}
	}
	return nil
}

func memcachedKeeps(ctx context.Context, p place) error {
	return temporary(func(dir string) error {
		servers, file := "--servers="+p.address(11211), filepath.Join(dir, "greeting")
		if err := os.WriteFile(file, []byte("hello memcached"), 0o600); err != nil {
			return err
		}
		if _, err := p.ask(ctx, "", "memccp", servers, file); err != nil {
			return err
		}
		return p.says(ctx, []string{"hello memcached"}, "", "memccat", servers, "greeting")
	})
}

func mariadbKeeps(ctx context.Context, p place) error {
	sql := `create database if not exists kept; create table if not exists kept.rows_ (v int);
		insert into kept.rows_ values (42); select concat('answer ', max(v)) from kept.rows_`
	return p.says(ctx, []string{"answer 42"}, sql, "mariadb", "--no-defaults", "--host=127.0.0.1", "--user=root",
		"--port="+strconv.Itoa(p.port(3306)), "--connect-timeout=5", "--batch", "--skip-column-names")
}

func postgresKeeps(ctx context.Context, p place) error {
	url := "postgresql://postgres:secret@" + p.address(5432) + "/postgres?connect_timeout=5"
	sql := `create table if not exists kept (v int); insert into kept values (42); select 'answer ' || max(v) from kept;`
	return p.says(ctx, []string{"answer 42"}, sql, "psql", url, "--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1")
}

func mosquittoPasses(ctx context.Context, p place) error {
	to := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(p.port(1883)), "-t", "unroot/test"}
	if _, err := p.ask(ctx, "", append([]string{"mosquitto_pub", "-r", "-q", "1", "-m", "hello mqtt"}, to...)...); err != nil {
		return err
	}
	return p.says(ctx, []string{"hello mqtt"}, "", append([]string{"mosquitto_sub", "-C", "1", "-W", "5"}, to...)...)
}

// resolves asks a name server by UDP and by TCP.
func resolves(name, address string) judge {
	return func(ctx context.Context, p place) error {
		for proto, option := range map[string]string{"udp": "+notcp", "tcp": "+tcp"} {
			err := p.says(ctx, []string{address + "\n"}, "", "dig", "-r", "@127.0.0.1", "-p", strconv.Itoa(p.portOf(proto, 53)),
				"+short", "+time=2", "+tries=1", option, name, "A")
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// ldapKeeps reads the entry of the domain that the packager chose, and changes it.
func ldapKeeps(ctx context.Context, p place) error {
	server := []string{"-x", "-H", "ldap://" + p.address(389) + "/", "-o", "nettimeout=5"}
	change := "dn: dc=example,dc=org\nchangetype: modify\nreplace: description\ndescription: changed over the network\n"
	admin := []string{"ldapmodify", "-D", "cn=admin,dc=example,dc=org", "-w", "secret"}
	if _, err := p.ask(ctx, change, append(admin, server...)...); err != nil {
		return err
	}
	search := append([]string{"ldapsearch"}, server...)
	return p.says(ctx, []string{"dc: example", "description: changed over the network"}, "",
		append(search, "-LLL", "-b", "dc=example,dc=org", "-s", "base")...)
}

func clones(ctx context.Context, p place) error {
	return temporary(func(dir string) error {
		copied := filepath.Join(dir, "demo")
		if _, err := p.ask(ctx, "", "git", "clone", "--quiet", "http://"+p.address(80)+"/git/demo.git", copied); err != nil {
			return err
		}
		readme, err := os.ReadFile(filepath.Join(copied, "README"))
		if err == nil && string(readme) != "served by git-http-backend\n" {
			err = fmt.Errorf("the clone's README has %q", readme)
		}
		return err
	})
}

// tellsTime asks an NTP server, and does not set this machine's clock.
func tellsTime(ctx context.Context, p place) error {
	return p.says(ctx, []string{`"stratum":8`}, "", "ntpdig", "--json", "--timeout=3", "127.0.0.1")
}

// mails sends a mail to a user and waits until it is in a file that one of the patterns names.
func mails(patterns ...string) judge {
	return func(ctx context.Context, p place) error {
		subject := fmt.Sprintf("Subject: unroot %d", time.Now().UnixNano())
		_, err := p.ask(ctx, subject+"\n\nhello\n", "curl", "--disable", "--silent", "--show-error", "--max-time", "10", "smtp://"+p.address(25)+"/client.example.org",
			"--mail-from", "bob@example.org", "--mail-rcpt", "alice@example.org", "--upload-file", "-")
		if err != nil {
			return err
		}
		for range 20 {
			var found bool
			if found, err = p.anyHas(subject, patterns...); found {
				return nil
			}
			time.Sleep(100 * time.Millisecond)
		}
		return errors.Join(fmt.Errorf("the mail is accepted, and in none of %v", patterns), err)
	}
}

// collects sends a line to a log host and wants it in the host's file.
func collects(ctx context.Context, p place) error {
	for _, proto := range []string{"udp", "tcp"} {
		text := fmt.Sprintf("unroot %s %d", proto, time.Now().UnixNano())
		if _, err := p.ask(ctx, "", "logger", "--server", "127.0.0.1", "--port", strconv.Itoa(p.portOf(proto, 514)), "--"+proto, "--tag", "unroot", text); err != nil {
			return err
		}
		var log string
		var err error
		for range 20 {
			if log, err = p.file("/var/log/remote/all.log"); strings.Contains(log, text) {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if !strings.Contains(log, text) {
			return fmt.Errorf("the line sent by %s is not in the file: %w", proto, err)
		}
	}
	return nil
}

// ftpGives fetches a file as anonymous.
func ftpGives(ctx context.Context, p place) error {
	return curl(ctx, p, "hello by ftp", "ftp://"+p.address(21)+"/hello.txt")
}

// imapKeeps stores a mail and reads it back.
func imapKeeps(ctx context.Context, p place) error {
	options := []string{"--user", "alice:wonderland"}
	inbox := "imap://" + p.address(143) + "/INBOX"
	mail := "From: bob@example.org\r\nSubject: kept\r\n\r\nhello imap\r\n"
	err := temporary(func(dir string) error {
		file := filepath.Join(dir, "mail")
		if err := os.WriteFile(file, []byte(mail), 0o600); err != nil {
			return err
		}
		return curl(ctx, p, "", inbox, append(options, "--upload-file", file)...)
	})
	if err != nil {
		return err
	}
	return curl(ctx, p, "hello imap", inbox+";MAILINDEX=1", options...)
}

func etcdKeeps(ctx context.Context, p place) error {
	url := "http://" + p.address(2379) + "/v3/kv/"
	if err := curl(ctx, p, `"revision"`, url+"put", "--data", `{"key":"Zm9v","value":"YmFy"}`); err != nil {
		return err
	}
	return curl(ctx, p, `"value":"YmFy"`, url+"range", "--data", `{"key":"Zm9v"}`)
}

func ircGreets(_ context.Context, p place) error {
	return p.dialogue(6667, [2]string{"NICK unroot\r\nUSER unroot 0 * :unroot\r\n", " 001 unroot "}, [2]string{"QUIT\r\n", "ERROR"})
}

func natsPasses(_ context.Context, p place) error {
	return p.dialogue(4222, [2]string{"", "INFO {"}, [2]string{"CONNECT {\"verbose\":false}\r\nPING\r\n", "PONG\r\n"},
		[2]string{"SUB a 1\r\nPUB a 5\r\nhello\r\n", "MSG a 1 5\r\nhello\r\n"})
}

// amqpGreets wants Connection.Start of AMQP 0-9-1, section 1.4.2.1.
func amqpGreets(_ context.Context, p place) error {
	return p.dialogue(5672, [2]string{"AMQP\x00\x00\x09\x01", "RabbitMQ"})
}
