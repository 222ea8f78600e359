package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"unroot/internal/verify"
)

// hostile servers never let go of who asks them.
var hostile = []struct {
	name  string
	serve func(net.Conn)
	shape string // of Generic
}{
	{"an endless banner", func(c net.Conn) {
		for _, err := c.Write(bytes.Repeat([]byte("A"), 4096)); err == nil; {
			_, err = c.Write(bytes.Repeat([]byte("A"), 4096))
		}
	}, "answers"},
	{"a banner of one byte at a time", drip("220 never ends ", 0), "banner 220"},
	{"a response of one byte at a time", drip("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX: ", 100), "http damaged"},
	{"a header without end", func(c net.Conn) {
		c.Read(make([]byte, 1000))
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\n")
		for i, err := 0, error(nil); err == nil; i++ {
			_, err = fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("y", 1000))
		}
	}, "http damaged"},
	{"a body without end", func(c net.Conn) {
		c.Read(make([]byte, 1000))
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
		for err := error(nil); err == nil; {
			_, err = c.Write(make([]byte, 4096))
		}
	}, "http 200 text/plain"},
	{"garbage", func(c net.Conn) {
		c.Read(make([]byte, 1000))
		io.CopyN(c, rand.Reader, 1<<20)
	}, "answers"},
	{"a TLS record of garbage", func(c net.Conn) {
		c.Read(make([]byte, 1000))
		c.Write([]byte("\x16\x03\x03\x40\x00"))
		io.CopyN(c, rand.Reader, 0x4000)
		time.Sleep(time.Minute)
	}, "answers"},
	{"control characters", func(c net.Conn) { fmt.Fprint(c, "220 \x1b[2J\x1b]0;x\x07\u202e\r\n") }, "banner 220"},
	{"silence", func(c net.Conn) { io.Copy(io.Discard, c) }, "silent"},
	{"a closed door", func(net.Conn) {}, "closes"},
	{"a busy server for ever", func(c net.Conn) {
		c.Read(make([]byte, 1000))
		fmt.Fprint(c, "HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n")
	}, "http 503"},
}

// drip writes a text and then its last byte for ever, slowly.
func drip(text string, skip int) func(net.Conn) {
	return func(c net.Conn) {
		if skip > 0 {
			c.Read(make([]byte, 1000))
		}
		c.Write([]byte(text))
		for err := error(nil); err == nil; time.Sleep(20 * time.Millisecond) {
			_, err = c.Write([]byte("x"))
		}
	}
}

// TestHostile asks each of them in every way, all at one time: within its time, within its bytes, and with words that a terminal
// can show.
func TestHostile(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for _, h := range hostile {
		s := serve(t, loopback(t), h.serve)
		address := fmt.Sprintf("127.0.0.1:%d", s.Port)
		all.Go(func() {
			begun := time.Now()
			a := Generic(t.Context(), []verify.Socket{s}, World{})[0]
			bounded(t, h.name+", generic", a, begun)
			if a.Shape != h.shape {
				t.Errorf("%s, generic: got %q (%q), want %q", h.name, a.Shape, a.Sample, h.shape)
			}
		})
		all.Go(func() {
			name := fmt.Sprintf("tcp %s", address)
			a := Generic(t.Context(), []verify.Socket{s}, World{Spoke: map[string]string{name: h.shape}})[0]
			if a.Shape != h.shape || a.Probe.Address != name {
				t.Errorf("%s, expected to be %q: got %q of %s", h.name, h.shape, a.Shape, a.Probe.Address)
			}
		})
		for _, p := range []verify.Probe{
			{Kind: "http", Address: "http://" + address + "/", Expect: "welcome"},
			{Kind: "http", Address: "https://" + address + "/"},
			{Kind: "tcp", Address: address, Send: []byte("hello\r\n")},
			{Kind: "tcp", Address: address, Expect: "(x+x+)+welcome"},
		} {
			all.Go(func() {
				begun := time.Now()
				a := Ask(t.Context(), p, World{})
				bounded(t, h.name+", "+p.Kind, a, begun)
				if p.Expect != "" && a.OK {
					t.Errorf("%s, %s with %q passes: %+v", h.name, p.Kind, p.Expect, a)
				}
			})
		}
	}
	all.Wait()
}

