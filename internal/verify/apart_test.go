package verify_test

import (
	"strings"
	"testing"

	"unroot/internal/startup"
	"unroot/internal/trace"
	"unroot/internal/verify"
)

// TestInitIsApart: unroot-init beside the program is no difference, whatever was refused to it while it tried.
func TestInitIsApart(t *testing.T) {
	t.Parallel()
	base, candidate := web(), webUser()
	candidate.Run.Args = append([]string{startup.Path, "--names=nscd", "--"}, candidate.Run.Args...)
	first := candidate.Processes[0]
	first.PID, first.Program = 99, startup.Path
	candidate.Processes = append(candidate.Processes, first)
	add(&candidate, fork(10, 99, nginx), exec(99, startup.Path, first.Creds), refused(99, startup.Path, "/data", "EACCES"))
	candidate.Sockets = append(candidate.Sockets, verify.Socket{Proto: "unix", Address: "/run/nscd/socket", Program: startup.Path})
	if v := verify.Judge(&base, candidate, moved()); v.Word != verify.Proven {
		t.Errorf("%s: %+v", v.Word, v.Reasons)
	}
	if len(verify.Judge(&base, candidate, moved()).Benign) > 0 {
		t.Error("what was refused to unroot-init is told as the program's")
	}
	candidate.Run.Args = candidate.Run.Args[3:]
	if v := verify.Judge(&base, candidate, moved()); v.Word == verify.Proven {
		t.Error("a program of that name is apart although the run does not begin with it")
	}
}

// TestInitRefuses: what unroot-init says is the cause, not what it looked at.
func TestInitRefuses(t *testing.T) {
	t.Parallel()
	base, candidate := web(), webUser()
	candidate.Run.Args = []string{startup.Path, "--writable=/data", "--", "app"}
	candidate.End, candidate.Status = verify.EndExited, startup.ExitVolume
	candidate.Stderr = "unroot-init: /data cannot be written\n  owner 0:0\ndo this\n"
	candidate.Processes, candidate.Sockets, candidate.Trace = nil, nil, trace.Log{}
	v := verify.Judge(&base, candidate, moved())
	for _, r := range v.Reasons {
		if strings.Contains(r.Cause, "/unroot-init did not start it: /data cannot be written") {
			return
		}
	}
	t.Errorf("%s: %+v", v.Word, v.Reasons)
}
