package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// flaky misbehaves thrice at every kind of request: 429, then 503, then a connection that breaks.
type flaky struct {
	next http.Handler
	well atomic.Bool // misbehaves no more
	mu   sync.Mutex
	seen map[string]int
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	path, _, _ := strings.Cut(r.URL.Path, "/uploads/") // each upload has an address of its own
	key := r.Method + path
	f.seen[key]++
	turn := f.seen[key]
	f.mu.Unlock()
	switch {
	case f.well.Load():
		f.next.ServeHTTP(w, r)
	case turn == 1:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	case turn == 2:
		w.WriteHeader(http.StatusServiceUnavailable)
	case turn == 3:
		panic(http.ErrAbortHandler)
	default:
		f.next.ServeHTTP(w, r)
	}
}

// A registry that fails three times at everything is read and written all the same.
func TestFlakyRegistry(t *testing.T) {
	t.Parallel()
	good := startRegistry(t, nil)
	var ill []*flaky
	wrap := func(next http.Handler) http.Handler {
		ill = append(ill, &flaky{next: next, seen: map[string]int{}})
		return ill[len(ill)-1]
	}
	to, from := startRegistry(t, wrap), startRegistry(t, wrap)
	push(t, good+"/a:1", testIndex(t))
	s := testStore(t, Options{})
	mustPut(t, s, from+"/a:1", mustOpen(t, s, good+"/a:1"))
	mustPut(t, s, to+"/a:1", mustOpen(t, testStore(t, Options{}), from+"/a:1"))
	for _, f := range ill {
		f.well.Store(true) // the judge has less patience
	}
	validRemote(t, to+"/a:1")
}

// cutter breaks every download of a blob after some bytes. What is left is served by range, or
// whole where the server knows no ranges.
type cutter struct {
	next      http.Handler
	every     int64
	ranges    bool
	mu        sync.Mutex
	cuts      int
	wantsCuts int
}

type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		w.ResponseWriter.Write(p[:w.left])
		w.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.left -= int64(len(p))
	return w.ResponseWriter.Write(p)
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !c.ranges {
		r.Header.Del("Range")
	}
	c.mu.Lock()
	cut := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && c.cuts < c.wantsCuts
	if cut {
		c.cuts++
	}
	every := c.every * int64(c.cuts)
	c.mu.Unlock()
	if cut {
		w = &cutWriter{w, every}
	}
	c.next.ServeHTTP(w, r)
}

// A download that breaks in the middle goes on where it was.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	for _, ranges := range []bool{true, false} {
		t.Run(fmt.Sprintf("ranges=%t", ranges), func(t *testing.T) {
			t.Parallel()
			c := &cutter{every: 100_000, ranges: ranges}
			host := startRegistry(t, func(next http.Handler) http.Handler { c.next = next; return c })
			push(t, host+"/a:1", testImage(t, 1, 1<<20))
			source := mustOpen(t, testStore(t, Options{}), host+"/a:1")
			c.mu.Lock()
			c.wantsCuts = 4
			c.mu.Unlock()
			l := source.Image.Layers[0]
			if got := digest.FromBytes(readLayer(t, l)); got != l.Descriptor().Digest {
				t.Errorf("digest is %s", got)
			}
			if c.cuts != 4 {
				t.Errorf("%d connections were cut, want 4: the test did not test", c.cuts)
			}
		})
	}
}

// One that breaks without end fails, in bounded time, as unreachable.
func TestEndlesslyBrokenDownload(t *testing.T) {
	t.Parallel()
	c := &cutter{every: 0, ranges: true}
	host := startRegistry(t, func(next http.Handler) http.Handler { c.next = next; return c })
	push(t, host+"/a:1", testImage(t, 1, 1<<16))
	source := mustOpen(t, testStore(t, Options{}), host+"/a:1")
	c.mu.Lock()
	c.wantsCuts = 1 << 30
	c.mu.Unlock()
	in, err := source.Image.Layers[0].Open(t.Context())
	if err == nil {
		_, err = io.Copy(io.Discard, in)
		in.Close()
	}
	if !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v, want unreachable", err)
	}
}

