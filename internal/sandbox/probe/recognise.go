package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// recogniseBanner gives what a server says before it is spoken to.
func recogniseBanner(b []byte) (verdict, bool) {
	for _, known := range []func([]byte) (verdict, bool){bannerSSH, bannerCode, bannerMail, bannerMySQL, bannerText, bannerBinary} {
		if v, ok := known(b); ok {
			return v, true
		}
	}
	return verdict{}, false
}

// bannerSSH: RFC 4253, section 4.2.
func bannerSSH(b []byte) (verdict, bool) {
	rest, ok := bytes.CutPrefix(b, []byte("SSH-"))
	version, _, whole := bytes.Cut(rest, []byte("-"))
	if !ok || !whole || len(version) > 8 {
		return verdict{}, false
	}
	return verdict{shape: "ssh " + sample(version)}, true
}

// bannerCode: three digits, as in RFC 5321, section 4.2 (SMTP), RFC 959 (FTP), RFC 3977 (NNTP). 4xx and 5xx refuse.
func bannerCode(b []byte) (verdict, bool) {
	if len(b) < 4 || b[0] < '1' || b[0] > '5' || !digit(b[1]) || !digit(b[2]) || b[3] != ' ' && b[3] != '-' {
		return verdict{}, false
	}
	v := verdict{shape: "banner " + string(b[:3])}
	if b[0] >= '4' {
		v.trouble = "the service says " + short(firstLine(b), 100)
		v.busy = b[0] == '4'
	}
	return v, true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// bannerMail: RFC 1939, section 4 (POP3), RFC 9051, section 7.1 (IMAP).
func bannerMail(b []byte) (verdict, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("+OK")):
		return verdict{shape: "pop3 ok"}, true
	case bytes.HasPrefix(b, []byte("* OK")), bytes.HasPrefix(b, []byte("* PREAUTH")):
		return verdict{shape: "imap ok"}, true
	case bytes.HasPrefix(b, []byte("* BYE")):
		return verdict{shape: "imap bye", trouble: "the service says " + short(firstLine(b), 100)}, true
	}
	return verdict{}, false
}

// bannerMySQL: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
func bannerMySQL(b []byte) (verdict, bool) {
	if len(b) < 7 || b[3] != 0 {
		return verdict{}, false
	}
	length := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	switch {
	case length < 3 || length > 4096:
	case b[4] == 0x0a && digit(b[5]) && bytes.IndexByte(b[5:], 0) > 0:
		return verdict{shape: "mysql greeting"}, true
	case b[4] == 0xff && length+4 >= 7:
		code := binary.LittleEndian.Uint16(b[5:])
		return verdict{shape: fmt.Sprintf("mysql error %d", code), trouble: fmt.Sprintf("the service says error %d", code), busy: code == 1053}, true
	}
	return verdict{}, false
}

// texts are beginnings by which protocols name themselves.
var texts = []struct{ begins, shape string }{
	{"@RSYNCD: ", "rsync"},
	{"RFB 003.", "rfb"},
	{"INFO {", "nats info"},
	{"OK MPD ", "mpd"},
	{"# munin node at ", "munin"},
	{"Asterisk Call Manager/", "ami"},
}

func bannerText(b []byte) (verdict, bool) {
	for _, t := range texts {
		if bytes.HasPrefix(b, []byte(t.begins)) {
			return verdict{shape: t.shape}, true
		}
	}
	if line := firstLine(b); strings.HasPrefix(line, ":") && strings.Contains(line, " NOTICE ") || strings.HasPrefix(line, "NOTICE AUTH ") {
		return verdict{shape: "irc"}, true
	}
	return verdict{}, false
}

// bannerBinary: RFC 854 (TELNET commands), https://rfc.zeromq.org/spec/23/ (ZMTP's signature).
func bannerBinary(b []byte) (verdict, bool) {
	switch {
	case len(b) >= 3 && b[0] == 0xff && b[1] >= 0xfb && b[1] <= 0xfe:
		return verdict{shape: "telnet"}, true
	case len(b) >= 10 && b[0] == 0xff && b[9] == 0x7f:
		return verdict{shape: "zmtp"}, true
	}
	return verdict{}, false
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(bytes.TrimRight(line, "\r"))
}

// recogniseText recognises an answer by its beginning.
func recogniseText(begins, shape string) func([]byte) (verdict, bool) {
	return func(b []byte) (verdict, bool) {
		return verdict{shape: shape}, bytes.HasPrefix(b, []byte(begins))
	}
}

// recogniseRedis: a simple string or an error, whose first word is its code.
func recogniseRedis(b []byte) (verdict, bool) {
	line := firstLine(b)
	if line == "+PONG" {
		return verdict{shape: "redis pong"}, true
	}
	code, _, _ := strings.Cut(strings.TrimPrefix(line, "-"), " ")
	if !strings.HasPrefix(line, "-") || len(code) < 3 || len(code) > 16 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return verdict{}, false
	}
	v := verdict{shape: "redis " + code}
	if code != "NOAUTH" && code != "NOPERM" {
		v.trouble = "the service says " + short(line, 100)
		v.busy = code == "LOADING" || code == "BUSY"
	}
	return v, true
}

