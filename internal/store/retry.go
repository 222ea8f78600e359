package store

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// backoff says how long and how often to try again.
type backoff struct {
	attempts int           // in all
	first    time.Duration // pause after the first; each next one is twice as long
	longest  time.Duration // of one pause of our own
	patience time.Duration // the longest Retry-After that is waited for
}

var defaultBackoff = backoff{attempts: 6, first: 250 * time.Millisecond, longest: 8 * time.Second, patience: 90 * time.Second}

// pause gives the wait after an attempt (0 is the first), with a jitter of a fifth so that many
// clients do not come back at once.
func (b backoff) pause(attempt int) time.Duration {
	d := b.longest
	if attempt < 16 {
		d = min(b.first<<attempt, b.longest)
	}
	return d - d/10 + rand.N(d/5+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retrier repeats requests that failed for a reason that passes: a full or restarting registry, a
// broken connection. go-containerregistry's own does not know Retry-After (RFC 9110, 10.2.3).
type retrier struct {
	inner   http.RoundTripper
	backoff backoff
}

// RoundTrip sends a request again only where its body can be had again.
func (t *retrier) RoundTrip(request *http.Request) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		response, err := t.inner.RoundTrip(request)
		if attempt+1 >= t.backoff.attempts || !passing(response, err) {
			return response, err
		}
		again, ok := rewind(request)
		if !ok {
			return response, err
		}
		pause, ok := t.wait(response, attempt)
		if !ok {
			return response, err
		}
		if response != nil {
			drain(response.Body)
		}
		if err := sleep(request.Context(), pause); err != nil {
			return nil, err
		}
		request = again
	}
}

// wait gives the pause before the next attempt; not ok says that the server wants more patience
// than there is.
func (t *retrier) wait(response *http.Response, attempt int) (time.Duration, bool) {
	pause := t.backoff.pause(attempt)
	if response == nil {
		return pause, true
	}
	asked, ok := retryAfter(response.Header.Get("Retry-After"), time.Now())
	if !ok {
		return pause, true
	}
	return max(asked, t.backoff.first), asked <= t.backoff.patience
}

// retryAfter reads seconds or a date (RFC 9110, section 10.2.3).
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// pausedError is a refusal that says when to come back.
type pausedError struct {
	error
	after time.Duration
}

func (e *pausedError) Unwrap() error { return e.error }

// waitAfter gives the pause after a failed attempt; not ok says that there is no use in waiting.
func (b backoff) waitAfter(err error, attempt int) (time.Duration, bool) {
	pause := b.pause(attempt)
	var paused *pausedError
	if errors.As(err, &paused) {
		return max(pause, paused.after), paused.after <= b.patience
	}
	return pause, true
}

func rewind(request *http.Request) (*http.Request, bool) {
	if request.Body == nil || request.Body == http.NoBody {
		return request, true
	}
	if request.GetBody == nil {
		return nil, false
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, false
	}
	again := request.Clone(request.Context())
	again.Body = body
	return again, true
}

// drain lets the connection be used again, unless much is still to come.
func drain(body io.ReadCloser) {
	io.CopyN(io.Discard, body, 1<<16)
	body.Close()
}

// passing says whether another attempt may succeed.
func passing(response *http.Response, err error) bool {
	if err != nil {
		return isBroken(err)
	}
	switch response.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		499, 522: // nginx: client closed request; Cloudflare: connection timed out
		return true
	}
	return false
}

// isBroken tells a connection that broke from one that never was: a refused one, an unknown host or
// a certificate does not get better within seconds.
func isBroken(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
