package probe

import (
	"context"
	"net"
	"time"
)

// protocol is a way to greet a service that does no harm to it: nothing is written, no one logs in, at most something is asked
// that every client asks first.
type protocol struct {
	name      string
	send      []byte
	recognise func([]byte) (verdict, bool)                                                    // what was answered; false: it is not of this protocol
	loose     bool                                                                            // datagrams: the answer comes from another port
	more      func([]byte) bool                                                               // the answer is of this protocol, and not whole
	ask       func(context.Context, net.Conn, endpoint, time.Duration) (verdict, heard, bool) // in place of send and recognise
}

// verdict is what an answer that was recognised says.
type verdict struct {
	shape   string // what can be compared
	trouble string // in words, where the service says that it cannot serve
	busy    bool   // and that it may soon
}

// streams are the protocols over TCP and UNIX sockets, without those where the server speaks first (banners). HTTP comes first
// since most services speak it, and a server that serves one client at a time should hear nothing else before.
var streams = []protocol{
	{name: "http", ask: greetWeb},
	{name: "tls", ask: greetTLS},
	// https://redis.io/docs/latest/develop/reference/protocol-spec/
	{name: "redis", send: []byte("*1\r\n$4\r\nPING\r\n"), recognise: recogniseRedis},
	// https://www.postgresql.org/docs/current/protocol-message-formats.html, StartupMessage
	{name: "postgresql", send: postgresStartup(), recognise: recognisePostgres, more: postgresMore},
	// https://github.com/memcached/memcached/blob/master/doc/protocol.txt
	{name: "memcached", send: []byte("version\r\n"), recognise: recogniseText("VERSION ", "memcached version")},
	// MQTT 3.1.1, section 3.1: CONNECT with a clean session, so that nothing is kept
	{name: "mqtt", send: []byte("\x10\x12\x00\x04MQTT\x04\x02\x00\x3c\x00\x06unroot"), recognise: recogniseMQTT},
	// RFC 4511, section 4.2: an anonymous bind
	{name: "ldap", send: []byte("\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"), recognise: recogniseLDAP},
	// FastCGI specification, section 4.1: FCGI_GET_VALUES
	{name: "fastcgi", send: []byte("\x01\x09\x00\x00\x00\x11\x07\x00\x0f\x00FCGI_MPXS_CONNS\x00\x00\x00\x00\x00\x00\x00"), recognise: recogniseFastCGI},
	// RFC 1035, section 4.2.2
	{name: "dns", send: prefixed16(dnsQuery), recognise: recogniseDNSStream},
	// command lines over sockets, such as those for statistics
	{name: "cli", send: []byte("help\n"), recognise: recogniseCLI},
	// AMQP 0-9-1, section 4.2.2
	{name: "amqp", send: []byte("AMQP\x00\x00\x09\x01"), recognise: recogniseAMQP},
	// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/, OP_MSG with hello
	{name: "mongodb", send: mongoHello(), recognise: recogniseMongo},
	// https://kafka.apache.org/protocol.html, ApiVersions version 0
	{name: "kafka", send: []byte("\x00\x00\x00\x10\x00\x12\x00\x00unro\x00\x06unroot"), recognise: recogniseKafka},
	// https://zookeeper.apache.org/doc/current/zookeeperAdmin.html, the four letter words
	{name: "zookeeper", send: []byte("srvr"), recognise: recogniseZooKeeper},
	// https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec, OPTIONS
	{name: "cql", send: []byte("\x04\x00\x00\x00\x05\x00\x00\x00\x00"), recognise: recogniseCQL},
	// clamd(8), PING
	{name: "clamd", send: []byte("zPING\x00"), recognise: recogniseText("PONG", "clamd pong")},
	// https://git-scm.com/docs/pack-protocol, a repository that there is not
	{name: "git", send: []byte("0035git-upload-pack /unroot-probe\x00host=localhost\x00"), recognise: recogniseGit},
	// https://tomcat.apache.org/connectors-doc/ajp/ajpv13a.html, CPing
	{name: "ajp", send: []byte("\x12\x34\x00\x01\x0a"), recognise: recogniseText("AB\x00\x01\x09", "ajp cpong")},
	// https://dev.mysql.com/doc/dev/mysql-server/latest/page_mysqlx_protocol.html, CON_CAPABILITIES_GET
	{name: "mysqlx", send: []byte("\x01\x00\x00\x00\x01"), recognise: recogniseMySQLX},
	// https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html, NAMES_REQ
	{name: "epmd", send: []byte("\x00\x01n"), recognise: recogniseEPMD},
}

