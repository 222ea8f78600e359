package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// recogniseHTTP2: the server's preface is SETTINGS; it may be followed by GOAWAY.
func recogniseHTTP2(b []byte) (verdict, bool) {
	if len(b) < 9 || b[0] != 0 || b[1] != 0 || b[3] != 4 || b[4] > 1 || !bytes.Equal(b[5:9], []byte{0, 0, 0, 0}) || b[2]%6 != 0 {
		return verdict{}, false
	}
	return verdict{shape: "http2 settings"}, true
}

// recogniseCLI: what command lines say to "help", or to a command that they do not know.
func recogniseCLI(b []byte) (verdict, bool) {
	text := strings.ToLower(string(b[:min(len(b), 512)]))
	for _, says := range []string{"commands are", "unknown command", "available commands", "help"} {
		if strings.Contains(text, says) {
			return verdict{shape: "cli"}, true
		}
	}
	return verdict{}, false
}

// recogniseAMQP: connection.start, or the header of the version that the server has.
func recogniseAMQP(b []byte) (verdict, bool) {
	switch {
	case len(b) >= 8 && bytes.HasPrefix(b, []byte("AMQP")):
		return verdict{shape: fmt.Sprintf("amqp %d.%d", b[5], b[6])}, true
	case len(b) >= 11 && b[0] == 1 && b[1] == 0 && b[2] == 0 && bytes.Equal(b[7:11], []byte{0, 10, 0, 10}):
		return verdict{shape: "amqp start"}, true
	}
	return verdict{}, false
}

// recogniseMongo: a message that responds to ours, OP_REPLY or OP_MSG.
func recogniseMongo(b []byte) (verdict, bool) {
	if len(b) < 16 || string(b[8:12]) != "unro" {
		return verdict{}, false
	}
	if code := binary.LittleEndian.Uint32(b[12:]); code != 1 && code != 2013 {
		return verdict{}, false
	}
	return verdict{shape: "mongodb hello"}, true
}

func recogniseKafka(b []byte) (verdict, bool) {
	if len(b) < 10 || string(b[4:8]) != "unro" {
		return verdict{}, false
	}
	return verdict{shape: fmt.Sprintf("kafka versions %d", binary.BigEndian.Uint16(b[8:]))}, true
}

func recogniseZooKeeper(b []byte) (verdict, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("Zookeeper version:")):
		return verdict{shape: "zookeeper"}, true
	case bytes.Contains(b, []byte("srvr is not executed because it is not in the whitelist")):
		return verdict{shape: "zookeeper closed"}, true
	case bytes.HasPrefix(b, []byte("This ZooKeeper instance is not currently serving requests")):
		return verdict{shape: "zookeeper waits", trouble: "the service says that it does not serve yet", busy: true}, true
	}
	return verdict{}, false
}

// recogniseCQL: SUPPORTED (6) or ERROR (0) in a response of any version.
func recogniseCQL(b []byte) (verdict, bool) {
	if len(b) < 9 || b[0] < 0x81 || b[0] > 0x86 || b[4] != 6 && b[4] != 0 {
		return verdict{}, false
	}
	return verdict{shape: fmt.Sprintf("cql %d", b[4])}, true
}

// recogniseGit: a packet line with an error, or with what a repository has.
func recogniseGit(b []byte) (verdict, bool) {
	if len(b) < 8 || strings.Trim(string(b[:4]), "0123456789abcdef") != "" {
		return verdict{}, false
	}
	if bytes.HasPrefix(b[4:], []byte("ERR ")) {
		return verdict{shape: "git error"}, true
	}
	if len(b) >= 44 && strings.Trim(string(b[4:44]), "0123456789abcdef") == "" {
		return verdict{shape: "git references"}, true
	}
	return verdict{}, false
}

// recogniseMySQLX: CONN_CAPABILITIES (2), ERROR (1) or NOTICE (11).
func recogniseMySQLX(b []byte) (verdict, bool) {
	if len(b) < 5 || b[4] != 1 && b[4] != 2 && b[4] != 11 {
		return verdict{}, false
	}
	if length := binary.LittleEndian.Uint32(b); length < 1 || length > 4096 {
		return verdict{}, false
	}
	return verdict{shape: "mysqlx"}, true
}

// recogniseEPMD: the port of the mapper, then lines of names.
func recogniseEPMD(b []byte) (verdict, bool) {
	if len(b) < 4 || b[0] != 0 || b[1] != 0 || len(b) > 4 && !bytes.HasPrefix(b[4:], []byte("name ")) {
		return verdict{}, false
	}
	return verdict{shape: "epmd"}, true
}

func recogniseNTP(b []byte) (verdict, bool) {
	return verdict{shape: "ntp"}, len(b) >= 48 && b[0]&7 == 4
}

// recogniseSNMP: a message with version and community before a response PDU.
func recogniseSNMP(b []byte) (verdict, bool) {
	message, ok := ber(b, 0x30)
	if !ok || !bytes.HasPrefix(message, []byte("\x02\x01\x01\x04\x06public\xa2")) {
		return verdict{}, false
	}
	return verdict{shape: "snmp"}, true
}

func recogniseTFTP(b []byte) (verdict, bool) {
	switch {
	case len(b) >= 4 && b[0] == 0 && b[1] == 5 && b[2] == 0 && b[3] < 9:
		return verdict{shape: fmt.Sprintf("tftp error %d", b[3])}, true
	case len(b) >= 4 && bytes.HasPrefix(b, []byte{0, 3, 0, 1}):
		return verdict{shape: "tftp data"}, true
	}
	return verdict{}, false
}

func recogniseSTUN(b []byte) (verdict, bool) {
	return verdict{shape: "stun"}, len(b) >= 20 && b[0] == 1 && (b[1] == 1 || b[1] == 0x11) && bytes.Equal(b[4:20], []byte("\x21\x12\xa4\x42unroot-probe"))
}

func recogniseSIP(b []byte) (verdict, bool) {
	if len(b) < 11 || !bytes.HasPrefix(b, []byte("SIP/2.0 ")) || !digit(b[8]) || !digit(b[9]) || !digit(b[10]) {
		return verdict{}, false
	}
	v := verdict{shape: "sip " + string(b[8:11])}
	if b[8] >= '5' {
		v.trouble = "the service says " + short(firstLine(b), 100)
	}
	return v, true
}

func recogniseMemcachedUDP(b []byte) (verdict, bool) {
	return verdict{shape: "memcached version"}, len(b) >= 16 && b[0] == 0 && b[1] == 1 && bytes.HasPrefix(b[8:], []byte("VERSION "))
}

// recogniseQUIC: a Version Negotiation packet has version 0, and our connection ids the other way round.
func recogniseQUIC(b []byte) (verdict, bool) {
	return verdict{shape: "quic"}, len(b) >= 23 && b[0]&0x80 != 0 && bytes.Equal(b[1:5], []byte{0, 0, 0, 0}) && bytes.HasPrefix(b[5:], []byte("\x08probepro\x08unrootun"))
}
