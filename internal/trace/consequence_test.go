package trace

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCausal: what the baseline never did is a consequence, whatever stands nearer to the end.
func TestCausal(t *testing.T) {
	t.Parallel()
	const beam = "/usr/lib/erlang/bin/beam.smp"
	baseline := Log{Events: []Event{
		{Seq: 1, Kind: Open, Exe: beam, Path: "/var/lib/rabbitmq/.erlang.cookie", Want: "r"},
		{Seq: 2, Kind: Open, Exe: beam, Path: "/run/tmp123", Want: "wc"},
		{Seq: 3, Kind: Bind, Exe: beam, Addr: "tcp 0.0.0.0:25"},
		{Seq: 4, Kind: Identity, Exe: beam, Call: "setgid"},
		{Seq: 5, Kind: Open, Exe: beam, Path: "/etc/denied", Errno: "EACCES"},
	}}
	dump := Denial{Kind: Open, Exe: beam, Path: "/erl_crash.dump", Want: "wc"}
	other := Denial{Kind: Open, Exe: "/bin/sh", Path: "/run/tmp9", Want: "wc"}
	denied := Denial{Kind: Open, Exe: beam, Path: "/etc/denied", Want: "r"}
	cookie := Denial{Kind: Open, Exe: beam, Path: "/var/lib/rabbitmq/.erlang.cookie", Want: "r"}
	temporary := Denial{Kind: Open, Exe: beam, Path: "/run/tmp456", Want: "wc"}
	port := Denial{Kind: Bind, Exe: beam, Addr: "tcp 0.0.0.0:8025"}
	group := Denial{Kind: Identity, Exe: beam, Call: "setgid"}
	causes, consequences := Causal([]Denial{dump, cookie, other, temporary, denied, port, group}, baseline)
	if diff := cmp.Diff([]Denial{cookie, temporary, port, group}, causes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Denial{dump, other, denied}, consequences); diff != "" {
		t.Error(diff)
	}
}
