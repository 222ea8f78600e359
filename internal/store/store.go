// Package store opens images and puts them: in registries, OCI layouts, OCI and docker archives, and
// the engines Docker and Podman; beside them it keeps the cache on the disk.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"unroot/internal/image"
)

// Options are what a Store takes from its caller. The zero value reads no environment, no standard
// input and no cache.
type Options struct {
	// Env reads a variable of the environment: DOCKER_HOST and CONTAINER_HOST for engines, and where
	// credentials are (HOME, DOCKER_CONFIG, REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME).
	Env func(string) string
	// Insecure allows registries without TLS or with a certificate that nobody vouches for.
	Insecure bool
	// Stdin is what the reference "-" reads.
	Stdin io.Reader
	// Cache keeps manifests and configs; nil keeps nothing.
	Cache *Cache
	// TempDir is where archives and engines' images are unpacked; empty is the system's.
	TempDir string
	// SpoolLimit bounds in bytes what one of those may unpack to; zero is 64 GiB.
	SpoolLimit int64
	// OCIFormat writes OCI's media types into OCI layouts and archives where the source has Docker's,
	// which changes the manifest's digest, but no config and no layer. Without it manifests stay as
	// they are, and skopeo and umoci do not find Docker's in a layout.
	OCIFormat bool
	// Jobs bounds what is transferred at once; zero is 6.
	Jobs int
	// Keychain finds credentials; nil is the files of Docker and Podman.
	Keychain authn.Keychain
	// Transport carries requests to registries; nil is a fresh one. It is not closed.
	Transport http.RoundTripper
}

// Store opens images and puts them. It is safe for many goroutines. Close it when no layer of an
// image that it opened is read any more.
type Store struct {
	options   Options
	transport http.RoundTripper // with retries
	keychain  authn.Keychain
	backoff   backoff

	mu         sync.Mutex
	registries map[string]*registry
	closers    []io.Closer
}

// New makes a Store. Nothing is opened or asked before the first use.
func New(options Options) *Store {
	if options.Env == nil {
		options.Env = func(string) string { return "" }
	}
	s := &Store{options: options, keychain: options.Keychain, backoff: defaultBackoff}
	if s.keychain == nil {
		s.keychain = fileKeychain{options.Env}
	}
	inner := options.Transport
	if inner == nil {
		own := newTransport(options.Insecure)
		s.closers = append(s.closers, closerFunc(own.CloseIdleConnections))
		inner = own
	}
	s.transport = &retrier{inner: transport.NewUserAgent(inner, "unroot"), backoff: s.backoff}
	return s
}

type closerFunc func()

func (f closerFunc) Close() error {
	f()
	return nil
}

func (s *Store) jobs() int {
	if s.options.Jobs > 0 {
		return s.options.Jobs
	}
	return 6
}

func (s *Store) spoolLimit() int64 {
	if s.options.SpoolLimit > 0 {
		return s.options.SpoolLimit
	}
	return 64 << 30
}

// keep closes c with the store.
func (s *Store) keep(c io.Closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, c)
}

// Close ends what is open and removes what was unpacked.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, c := range s.closers {
		errs = append(errs, c.Close())
	}
	s.closers = nil
	return errors.Join(errs...)
}

// Open reads an image or an index: its manifests and configs, verified and as they came, and its
// layers, which are read only when they are opened. Errors are of the kinds above (ErrNotFound,
// ErrUnauthorized, ErrUnreachable, ErrUnsupported, ErrCorrupt, ErrLimit), many with a hint.
func (s *Store) Open(ctx context.Context, ref Ref) (image.Source, error) {
	source, err := s.open(ctx, ref)
	if err != nil {
		return image.Source{}, fmt.Errorf("opening %q: %w", ref, s.spaceHint(err))
	}
	source.Ref = ref.String()
	return source, nil
}

func (s *Store) open(ctx context.Context, ref Ref) (image.Source, error) {
	switch ref.Transport {
	case Registry:
		return s.openRegistry(ctx, ref)
	case OCILayout:
		return s.openLayout(ctx, ref)
	case OCIArchive:
		return s.openOCIArchive(ctx, ref)
	case DockerArchive:
		return s.openDockerArchive(ctx, ref)
	case Engine:
		return s.openEngine(ctx, ref)
	case Stdin:
		return s.openStdin(ctx)
	}
	return image.Source{}, fmt.Errorf("[internal error] transport %q", ref.Transport)
}

// Put writes an image or an index and gives its id: the digest of the manifest, or the image id (of
// the config) where the place knows no manifests. Until it succeeds the destination leads to what it
// led to before, also when the process is killed. An image without a manifest gets one: Docker's in
// a registry, OCI's in a layout or an OCI archive.
func (s *Store) Put(ctx context.Context, ref Ref, source image.Source) (string, error) {
	id, err := s.put(ctx, ref, source)
	if err != nil {
		return "", fmt.Errorf("writing %q: %w", ref, s.spaceHint(err))
	}
	return id, nil
}

func (s *Store) put(ctx context.Context, ref Ref, source image.Source) (string, error) {
	switch ref.Transport {
	case Registry:
		return s.putRegistry(ctx, ref, source)
	case OCILayout:
		return s.putLayout(ctx, ref, source)
	case OCIArchive:
		return s.putOCIArchive(ctx, ref, source)
	case DockerArchive:
		return s.putDockerArchive(ctx, ref, source)
	case Engine:
		return s.putEngine(ctx, ref, source)
	case Stdin:
		return "", hinted(fail(ErrNotFound, "standard input can only be read"), "write docker-archive:/dev/stdout, or a file")
	}
	return "", fmt.Errorf("[internal error] transport %q", ref.Transport)
}

// spaceHint says which disk is meant when one is full: it may be that of the temporary files.
func (s *Store) spaceHint(err error) error {
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	temp := s.options.TempDir
	if temp == "" {
		temp = os.TempDir()
	}
	return hinted(err, "make room there, or set TMPDIR to a larger disk if it was %s that is full", temp)
}
