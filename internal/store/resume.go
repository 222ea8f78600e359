package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stallLimit is how long a download may give nothing before its connection counts as broken.
const stallLimit = 60 * time.Second

// worthwhile is how many bytes between two breaks are progress, after which the count of attempts
// starts anew.
const worthwhile = 1 << 20

var errStalled = errors.New("no bytes for too long")

// download reads a blob over as many connections as it takes: where one breaks, the next one goes on
// from there with a Range request. The digest is verified over the whole by its caller.
type download struct {
	ctx      context.Context
	want     ocispec.Descriptor
	get      func(ctx context.Context, span string) (*http.Response, error)
	backoff  backoff
	stall    time.Duration
	body     io.ReadCloser
	cancel   context.CancelFunc
	timer    *time.Timer // cancels a stalled connection; runs only inside Read
	offset   int64
	since    int64 // offset at which the attempts began to count
	attempts int
}

// startDownload makes the first connection, so that what is missing is known at once.
func startDownload(ctx context.Context, want ocispec.Descriptor, b backoff, stall time.Duration,
	get func(ctx context.Context, span string) (*http.Response, error)) (*download, error) {
	d := &download{ctx: ctx, want: want, get: get, backoff: b, stall: stall}
	return d, d.connect()
}

func (d *download) connect() error {
	ctx, cancel := context.WithCancel(d.ctx)
	span := ""
	if d.offset > 0 { // with an end: not every server knows "bytes=N-"
		span = fmt.Sprintf("bytes=%d-%d", d.offset, d.want.Size-1)
	}
	response, err := d.get(ctx, span)
	if err == nil {
		if err = d.position(response); err != nil {
			response.Body.Close()
		}
	}
	if err != nil {
		cancel()
		return err
	}
	d.body, d.cancel, d.timer = response.Body, cancel, time.AfterFunc(d.stall, cancel)
	d.timer.Stop()
	return nil
}

// position brings a response to the offset: a server that ignores Range sends the whole again.
func (d *download) position(response *http.Response) error {
	if response.StatusCode == http.StatusPartialContent {
		if !strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.offset)) {
			return fail(ErrCorrupt, "blob %s: asked for byte %d on, got %q", d.want.Digest, d.offset, response.Header.Get("Content-Range"))
		}
		return nil
	}
	if length := response.ContentLength; length >= 0 && length != d.want.Size {
		return fail(ErrCorrupt, "blob %s: the registry has %d bytes, its descriptor says %d", d.want.Digest, length, d.want.Size)
	}
	_, err := io.CopyN(io.Discard, response.Body, d.offset)
	return err
}

func (d *download) Read(p []byte) (int, error) {
	for {
		if d.body == nil {
			if err := d.reconnect(); err != nil {
				return 0, err
			}
		}
		n, err := d.readBody(p)
		d.offset += int64(n)
		if d.offset-d.since >= worthwhile {
			d.since, d.attempts = d.offset, 0
		}
		whole := errors.Is(err, io.EOF) && d.offset >= d.want.Size
		if err == nil || whole || context.Cause(d.ctx) != nil || !isBroken(err) {
			return n, err
		}
		d.hangUp()
		if n > 0 {
			return n, nil
		}
	}
}

// readBody reads with the stall limit. The consumer may be as slow as it likes: only the time inside
// Read counts.
func (d *download) readBody(p []byte) (int, error) {
	d.timer.Reset(d.stall)
	n, err := d.body.Read(p)
	if !d.timer.Stop() && err != nil && !errors.Is(err, io.EOF) && d.ctx.Err() == nil {
		err = errStalled
	}
	return n, err
}

// reconnect waits and connects until a connection stands or the attempts are used up.
func (d *download) reconnect() error {
	for {
		d.attempts++
		if d.attempts >= d.backoff.attempts {
			return fail(ErrUnreachable, "blob %s: the connection broke %d times, last at byte %d of %d", d.want.Digest, d.attempts, d.offset, d.want.Size)
		}
		if err := sleep(d.ctx, d.backoff.pause(d.attempts-1)); err != nil {
			return err
		}
		err := d.connect()
		if err == nil || context.Cause(d.ctx) != nil || !isBroken(err) {
			return err
		}
	}
}

func (d *download) hangUp() {
	if d.body != nil {
		d.cancel()
		d.body.Close()
		d.body = nil
	}
}

// Close ends the connection.
func (d *download) Close() error {
	d.hangUp()
	return nil
}
