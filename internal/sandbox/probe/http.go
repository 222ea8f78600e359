package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"unroot/internal/verify"
)

const agent = "unroot-probe"

// askHTTP gets a URL, follows no redirect, and reads its body to its end or to a bound.
func askHTTP(ctx context.Context, p verify.Probe, expect *regexp.Regexp, w World) verify.Answer {
	target, at, err := webEndpoint(p.Address)
	if err != nil {
		return failed(p, "not asked", err)
	}
	response, hangUp, err := fetch(ctx, target, at, w)
	if err != nil {
		return noResponse(p, err)
	}
	defer hangUp()
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	a := verify.Answer{Probe: p, Shape: webShape(response, target), Sample: sample(body)}
	switch {
	case p.Expect != "" && !expect.Match(body):
		a.Error = fmt.Sprintf("the body, with status %d, does not match %q", response.StatusCode, p.Expect)
	case p.Expect == "" && response.StatusCode >= 400:
		a.Error = fmt.Sprintf("the status is %d", response.StatusCode)
	case err != nil && ctx.Err() == nil:
		a.Error = fmt.Sprintf("the body breaks off after %d bytes: %v", len(body), err)
	default:
		a.OK = true
	}
	return a
}

// webEndpoint reads the address of an http probe.
func webEndpoint(address string) (*url.URL, endpoint, error) {
	target, err := url.Parse(address)
	if err != nil || target.Scheme != "http" && target.Scheme != "https" {
		return nil, endpoint{}, fmt.Errorf("the address %q: it is not http://HOST:PORT/PATH", address)
	}
	if target.Hostname() == "" {
		target.Host = "127.0.0.1:" + webPort(target)
	}
	if target.Path == "" {
		target.Path = "/"
	}
	at, err := hostPort("tcp", target.Hostname(), webPort(target))
	return target, at, err
}

// webPort gives the port of a URL as it stands, or the one that its scheme implies.
func webPort(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// fetch gets a URL from one endpoint, over a connection of its own. hangUp ends the connection. It does without http.Transport,
// which writes to the log what a server says out of turn.
func fetch(ctx context.Context, target *url.URL, at endpoint, w World) (response *http.Response, hangUp func(), err error) {
	conn, err := dial(ctx, at, w)
	if err != nil {
		return nil, nil, err
	}
	wire := conn
	stop := context.AfterFunc(ctx, func() { wire.SetDeadline(time.Unix(1, 0)) })
	end := func() { stop(); wire.Close() }
	defer func() {
		if err != nil {
			end()
		}
	}()
	if target.Scheme == "https" {
		secure := tls.Client(conn, lenientTLS(target.Hostname()))
		if err = secure.HandshakeContext(ctx); err != nil {
			return nil, nil, err
		}
		conn = secure
	}
	request, err := http.NewRequest(http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("User-Agent", agent)
	request.Close = true
	if err = request.Write(conn); err != nil {
		return nil, nil, err
	}
	response, err = readResponse(conn, request)
	return response, end, err
}

// readResponse reads a header within maxAnswer bytes, after any number of provisional ones within them (RFC 9110, section 15.2).
func readResponse(conn io.Reader, request *http.Request) (*http.Response, error) {
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	reader := bufio.NewReader(limited)
	for {
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			limited.N = 2 * maxBody
			return response, nil
		}
	}
}

// lenientTLS checks no certificate: the service has none that a loopback address could be checked against.
func lenientTLS(host string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, ServerName: host}
}

// noResponse is the answer where there was no HTTP response.
func noResponse(p verify.Probe, err error) verify.Answer {
	var op *net.OpError
	switch {
	case isRefused(err), errors.Is(err, verify.ErrUnavailable):
		return notConnected(p, err)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return failed(p, "closes", errors.New("the connection is closed without an answer"))
	case isTimeout(err):
		return failed(p, "silent", errors.New("there is no answer in time"))
	case errors.As(err, &op) && op.Op == "read":
		return failed(p, "closes", errors.New("the connection is reset without an answer"))
	}
	return failed(p, "answers", fmt.Errorf("the answer is not HTTP: %.200s", sample([]byte(err.Error()))))
}

// webShape is what can be compared of a response: its status, its content type without parameters, and where it leads.
func webShape(r *http.Response, asked *url.URL) string {
	shape := fmt.Sprintf("%s %03d", asked.Scheme, r.StatusCode)
	if location := r.Header.Get("Location"); location != "" && r.StatusCode/100 == 3 {
		return shape + " to " + whereTo(location, asked)
	}
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if media = strings.ToLower(strings.TrimSpace(media)); media != "" {
		shape += " " + short(media, 64)
	}
	return shape
}

// whereTo is a Location without what differs between two runs: the host where it is the one that was asked, the port where
// it is that of the question, and the query. A port that is not the one of the question stays: a server that moved
// and leads its clients to the port that it had shows itself.
func whereTo(location string, asked *url.URL) string {
	to, err := url.Parse(location)
	if err != nil {
		return short(location, 128)
	}
	to = asked.ResolveReference(to)
	where := ""
	if to.Scheme != asked.Scheme {
		where = to.Scheme + "://"
	}
	if to.Hostname() != asked.Hostname() && to.Hostname() != "localhost" {
		where = to.Scheme + "://" + to.Hostname()
	}
	if port := webPort(to); port != webPort(asked) {
		where += ":" + port
	}
	return short(where+to.EscapedPath(), 128)
}

func short(s string, limit int) string {
	if s = sample([]byte(s)); len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// webGreeting is the request of Generic.
func webGreeting(endpoint) []byte {
	return []byte("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: " + agent + "\r\nAccept: */*\r\nConnection: close\r\n\r\n")
}

// webMore reports whether a response has begun whose header has not ended.
func webMore(b []byte) bool {
	return isWeb(b) && !bytes.Contains(b, []byte("\r\n\r\n")) && !bytes.Contains(b, []byte("\n\n"))
}

func isWeb(b []byte) bool {
	return bytes.HasPrefix(b, []byte("HTTP/1.")) || len(b) > 0 && len(b) < 7 && bytes.HasPrefix([]byte("HTTP/1."), b)
}

// recogniseWeb gives the shape of what was answered to webGreeting.
func recogniseWeb(b []byte, scheme string, at endpoint) (verdict, bool) {
	if !bytes.HasPrefix(b, []byte("HTTP/1.")) {
		return verdict{}, false
	}
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), &http.Request{Method: http.MethodGet})
	if err != nil {
		return verdict{shape: scheme + " damaged", trouble: "the answer begins as HTTP and is none"}, true
	}
	response.Body.Close()
	asked := &url.URL{Scheme: scheme, Host: fmt.Sprintf("localhost:%d", at.port), Path: "/"}
	v := verdict{shape: webShape(response, asked)}
	if response.StatusCode >= 500 {
		v.trouble = fmt.Sprintf("the status is %d", response.StatusCode)
		v.busy = response.StatusCode >= 502 && response.StatusCode <= 504
	}
	return v, true
}
