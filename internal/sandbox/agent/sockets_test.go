package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/verify"
)

const tcpTable = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11111 1 0000000000000000 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 22222 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 33333 1 0000000000000000 20 4 30 10 -1
`

const tcp6Table = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 44444 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 55555 1 0000000000000000 100 0 0 10 0
`

const udpTable = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 66666 2 0000000000000000 0
  102: 0100007F:8001 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 77777 2 0000000000000000 0
`

const unixTable = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
	"0000000000000000: 00000002 00000000 00010000 0001 01 10001 /run/a b.sock\n" +
	"0000000000000000: 00000002 00000000 00010000 0005 01 10002 @abstract\n" +
	"0000000000000000: 00000003 00000000 00000000 0001 03 10003 /run/a b.sock\n" +
	"0000000000000000: 00000002 00000000 00000000 0002 01 10004 /dev/log\n" +
	"0000000000000000: 00000002 00000000 00000000 0002 01 10005\n" +
	"0000000000000000: 00000002 00000000 00010000 0001 01 10006 run/rel.sock\n"

func TestTables(t *testing.T) {
	t.Parallel()
	for _, table := range []struct {
		name string
		got  []listener
		want []listener
	}{
		{"tcp", parseInet("tcp", []byte(tcpTable)), []listener{
			{verify.Socket{Proto: "tcp", Address: "127.0.0.1", Port: 8080}, 11111},
			{verify.Socket{Proto: "tcp", Address: "0.0.0.0", Port: 80}, 22222},
		}},
		{"tcp6", parseInet("tcp", []byte(tcp6Table)), []listener{
			{verify.Socket{Proto: "tcp", Address: "::", Port: 22}, 44444},
			{verify.Socket{Proto: "tcp", Address: "::1", Port: 631}, 55555},
		}},
		{"udp", parseInet("udp", []byte(udpTable)), []listener{
			{verify.Socket{Proto: "udp", Address: "0.0.0.0", Port: 53}, 66666},
		}},
		{"unix", parseUnix([]byte(unixTable)), []listener{
			{verify.Socket{Proto: "unix", Address: "/run/a b.sock"}, 10001},
			{verify.Socket{Proto: "unix", Address: "@abstract"}, 10002},
			{verify.Socket{Proto: "unix", Address: "/dev/log"}, 10004},
			{verify.Socket{Proto: "unix", Address: "run/rel.sock"}, 10006},
		}},
		{"hostile", parseInet("tcp", []byte("x\n0: zz:1 0 0A 0 0 0 0 0 1\n0: 0100007F:10000 0 0A 0 0 0 0 0 1\n0: 01:0050 0 0A 0 0 0 0 0 1\n0: 0100007F:0050 0 0A 0 0 0 0 0 -1\n")), nil},
	} {
		if diff := cmp.Diff(table.want, table.got, cmp.AllowUnexported(listener{})); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", table.name, diff)
		}
	}
}

func TestManySocketsAreBounded(t *testing.T) {
	t.Parallel()
	line := "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1\n"
	if got := len(parseInet("tcp", []byte(strings.Repeat(line, maxSockets+10)))); got != maxSockets {
		t.Errorf("%d sockets, want %d", got, maxSockets)
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	tcp := func(address string, port uint16) verify.Socket {
		return verify.Socket{Proto: "tcp", Address: address, Port: port}
	}
	for _, table := range []struct {
		have, want verify.Socket
		serves     bool
	}{
		{tcp("0.0.0.0", 80), tcp("0.0.0.0", 80), true},
		{tcp("::", 80), tcp("0.0.0.0", 80), true},
		{tcp("127.0.0.1", 80), tcp("", 80), true},
		{tcp("127.0.0.1", 80), tcp("::1", 80), false},
		{tcp("0.0.0.0", 80), tcp("0.0.0.0", 81), false},
		{verify.Socket{Proto: "udp", Address: "0.0.0.0", Port: 80}, tcp("0.0.0.0", 80), false},
		{verify.Socket{Proto: "unix", Address: "/a", Program: "/bin/x"}, verify.Socket{Proto: "unix", Address: "/a"}, true},
		{verify.Socket{Proto: "unix", Address: "/a"}, verify.Socket{Proto: "unix", Address: "/b"}, false},
	} {
		if got := serves(table.have, table.want); got != table.serves {
			t.Errorf("serves(%v, %v) = %v", table.have, table.want, got)
		}
	}
}

// FuzzTables: whatever stands in the tables, what is found is within bounds.
func FuzzTables(f *testing.F) {
	for _, seed := range []string{tcpTable, tcp6Table, udpTable, unixTable, ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, table []byte) {
		for _, read := range tables {
			for _, l := range read.parse(table) {
				if l.Proto == "unix" && l.Address == "" || l.Proto != "unix" && l.Address == "" {
					t.Errorf("a socket without address: %+v", l)
				}
			}
		}
	})
}