// recognisePostgres: AuthenticationRequest ('R') with its sort, or ErrorResponse ('E') with its SQLSTATE. Class 57P: it starts or
// stops; 53: it has no room.
func recognisePostgres(b []byte) (verdict, bool) {
	if len(b) < 9 {
		return verdict{}, false
	}
	length := binary.BigEndian.Uint32(b[1:])
	switch {
	case b[0] == 'R' && length >= 8 && length < 2048:
		return verdict{shape: fmt.Sprintf("postgresql authentication %d", binary.BigEndian.Uint32(b[5:]))}, true
	case b[0] == 'E' && length > 8 && length < 16384:
		state := field(b[5:], 'C')
		if len(state) != 5 {
			return verdict{}, false
		}
		v := verdict{shape: "postgresql error " + sample([]byte(state))}
		if strings.HasPrefix(state, "57P") || strings.HasPrefix(state, "53") || strings.HasPrefix(state, "XX") || strings.HasPrefix(state, "58") {
			v.trouble = "the service says " + short(field(b[5:], 'M'), 100)
			v.busy = strings.HasPrefix(state, "57P")
		}
		return v, true
	}
	return verdict{}, false
}

func postgresMore(b []byte) bool {
	if len(b) < 5 || b[0] != 'E' && b[0] != 'R' {
		return false
	}
	length := binary.BigEndian.Uint32(b[1:])
	return length >= 8 && length < 16384 && len(b) < int(length)+1
}

// field gives a field of an ErrorResponse: a letter, a text and a zero byte for each.
func field(b []byte, letter byte) string {
	for len(b) > 1 && b[0] != 0 {
		text, rest, ok := bytes.Cut(b[1:], []byte{0})
		if !ok {
			return ""
		}
		if b[0] == letter {
			return string(text)
		}
		b = rest
	}
	return ""
}

// recogniseMQTT: CONNACK, section 3.2.
func recogniseMQTT(b []byte) (verdict, bool) {
	if len(b) < 4 || b[0] != 0x20 || b[1] != 2 || b[2] > 1 {
		return verdict{}, false
	}
	v := verdict{shape: fmt.Sprintf("mqtt connack %d", b[3])}
	if b[3] == 3 {
		v.trouble, v.busy = "the service says that it is unavailable", true
	}
	return v, true
}

// recogniseLDAP: BindResponse with its resultCode. BER may spell lengths long (OpenLDAP: short, Active Directory: four bytes).
func recogniseLDAP(b []byte) (verdict, bool) {
	message, ok := ber(b, 0x30)
	if !ok || !bytes.HasPrefix(message, []byte{0x02, 0x01, 0x01}) {
		return verdict{}, false
	}
	response, ok := ber(message[3:], 0x61)
	if !ok {
		return verdict{}, false
	}
	code, ok := ber(response, 0x0a)
	if !ok || len(code) < 1 {
		return verdict{}, false
	}
	v := verdict{shape: fmt.Sprintf("ldap bind %d", code[0])}
	if code[0] == 51 || code[0] == 52 || code[0] == 1 { // busy, unavailable, operationsError
		v.trouble, v.busy = fmt.Sprintf("the service says result %d", code[0]), code[0] != 1
	}
	return v, true
}

// ber gives the contents of the value at the beginning of b, as far as they are there.
func ber(b []byte, tag byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, false
	}
	length, b := int(b[1]), b[2:]
	if length >= 0x80 {
		n := length - 0x80
		if n < 1 || n > 4 || len(b) < n {
			return nil, false
		}
		length = 0
		for _, c := range b[:n] {
			length = length<<8 | int(c)
		}
		b = b[n:]
	}
	return b[:min(len(b), length)], true
}

// recogniseFastCGI: FCGI_GET_VALUES_RESULT, or FCGI_UNKNOWN_TYPE.
func recogniseFastCGI(b []byte) (verdict, bool) {
	if len(b) < 8 || b[0] != 1 || b[1] != 10 && b[1] != 11 || b[2] != 0 || b[3] != 0 {
		return verdict{}, false
	}
	return verdict{shape: fmt.Sprintf("fastcgi %d", b[1])}, true
}

var rcodes = []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}

// recogniseDNS: RFC 1035, section 4.1.1.
func recogniseDNS(b []byte) (verdict, bool) {
	if len(b) < 12 || b[0] != 'u' || b[1] != 'r' || b[2]&0xf8 != 0x80 {
		return verdict{}, false
	}
	code := int(b[3] & 0x0f)
	if code >= len(rcodes) {
		return verdict{shape: fmt.Sprintf("dns %d", code)}, true
	}
	v := verdict{shape: "dns " + rcodes[code]}
	if code == 2 {
		v.trouble, v.busy = "the service says SERVFAIL", true
	}
	return v, true
}

func recogniseDNSStream(b []byte) (verdict, bool) {
	if len(b) < 2 {
		return verdict{}, false
	}
	return recogniseDNS(b[2:])
}
