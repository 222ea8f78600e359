// Package probe asks running services whether they serve.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"unroot/internal/verify"
)

// World is how the processes of a run are reached.
type World struct {
	// Net runs f on a thread that is in the network of the run. What f returns comes back. nil: the
	// present network.
	Net func(f func() error) error
	// Root is a directory through which the run's root directory is seen. UNIX sockets are found
	// below it, symlinks resolved inside. Empty: "/".
	Root string
	// Exec runs a command in the run, as its user, and gives its exit status and what it wrote.
	Exec func(ctx context.Context, args []string) (status int, output string, err error)
	// Spoke is, for Generic, what sockets are expected to say: shapes by names such as "tcp 0.0.0.0:80".
	Spoke map[string]string
}

// Bounds of one question. Services under a tracer on a busy machine are slow; hostile ones never end.
const (
	connectTime = 2 * time.Second
	askTime     = 8 * time.Second // of one question with what belongs to it
	maxAnswer   = 64 << 10        // bytes read of one answer
	maxBody     = 1 << 20         // of a body that Expect is looked for in
	maxSample   = 256             // bytes of Answer.Sample
)

// Ask puts one question and says what came of it. It returns within 10 s, or when ctx ends; exec takes as long
// as World.Exec lets it.
//
// An answer is OK as verify.Probe says. A connection that is closed without a byte, or one where nothing is
// said, is none. Where a tcp, udp or unix probe sends nothing and expects nothing, the greetings of Generic are tried.
func Ask(ctx context.Context, p verify.Probe, w World) verify.Answer {
	expect, err := regexp.Compile(p.Expect)
	if err != nil {
		return failed(p, "not asked", fmt.Errorf("the expression %q of the probe: %w", p.Expect, err))
	}
	if p.Kind == "exec" {
		return askExec(ctx, p, expect, w)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	switch p.Kind {
	case "http":
		return askHTTP(ctx, p, expect, w)
	case "tcp", "udp", "unix":
		at, err := endpointOf(p)
		if err != nil {
			return failed(p, "not asked", err)
		}
		if len(p.Send) == 0 && p.Expect == "" {
			a := greet(ctx, at, w)
			a.Probe = p
			return a
		}
		return askBytes(ctx, p, at, expect, w)
	}
	return failed(p, "not asked", fmt.Errorf("there is no probe of kind %q", p.Kind))
}

func askExec(ctx context.Context, p verify.Probe, expect *regexp.Regexp, w World) verify.Answer {
	if len(p.Args) == 0 {
		return failed(p, "not asked", errors.New("the probe names no command"))
	}
	if w.Exec == nil {
		return failed(p, "not asked", errors.New("this runner executes no commands"))
	}
	status, output, err := w.Exec(ctx, p.Args)
	if err != nil {
		return failed(p, "not run", err)
	}
	a := verify.Answer{Probe: p, Shape: fmt.Sprintf("exit %d", status), Sample: sample([]byte(output))}
	switch {
	case status != 0:
		a.Error = fmt.Sprintf("%s ended with status %d", p.Args[0], status)
	case !expect.MatchString(output):
		a.Error = fmt.Sprintf("what %s wrote does not match %q", p.Args[0], p.Expect)
	default:
		a.OK = true
	}
	return a
}

// askBytes sends what the probe says, and reads until it is what is expected, or time is over. Where anything
// will do it is read until it pauses.
func askBytes(ctx context.Context, p verify.Probe, at endpoint, expect *regexp.Regexp, w World) verify.Answer {
	conn, err := dial(ctx, at, w)
	if err != nil {
		return notConnected(p, err)
	}
	defer conn.Close()
	t := talk{send: p.Send, first: 5 * time.Second, pause: 100 * time.Millisecond, whole: 6 * time.Second}
	if p.Expect != "" {
		t.pause = t.first
		t.enough = expect.Match
	}
	got := t.over(ctx, conn)
	a := verify.Answer{Probe: p, Shape: got.class(), Sample: sample(got.bytes)}
	switch {
	case len(got.bytes) == 0:
		a.Error = got.why()
	case !expect.Match(got.bytes):
		a.Error = fmt.Sprintf("the answer does not match %q", p.Expect)
	default:
		a.OK = true
	}
	return a
}

// failed is an answer that there was none.
func failed(p verify.Probe, shape string, err error) verify.Answer {
	return verify.Answer{Probe: p, Shape: shape, Error: err.Error()}
}

// notConnected is failed for a connection that did not come about.
func notConnected(p verify.Probe, err error) verify.Answer {
	switch {
	case isRefused(err):
		return failed(p, "refused", errors.New("nobody listens there: the connection is refused"))
	case errors.Is(err, verify.ErrUnavailable):
		return failed(p, "not asked", err)
	case isMissing(err):
		return failed(p, "missing", err)
	case isTimeout(err):
		return failed(p, "unreachable", errors.New("the connection is not accepted in time"))
	}
	return failed(p, "unreachable", err)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// sample gives the first bytes as text that can be printed: control characters and what is no UTF-8 as dots.
func sample(b []byte) string {
	if len(b) > maxSample {
		b = b[:maxSample]
	}
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == '\r':
			return -1
		case r < ' ' || r == 0x7f || r == '\uFFFD' || !printable(r):
			return '.'
		}
		return r
	}, strings.ToValidUTF8(string(b), "."))
	return strings.TrimSpace(text)
}
