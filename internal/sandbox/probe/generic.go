package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"unroot/internal/verify"
)

// Bounds of Generic.
const (
	maxSockets  = 64                     // that are asked; a hostile run may listen on thousands
	together    = 4                      // sockets asked at one time, and greetings of one socket
	bannerTime  = 250 * time.Millisecond // for a server that speaks first
	greetTime   = 400 * time.Millisecond // for an answer, the first time
	patientTime = 1500 * time.Millisecond
	webTime     = 4 * time.Second // for a first page, while the others are tried
	busyTime    = 3 * time.Second // for a service that says that it starts
)

// Generic greets each socket in the common protocols, each greeting on a connection of its own, and stops
// at the first that is recognised. There is one answer for each socket, in their order, with Probe.Kind "generic" and
// Probe.Address such as "tcp 0.0.0.0:80". Shape is what was recognised, such as "http 200 text/html", "redis pong", "banner
// 220"; else "answers", "silent", "closes" or "refused". It returns within about 15 s for every four sockets, or when
// ctx ends.
func Generic(ctx context.Context, sockets []verify.Socket, w World) []verify.Answer {
	answers := make([]verify.Answer, len(sockets))
	slots := make(chan struct{}, together)
	var all sync.WaitGroup
	for i, s := range sockets {
		p := verify.Probe{Kind: "generic", Address: socketName(s)}
		if i >= maxSockets {
			answers[i] = failed(p, "not asked", errors.New("too many sockets: the first ones are asked"))
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			one, cancel := context.WithTimeout(ctx, askTime)
			defer cancel()
			answers[i] = greetExpecting(one, socketEndpoint(s), w, w.Spoke[p.Address])
			answers[i].Probe = p
		})
	}
	all.Wait()
	return answers
}

// outcome is what came of one greeting.
type outcome struct {
	verdict verdict
	known   bool
	heard   heard
	err     error // no connection
}

// answer is an outcome as others see it.
func (o outcome) answer() verify.Answer {
	switch {
	case o.err != nil:
		return notConnected(verify.Probe{}, o.err)
	case o.known:
		return verify.Answer{OK: o.verdict.trouble == "", Shape: o.verdict.shape, Sample: sample(o.heard.bytes), Error: o.verdict.trouble}
	}
	return verify.Answer{OK: len(o.heard.bytes) > 0, Shape: o.heard.class(), Sample: sample(o.heard.bytes), Error: o.heard.why()}
}

// greetExpecting is greet for a socket whose counterpart is known to have said something: it is asked the same
// first. Silence that was expected is believed after one round of greetings.
func greetExpecting(ctx context.Context, at endpoint, w World, shape string) verify.Answer {
	if shape == "silent" && at.proto == "tcp" {
		if a, ok := stillSilent(ctx, at, w); ok {
			return a
		}
	}
	for _, p := range protocolsOf(at) {
		if strings.HasPrefix(shape+" ", p.name+" ") {
			if o := again(ctx, p, at, w, try(ctx, p, at, w, patientTime)); o.known && o.verdict.shape == shape {
				return o.answer()
			}
		}
	}
	return greet(ctx, at, w)
}

func protocolsOf(at endpoint) []protocol {
	if at.proto == "udp" {
		return datagrams
	}
	return streams
}

// stillSilent greets once in every protocol, all together. ok is false where anything came back.
func stillSilent(ctx context.Context, at endpoint, w World) (verify.Answer, bool) {
	best := outcome{}
	for i, o := range tryTogether(ctx, streams, at, w, greetTime) {
		if o.known || o.err != nil || o.heard.class() != "silent" {
			return verify.Answer{}, false
		}
		if i == 0 {
			best = o
		}
	}
	return best.answer(), true
}

// greet finds out what an endpoint speaks.
func greet(ctx context.Context, at endpoint, w World) verify.Answer {
	if at.proto == "udp" {
		return greetDatagrams(ctx, at, w).answer()
	}
	conn, err := dial(ctx, at, w)
	if err != nil {
		return notConnected(verify.Probe{}, err)
	}
	if conn.LocalAddr().Network() == "unixgram" {
		conn.Close() // whatever was sent would be taken for a message, such as a line of a log
		return verify.Answer{OK: true, Shape: "datagrams"}
	}
	o := listen(ctx, conn)
	conn.Close()
	if !o.known && len(o.heard.bytes) == 0 {
		o = greetAll(ctx, at, w, o)
	}
	return o.answer()
}