func bounded(t *testing.T, what string, a verify.Answer, begun time.Time) {
	t.Helper()
	if took := time.Since(begun); took > 12*time.Second {
		t.Errorf("%s took %v", what, took)
	}
	if len(a.Sample) > 4*maxSample || len(a.Shape) > 200 || len(a.Error) > 600 {
		t.Errorf("%s is long: %+v", what, a)
	}
	for _, s := range []string{a.Sample, a.Shape, a.Error} {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\x07\x1b\r\n\u202e") {
			t.Errorf("%s cannot be shown: %q", what, s)
		}
	}
}

// TestEnds holds that whoever asks can stop, at any time and at once, and that nothing stays behind.
func TestEnds(t *testing.T) {
	silent := serve(t, loopback(t), func(c net.Conn) { io.Copy(io.Discard, c) })
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	sockets := make([]verify.Socket, 100)
	for i := range sockets {
		sockets[i] = silent
	}
	answers := Generic(ctx, sockets, World{})
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it went on for %v", took)
	}
	if len(answers) != 100 || answers[99].Shape != "not asked" {
		t.Errorf("%d answers, the last %+v", len(answers), answers[len(answers)-1])
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestFullQueue asks a server that listens and never accepts: alive is not serving.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	l := loopback(t)
	defer l.Close()
	var open []net.Conn
	for range 5000 {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond)
		if err != nil {
			break
		}
		open = append(open, c)
	}
	begun := time.Now()
	a := Ask(t.Context(), verify.Probe{Kind: "tcp", Address: l.Addr().String()}, World{})
	bounded(t, "tcp", a, begun)
	if a.OK || a.Error == "" {
		t.Errorf("got %+v", a)
	}
	for _, c := range open {
		c.Close()
	}
}

// TestLateAndSingle asks servers that are slow, and one that serves one client at a time.
func TestLateAndSingle(t *testing.T) {
	t.Parallel()
	page := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
	web := func(c net.Conn) bool {
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		return strings.HasPrefix(string(b[:n]), "GET / ")
	}
	single := loopback(t)
	defer single.Close()
	go func() {
		for {
			c, err := single.Accept()
			if err != nil {
				return
			}
			if web(c) {
				fmt.Fprint(c, page)
			}
			c.Close()
		}
	}()
	times := 0
	for name, test := range map[string]struct {
		socket verify.Socket
		shape  string
	}{
		"slow page": {serve(t, loopback(t), func(c net.Conn) {
			if web(c) {
				time.Sleep(2500 * time.Millisecond)
				fmt.Fprint(c, page)
			}
		}), "http 200 text/html"},
		"late banner": {serve(t, loopback(t), func(c net.Conn) {
			time.Sleep(600 * time.Millisecond)
			fmt.Fprint(c, "220 hello\r\n")
			io.Copy(io.Discard, c)
		}), "banner 220"},
		"one at a time": {verify.Socket{Proto: "tcp", Address: "127.0.0.1", Port: uint16(single.Addr().(*net.TCPAddr).Port)}, "http 200 text/html"},
		"starting": {serve(t, loopback(t), func(c net.Conn) {
			if b := make([]byte, 14); readAll(c, b) && string(b) == "*1\r\n$4\r\nPING\r\n" {
				if times++; times < 4 {
					fmt.Fprint(c, "-LOADING Redis is loading the dataset in memory\r\n")
				} else {
					fmt.Fprint(c, "+PONG\r\n")
				}
			}
		}), "redis pong"},
	} {
		a := Generic(t.Context(), []verify.Socket{test.socket}, World{})[0]
		if a.Shape != test.shape || !a.OK {
			t.Errorf("%s: got %+v, want %s", name, a, test.shape)
		}
	}
}

func readAll(c net.Conn, b []byte) bool {
	_, err := io.ReadFull(c, b)
	return err == nil
}
