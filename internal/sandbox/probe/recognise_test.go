package probe

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// TestRecognise has one answer for each row, as the specification of its protocol has it; what real servers say is in
// servers_test.go.
func TestRecognise(t *testing.T) {
	t.Parallel()
	by := map[string]protocol{}
	for _, p := range streams {
		by[p.name] = p
	}
	for _, p := range datagrams {
		by["udp "+p.name] = p
	}
	by[lateStream.name] = lateStream
	by["banner"] = protocol{recognise: recogniseBanner}
	by["http"] = protocol{recognise: func(b []byte) (verdict, bool) { return recogniseWeb(b, "http", endpoint{port: 8080}) }}
	tests := []struct{ protocol, answer, shape, trouble string }{
		{"banner", "SSH-2.0-OpenSSH_9.2p1\r\n", "ssh 2.0", ""},
		{"banner", "220 host ESMTP\r\n", "banner 220", ""},
		{"banner", "220-a\r\n220 b\r\n", "banner 220", ""},
		{"banner", "554 no\r\n", "banner 554", "the service says 554 no"},
		{"banner", "107 59      \nsalt", "banner 107", ""},
		{"banner", "+OK ready\r\n", "pop3 ok", ""},
		{"banner", "* OK [CAPABILITY IMAP4rev1] ready\r\n", "imap ok", ""},
		{"banner", "* BYE no\r\n", "imap bye", "the service says * BYE no"},
		{"banner", "\x2d\x00\x00\x00\x0a5.5.5-10.11\x00rest", "mysql greeting", ""},
		{"banner", "\x45\x00\x00\x00\xff\x6a\x04Host 'x' is not allowed", "mysql error 1130", "the service says error 1130"},
		{"banner", "@RSYNCD: 31.0\n", "rsync", ""},
		{"banner", "RFB 003.008\n", "rfb", ""},
		{"banner", "\xff\xfd\x18\xff", "telnet", ""},
		{"banner", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f", "zmtp", ""},
		{"banner", ":irc.x NOTICE * :*** hello\r\n", "irc", ""},
		{"banner", "hello\n", "", ""},
		{"banner", "2200 x", "", ""},
		{"http", "HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; charset=utf-8\r\n\r\n", "http 200 text/html", ""},
		{"http", "HTTP/1.1 204 No Content\r\n\r\n", "http 204", ""},
		{"http", "HTTP/1.0 500 no\r\nContent-Type: text/plain\r\n\r\nPermission denied", "http 500 text/plain", "the status is 500"},
		{"http", "HTTP/1.1 301 Moved\r\nLocation: http://localhost:8080/x/?s=1\r\n\r\n", "http 301 to /x/", ""},
		{"http", "HTTP/1.1 301 Moved\r\nLocation: http://localhost/x/\r\n\r\n", "http 301 to :80/x/", ""},
		{"http", "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "http 302 to /login", ""},
		{"http", "HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\n\r\n", "http 302 to https://:443/", ""},
		{"http", "HTTP/1.1 302 Found\r\nLocation: https://id.example/a?b\r\n\r\n", "http 302 to https://id.example:443/a", ""},
		{"http", "HTTP/1.1 2", "http damaged", "the answer begins as HTTP and is none"},
		{"http", "-ERR x\r\n", "", ""},
		{"redis", "+PONG\r\n", "redis pong", ""},
		{"redis", "-NOAUTH Authentication required.\r\n", "redis NOAUTH", ""},
		{"redis", "-MISCONF Redis is configured to save RDB\r\n", "redis MISCONF", "the service says -MISCONF Redis is configured to save RDB"},
		{"redis", "-LOADING Redis is loading\r\n", "redis LOADING", "the service says -LOADING Redis is loading"},
		{"redis", "ERROR\r\n", "", ""},
		{"postgresql", "R\x00\x00\x00\x08\x00\x00\x00\x0a", "postgresql authentication 10", ""},
		{"postgresql", "E\x00\x00\x00\x20SFATAL\x00C28000\x00Mno role\x00\x00", "postgresql error 28000", ""},
		{"postgresql", "E\x00\x00\x00\x20SFATAL\x00C57P03\x00Mstarting up\x00\x00", "postgresql error 57P03", "the service says starting up"},
		{"memcached", "VERSION 1.6.18\r\n", "memcached version", ""},
		{"mqtt", "\x20\x02\x00\x05", "mqtt connack 5", ""},
		{"mqtt", "\x20\x02\x00\x03", "mqtt connack 3", "the service says that it is unavailable"},
		{"ldap", "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", "ldap bind 0", ""},
		{"ldap", "\x30\x84\x00\x00\x00\x10\x02\x01\x01\x61\x84\x00\x00\x00\x07\x0a\x01\x30\x04\x00\x04\x00", "ldap bind 48", ""},
		{"fastcgi", "\x01\x0a\x00\x00\x00\x12\x06\x00\x0f\x01FCGI_MPXS_CONNS0", "fastcgi 10", ""},
		{"dns", "\x00\x0cur\x81\x80\x00\x01\x00\x00\x00\x00\x00\x00", "dns NOERROR", ""},
		{"udp dns", "ur\x81\x82\x00\x01\x00\x00\x00\x00\x00\x00", "dns SERVFAIL", "the service says SERVFAIL"},
		{"udp dns", "xx\x81\x82\x00\x01\x00\x00\x00\x00\x00\x00", "", ""},
		{"http2", "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x10\x00\x00", "http2 settings", ""},
		{"cli", "Unknown command. Please enter one of the following commands only:\n", "cli", ""},
		{"amqp", "\x01\x00\x00\x00\x00\x01\x00\x00\x0a\x00\x0a", "amqp start", ""},
		{"amqp", "AMQP\x00\x00\x09\x01", "amqp 0.9", ""},
		{"mongodb", "\x30\x00\x00\x00\x07\x00\x00\x00unro\xdd\x07\x00\x00", "mongodb hello", ""},
		{"kafka", "\x00\x00\x00\x20unro\x00\x00", "kafka versions 0", ""},
		{"zookeeper", "Zookeeper version: 3.8\n", "zookeeper", ""},
		{"zookeeper", "srvr is not executed because it is not in the whitelist.\n", "zookeeper closed", ""},
		{"cql", "\x84\x00\x00\x00\x06\x00\x00\x00\x00", "cql 6", ""},
		{"clamd", "PONG\x00", "clamd pong", ""},
		{"git", "0029ERR access denied or repository not e", "git error", ""},
		{"ajp", "AB\x00\x01\x09", "ajp cpong", ""},
		{"mysqlx", "\x28\x00\x00\x00\x02", "mysqlx", ""},
		{"epmd", "\x00\x00\x11\x11name rabbit at port 25672\n", "epmd", ""},
		{"udp ntp", "\x24" + strings.Repeat("\x00", 47), "ntp", ""},
		{"udp snmp", "\x30\x29\x02\x01\x01\x04\x06public\xa2\x1c", "snmp", ""},
		{"udp tftp", "\x00\x05\x00\x01File not found\x00", "tftp error 1", ""},
		{"udp stun", "\x01\x01\x00\x00\x21\x12\xa4\x42unroot-probe", "stun", ""},
		{"udp sip", "SIP/2.0 200 OK\r\n", "sip 200", ""},
		{"udp coap", "\x70\x00ur", "coap", ""},
		{"udp memcached", "\x00\x01\x00\x00\x00\x01\x00\x00VERSION 1\r\n", "memcached version", ""},
		{"udp quic", "\xc0\x00\x00\x00\x00\x08probepro\x08unrootun\x00\x00\x00\x01", "quic", ""},
	}
	for _, test := range tests {
		p, ok := by[test.protocol]
		if !ok {
			t.Fatalf("there is no protocol %s", test.protocol)
		}
		v, ok := p.recognise([]byte(test.answer))
		if ok != (test.shape != "") || ok && (v.shape != test.shape || v.trouble != test.trouble) {
			t.Errorf("%s %q: got %v %+v, want %q %q", test.protocol, test.answer, ok, v, test.shape, test.trouble)
		}
	}
	answered := map[string]bool{"tls": true}
	for _, test := range tests {
		answered[test.protocol] = true
	}
	for name := range by {
		if !answered[name] {
			t.Errorf("protocol %s has no row", name)
		}
	}
}

// FuzzRecognise holds that no answer makes a recogniser fail, and that a shape can be printed and compared.
func FuzzRecognise(f *testing.F) {
	for _, seed := range []string{"HTTP/1.1 301 x\r\nLocation: //\x1b[2J\r\n\r\n", "E\x00\x00\x00\x20C28000\x00\x00", "\x30\x84\xff\xff\xff\xff\x02\x01\x01\x61", "-NOAUTH x",
		"SSH-\xff-", "ur\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00", "0029ERR ", "\x2d\x00\x00\x00\x0a5", "\x20\x02\x00\x03", "AMQP\x00\x00\x09\x01"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		check := func(name string, v verdict, ok bool) {
			if ok && (v.shape == "" || len(v.shape) > 200 || !utf8.ValidString(v.shape) || strings.ContainsAny(v.shape+v.trouble, "\x00\x1b\r\n")) {
				t.Errorf("%s: shape %q, trouble %q", name, v.shape, v.trouble)
			}
		}
		for _, p := range append(append(streams[2:len(streams):len(streams)], lateStream), datagrams...) {
			v, ok := p.recognise(answer)
			check(p.name, v, ok)
			if p.more != nil {
				p.more(answer)
			}
		}
		v, ok := recogniseBanner(answer)
		check("banner", v, ok)
		webMore(answer)
		v, ok = recogniseWeb(answer, "https", endpoint{port: 8443})
		check("web", v, ok)
		if s := sample(answer); len(s) > 3*maxSample || !utf8.ValidString(s) {
			t.Errorf("sample %q", s)
		}
	})
}