// listen waits for a server that speaks first.
func listen(ctx context.Context, conn net.Conn) outcome {
	t := talk{first: bannerTime, pause: 50 * time.Millisecond, whole: time.Second, enough: func(b []byte) bool {
		_, ok := recogniseBanner(b)
		return ok
	}}
	o := outcome{heard: t.over(ctx, conn)}
	o.verdict, o.known = recogniseBanner(o.heard.bytes)
	return o
}

// greetAll tries every protocol: HTTP and TLS alone, with patience for HTTP in the background, then the others, a few
// at a time; then all again with more patience, since a service may be slow.
func greetAll(ctx context.Context, at endpoint, w World, so outcome) outcome {
	web := make(chan outcome, 1)
	patience, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { web <- try(patience, streams[0], at, w, webTime) }()
	late := func(wait time.Duration) (outcome, bool) {
		select {
		case o := <-web:
			web <- o
			return o, o.known
		case <-time.After(wait):
			return outcome{}, false
		}
	}
	if o, ok := late(greetTime); ok {
		return withTLS(ctx, at, w, o)
	}
	if o := again(ctx, streams[1], at, w, try(ctx, streams[1], at, w, greetTime)); o.known {
		return o
	}
	best := so
	for _, wait := range []time.Duration{greetTime, patientTime} {
		for rest := streams[2:]; len(rest) > 0 && ctx.Err() == nil; {
			n := min(len(rest), batch(wait))
			for i, o := range tryTogether(ctx, rest[:n], at, w, wait) {
				if o.known {
					return again(ctx, rest[i], at, w, o)
				}
				best = better(best, o)
			}
			rest = rest[n:]
			if o, ok := late(0); ok {
				return withTLS(ctx, at, w, o)
			}
		}
		if best.heard.class() != "silent" {
			break // it would have spoken
		}
	}
	if o, ok := late(webTime); ok {
		return withTLS(ctx, at, w, o)
	} else if o.err == nil {
		best = better(best, o)
	}
	if o := try(ctx, lateStream, at, w, patientTime); o.known {
		return o
	}
	return best
}

// batch is how many greetings are tried at one time.
func batch(wait time.Duration) int {
	if wait == patientTime {
		return len(streams)
	}
	return together
}

// withTLS gives what is said over TLS where a server answers plain HTTP with 400, as servers do on ports for TLS. A service
// that is busy is asked again.
func withTLS(ctx context.Context, at endpoint, w World, web outcome) outcome {
	if strings.HasPrefix(web.verdict.shape, "http 400") {
		if o := try(ctx, streams[1], at, w, patientTime); o.known && o.verdict.trouble == "" {
			return o
		}
	}
	return again(ctx, streams[0], at, w, web)
}

// again repeats a greeting while the service says that it is busy.
func again(ctx context.Context, p protocol, at endpoint, w World, o outcome) outcome {
	for end := time.Now().Add(busyTime); o.known && o.verdict.busy && time.Now().Before(end) && ctx.Err() == nil; {
		select {
		case <-ctx.Done():
			return o
		case <-time.After(200 * time.Millisecond):
		}
		if next := try(ctx, p, at, w, patientTime); next.known {
			o = next
		}
	}
	return o
}

// better gives the outcome that says more: any answer, then a closed connection, then silence. A datagram that is
// refused says that nobody is there, unless others are not.
func better(a, b outcome) outcome {
	rank := map[string]int{"answers": 3, "closes": 2, "silent": 1, "refused": 0}
	if b.err == nil && (a.err != nil || rank[b.heard.class()] > rank[a.heard.class()]) {
		return b
	}
	return a
}

func tryTogether(ctx context.Context, protocols []protocol, at endpoint, w World, wait time.Duration) []outcome {
	outcomes := make([]outcome, len(protocols))
	var all sync.WaitGroup
	for i, p := range protocols {
		all.Go(func() { outcomes[i] = try(ctx, p, at, w, wait) })
	}
	all.Wait()
	return outcomes
}