// A connection that gives nothing counts as broken; a slow reader does not.
func TestStalledDownload(t *testing.T) {
	t.Parallel()
	data := strings.Repeat("x", 1000)
	want := ocispec.Descriptor{Digest: digest.FromString(data), Size: int64(len(data))}
	hang := make(chan struct{})
	var calls int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if calls == 1 {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, data[:400])
			w.(http.Flusher).Flush()
			select {
			case <-hang:
			case <-r.Context().Done():
			}
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(data))
	}))
	defer server.Close()
	defer close(hang)
	const stall = 100 * time.Millisecond
	d, err := startDownload(t.Context(), want, fastBackoff, stall, func(ctx context.Context, span string) (*http.Response, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			return nil, err
		}
		if span != "" {
			request.Header.Set("Range", span)
		}
		return http.DefaultClient.Do(request)
	})
	if err != nil {
		t.Fatal(err)
	}
	in := newVerifier(d, want)
	defer in.Close()
	var first [10]byte
	if _, err := io.ReadFull(in, first[:]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * stall) // a slow consumer
	if _, err := io.Copy(io.Discard, in); err != nil {
		t.Fatal(err)
	}
	if calls != 2 {
		t.Errorf("%d requests, want 2", calls)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		{"7", 7 * time.Second, true},
		{"Wed, 01 May 2024 12:00:30 GMT", 30 * time.Second, true},
		{"Wed, 01 May 2024 11:00:00 GMT", 0, true},
		{"", 0, false},
		{"-3", 0, false},
		{"99999999999999999999", 0, false},
		{"soon", 0, false},
	}
	for _, test := range tests {
		if got, ok := retryAfter(test.value, now); got != test.want || ok != test.ok {
			t.Errorf("retryAfter(%q) = %v, %t, want %v, %t", test.value, got, ok, test.want, test.ok)
		}
	}
}

// An upload, which is sent again as a whole, keeps to Retry-After too.
func TestRetryAfterOfUploads(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := 0
	host := startRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if asked++; strings.Contains(r.URL.Path, "/uploads/") && r.Method == http.MethodPut && asked < 1000 {
				asked = 1000
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s := testStore(t, Options{})
	source := mustOpen(t, s, fromRegistry(t, s, testImage(t, 1, 1000)))
	start := time.Now()
	mustPut(t, s, host+"/a:1", source)
	if took := time.Since(start); took < time.Second {
		t.Errorf("took %v", took)
	}
	validRemote(t, host+"/a:1")
}

// A server that asks for a pause gets it; one that asks for too long a pause gets an end.
func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		after     string
		min, max  time.Duration
		wantError bool
	}{
		{after: "1", min: time.Second, max: 10 * time.Second},
		{after: "3600", max: time.Second, wantError: true},
	} {
		t.Run(test.after, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			asked := 0
			host := startRegistry(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					if strings.Contains(r.URL.Path, "/manifests/") && r.Method == http.MethodGet {
						if asked++; asked == 1 {
							w.Header().Set("Retry-After", test.after)
							w.WriteHeader(http.StatusTooManyRequests)
							return
						}
					}
					next.ServeHTTP(w, r)
				})
			})
			ref := push(t, host+"/a:1", testImage(t, 1, 10))
			start := time.Now()
			_, err := testStore(t, Options{}).Open(t.Context(), ref)
			if (err != nil) != test.wantError {
				t.Errorf("error is %v", err)
			}
			if took := time.Since(start); took < test.min || took > test.max {
				t.Errorf("took %v, want between %v and %v", took, test.min, test.max)
			}
		})
	}
}

// A cancelled context ends a pause at once.
func TestRetryIsCancelled(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	s := New(Options{})
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := s.Open(ctx, mustParse(t, strings.TrimPrefix(server.URL, "http://")+"/x:1"))
	if err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}