// lateStream is tried when everything else is silent: a server of HTTP/1 that is slow with its page may speak HTTP/2 as well.
// RFC 9113, section 3.4: the preface and empty SETTINGS.
var lateStream = protocol{name: "http2", send: []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"), recognise: recogniseHTTP2}

// datagrams are the protocols over UDP.
var datagrams = []protocol{
	{name: "dns", send: dnsQuery, recognise: recogniseDNS},
	// RFC 5905, section 7.3: version 4, client
	{name: "ntp", send: append([]byte{0x23}, make([]byte, 47)...), recognise: recogniseNTP},
	// RFC 3416: GetRequest for sysUpTime.0, community "public"
	{name: "snmp", send: []byte("\x30\x26\x02\x01\x01\x04\x06public\xa0\x19\x02\x01\x01\x02\x01\x00\x02\x01\x00\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x03\x00\x05\x00"), recognise: recogniseSNMP},
	// RFC 1350, section 5: a read request
	{name: "tftp", send: []byte("\x00\x01unroot-probe\x00octet\x00"), loose: true, recognise: recogniseTFTP},
	// RFC 8489, section 5: Binding
	{name: "stun", send: []byte("\x00\x01\x00\x00\x21\x12\xa4\x42unroot-probe"), recognise: recogniseSTUN},
	// RFC 3261, section 11
	{name: "sip", send: []byte("OPTIONS sip:localhost SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKunroot;rport\r\nMax-Forwards: 70\r\n" +
		"From: <sip:unroot@127.0.0.1>;tag=unroot\r\nTo: <sip:localhost>\r\nCall-ID: unroot\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"), recognise: recogniseSIP},
	// RFC 7252, section 4.3: a ping
	{name: "coap", send: []byte("\x40\x00ur"), recognise: recogniseText("\x70\x00ur", "coap")},
	// memcached's frame header and the same as over TCP
	{name: "memcached", send: []byte("\x00\x01\x00\x00\x00\x01\x00\x00version\r\n"), recognise: recogniseMemcachedUDP},
	// RFC 8999, section 6: a version that there is not makes a server name those that it has
	{name: "quic", send: quicUnknown(), recognise: recogniseQUIC},
}

// dnsQuery asks for the address of localhost (RFC 6761, section 6.3: no server looks it up elsewhere).
var dnsQuery = []byte("ur\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01")

func prefixed16(b []byte) []byte {
	return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...)
}

// postgresStartup asks for a database as a user that there is not: an error that names why, or a demand for
// authentication, both say that the server serves.
func postgresStartup() []byte {
	body := "\x00\x03\x00\x00user\x00unroot\x00database\x00unroot\x00\x00"
	return append([]byte{0, 0, 0, byte(len(body) + 4)}, body...)
}

// mongoHello is {hello: 1, $db: "admin"}.
func mongoHello() []byte {
	document := "\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
	document = string([]byte{byte(len(document) + 4), 0, 0, 0}) + document
	body := "unro\x00\x00\x00\x00\xdd\x07\x00\x00\x00\x00\x00\x00\x00" + document
	return append([]byte{byte(len(body) + 4), 0, 0, 0}, body...)
}

func quicUnknown() []byte {
	packet := append([]byte("\xc0\x1a\x2a\x3a\x4a\x08unrootun\x08probepro"), make([]byte, 1200)...)
	return packet[:1200]
}