// try greets once, on a connection of its own. A server that speaks first, but late, is recognised whatever it was sent.
func try(ctx context.Context, p protocol, at endpoint, w World, wait time.Duration) outcome {
	at.loose = p.loose
	conn, err := dial(ctx, at, w)
	if err != nil {
		return outcome{err: err}
	}
	defer conn.Close()
	var o outcome
	if p.ask != nil {
		o.verdict, o.heard, o.known = p.ask(ctx, conn, at, wait)
	} else {
		t := talk{send: p.send, first: wait, pause: 100 * time.Millisecond, whole: wait + time.Second, more: p.more, enough: func(b []byte) bool {
			_, ok := p.recognise(b)
			return ok && (p.more == nil || !p.more(b))
		}}
		o.heard = t.over(ctx, conn)
		o.verdict, o.known = p.recognise(o.heard.bytes)
	}
	if !o.known && at.proto != "udp" {
		o.verdict, o.known = recogniseBanner(o.heard.bytes)
	}
	return o
}

// greetWeb is HTTP in the clear.
func greetWeb(ctx context.Context, conn net.Conn, at endpoint, wait time.Duration) (verdict, heard, bool) {
	return webOver(ctx, conn, "http", at, wait)
}

func webOver(ctx context.Context, conn net.Conn, scheme string, at endpoint, wait time.Duration) (verdict, heard, bool) {
	t := talk{send: webGreeting(at), first: wait, pause: 100 * time.Millisecond, whole: wait + 2*time.Second, more: webMore}
	got := t.over(ctx, conn)
	v, ok := recogniseWeb(got.bytes, scheme, at)
	return v, got, ok
}

// greetTLS shakes hands, and asks for a page. Who shakes hands and says nothing then, or something else, is "tls" and what
// it says first. RFC 8446; a server that ends the handshake with an alert speaks TLS too.
func greetTLS(ctx context.Context, conn net.Conn, at endpoint, wait time.Duration) (verdict, heard, bool) {
	shaking, cancel := context.WithTimeout(ctx, max(wait, time.Second))
	defer cancel()
	secure := tls.Client(conn, lenientTLS("localhost"))
	if err := secure.HandshakeContext(shaking); err != nil {
		return alerted(err)
	}
	v, got, ok := webOver(ctx, secure, "https", at, max(wait, patientTime))
	if !ok {
		if v, ok = recogniseBanner(got.bytes); ok {
			v.shape = "tls " + v.shape
		} else {
			v = verdict{shape: "tls"}
		}
	}
	return v, got, true
}

// alerted gives what a handshake that failed says of the other side.
func alerted(err error) (verdict, heard, bool) {
	var op *net.OpError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &op) && op.Op == "remote error":
		return verdict{shape: "tls alert", trouble: "the TLS handshake is refused: " + short(op.Err.Error(), 100)}, heard{}, true
	case errors.As(err, &record):
		return verdict{}, heard{bytes: record.RecordHeader[:]}, false
	case isTimeout(err):
		return verdict{}, heard{}, false
	}
	return verdict{}, heard{closed: true}, false
}

// greetDatagrams sends all greetings at once, twice, since a datagram may be lost. Which address a
// socket is bound to shows only in what comes back.
func greetDatagrams(ctx context.Context, at endpoint, w World) outcome {
	best := outcome{heard: heard{refused: true}}
	for i, wait := range []time.Duration{patientTime / 2, patientTime} {
		for _, ip := range at.addrs {
			one := at
			one.addrs = []netip.Addr{ip}
			o := greetDatagram(ctx, one, w, wait)
			if o.known {
				return o
			}
			if best = better(best, o); i > 0 && o.heard.class() != "refused" {
				break
			}
		}
		if best.heard.class() == "refused" {
			break
		}
	}
	return best
}

func greetDatagram(ctx context.Context, at endpoint, w World, wait time.Duration) outcome {
	best := outcome{heard: heard{refused: true}}
	for i, o := range tryTogether(ctx, datagrams, at, w, wait) {
		if o.known {
			return again(ctx, datagrams[i], at, w, o)
		}
		if !datagrams[i].loose || len(o.heard.bytes) > 0 { // a socket that takes answers from any port hears of no refusal
			best = better(best, o)
		}
	}
	return best
}
