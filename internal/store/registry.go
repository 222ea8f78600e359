package store

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

// newTransport makes the connections to registries. Compression is off: a blob must come as it is.
func newTransport(insecure bool) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 5 * time.Minute, // a registry that stores to an object store answers late
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: insecure}, //#nosec G402 -- only where the user asked for it
	}
}

// isLoopback says whether a registry's host is this machine, where plain HTTP harms nobody.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// registry is a conversation with one registry: pinged once, logged in once for each set of scopes.
type registry struct {
	store *Store
	name  name.Registry

	mu        sync.Mutex // held while pinging and logging in, so that parallel users share the result
	challenge *transport.Challenge
	clients   map[string]*http.Client
}

// registry gives the conversation with a registry, the same one for source and destination.
func (s *Store) registry(n name.Registry) *registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.registries == nil {
		s.registries = map[string]*registry{}
	}
	r := s.registries[n.RegistryStr()]
	if r == nil {
		r = &registry{store: s, name: n, clients: map[string]*http.Client{}}
		s.registries[n.RegistryStr()] = r
	}
	return r
}

// ping asks once how the registry wants to be spoken to. Plain HTTP is an answer only where it was
// allowed; the library itself would also take it from every private network.
func (r *registry) ping(ctx context.Context) error {
	if r.challenge != nil {
		return nil
	}
	challenge, err := transport.Ping(ctx, r.name, r.store.transport)
	if err != nil {
		return err
	}
	if challenge.Insecure && !r.store.options.Insecure && !isLoopback(r.name.RegistryStr()) {
		return hinted(fail(ErrUnreachable, "%s speaks only plain HTTP", r.name), "allow it as insecure if you trust the network")
	}
	r.challenge = challenge
	return nil
}

// client gives an HTTP client that is logged in for the scopes.
func (r *registry) client(ctx context.Context, repo name.Repository, scopes ...string) (*http.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.ping(ctx); err != nil {
		return nil, err
	}
	bearer := strings.EqualFold(r.challenge.Scheme, "bearer")
	key := strings.Join(scopes, " ")
	if !bearer {
		key = repo.RepositoryStr() // credentials may differ by path, tokens there are none
	}
	if c := r.clients[key]; c != nil {
		return c, nil
	}
	auth, err := authn.Resolve(ctx, r.store.keychain, repo)
	if err != nil {
		return nil, fmt.Errorf("reading credentials for %s: %w", r.name, err)
	}
	token := &transport.Token{}
	if bearer {
		if token, err = r.token(ctx, auth, scopes); err != nil {
			return nil, err
		}
	}
	wrapped, err := transport.FromToken(r.name, auth, r.store.transport, r.challenge, token)
	if err != nil {
		return nil, err
	}
	c := &http.Client{Transport: wrapped, CheckRedirect: r.checkRedirect}
	r.clients[key] = c
	return c, nil
}

// token logs in for the scopes. A credential that is a registry token already needs no exchange.
func (r *registry) token(ctx context.Context, auth authn.Authenticator, scopes []string) (*transport.Token, error) {
	config, err := authn.Authorization(ctx, auth)
	if err != nil {
		return nil, err
	}
	if config.RegistryToken != "" {
		return &transport.Token{Token: config.RegistryToken}, nil
	}
	token, err := transport.Exchange(ctx, r.name, auth, r.store.transport, scopes, r.challenge)
	if err != nil {
		return nil, err
	}
	if token.Token == "" {
		token.Token = token.AccessToken
	}
	return token, nil
}

// checkRedirect follows a registry to its blob store, but not from TLS to plain HTTP.
func (r *registry) checkRedirect(request *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	if via[0].URL.Scheme == "https" && request.URL.Scheme != "https" && !r.store.options.Insecure {
		return fmt.Errorf("refusing a redirect from TLS to %s://%s", request.URL.Scheme, request.URL.Host)
	}
	return nil
}

// url gives the address of something in a repository (OCI distribution specification, "Endpoints").
func (r *registry) url(repo name.Repository, parts ...string) *url.URL {
	scheme := "https"
	if r.challenge.Insecure {
		scheme = "http"
	}
	return &url.URL{Scheme: scheme, Host: r.name.RegistryStr(), Path: "/v2/" + repo.RepositoryStr() + "/" + strings.Join(parts, "/")}
}

// repository is one repository of a registry, with what is asked for at the login.
type repository struct {
	*registry
	repo   name.Repository
	scopes []string
}

// forReading gives the repository of a reference.
func (s *Store) forReading(named name.Reference) *repository {
	repo := named.Context()
	return &repository{s.registry(repo.Registry), repo, []string{repo.Scope(transport.PullScope)}}
}

// do sends one request and fails on every status but those wanted.
func (r *repository) do(request *http.Request, wanted ...int) (*http.Response, error) {
	client, err := r.client(request.Context(), r.repo, r.scopes...)
	if err != nil {
		return nil, classify(r.name.RegistryStr(), err)
	}
	response, err := client.Do(request)
	if err == nil {
		if err = transport.CheckError(response, wanted...); err != nil {
			response.Body.Close()
			if after, ok := retryAfter(response.Header.Get("Retry-After"), time.Now()); ok {
				err = &pausedError{err, after}
			}
		}
	}
	if err != nil {
		return nil, classify(r.name.RegistryStr(), err)
	}
	return response, nil
}

// get asks for one thing. The client must stand before there is an address.
func (r *repository) get(ctx context.Context, header http.Header, wanted []int, parts ...string) (*http.Response, error) {
	if _, err := r.client(ctx, r.repo, r.scopes...); err != nil {
		return nil, classify(r.name.RegistryStr(), err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url(r.repo, parts...).String(), nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		request.Header[key] = values
	}
	return r.do(request, wanted...)
}

// getManifest reads a manifest by tag or digest, with the media type that the registry says.
func (r *repository) getManifest(ctx context.Context, identifier string) (raw []byte, told string, err error) {
	header := http.Header{"Accept": {strings.Join(acceptManifests, ", ")}}
	for attempt := 0; ; attempt++ {
		raw, told, err = r.readManifest(ctx, identifier, header)
		if err == nil || attempt+1 >= r.store.backoff.attempts || !isBroken(err) {
			return raw, told, classify(r.name.RegistryStr(), err)
		}
		if err := sleep(ctx, r.store.backoff.pause(attempt)); err != nil {
			return nil, "", err
		}
	}
}

func (r *repository) readManifest(ctx context.Context, identifier string, header http.Header) ([]byte, string, error) {
	response, err := r.get(ctx, header, []int{http.StatusOK}, "manifests", identifier)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxManifest+1))
	if err != nil {
		return nil, "", err
	}
	if len(raw) > maxManifest {
		return nil, "", fail(ErrLimit, "manifest has more than %d bytes", maxManifest)
	}
	return raw, response.Header.Get("Content-Type"), nil
}

// manifestKey is the key of a manifest in the cache.
func manifestKey(d digest.Digest) string { return "manifest " + d.String() }

// cached keeps small things that never change, by what they are and their digest.
func (r *repository) cached(key string, d ocispec.Descriptor, get func() ([]byte, error)) ([]byte, error) {
	if data, ok := r.store.options.Cache.Get(key); ok && digest.FromBytes(data) == d.Digest {
		return data, nil
	}
	data, err := get()
	if err == nil && d.Digest.Algorithm() == digest.SHA256 {
		r.store.options.Cache.Put(key, data)
	}
	return data, err
}

func (r *repository) manifest(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	return r.cached(manifestKey(d.Digest), d, func() ([]byte, error) {
		raw, _, err := r.getManifest(ctx, d.Digest.String())
		if err != nil {
			return nil, err
		}
		return readVerified(io.NopCloser(bytes.NewReader(raw)), d, maxManifest)
	})
}

func (r *repository) config(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	return r.cached("config "+d.Digest.String(), d, func() ([]byte, error) {
		in, err := r.blob(ctx, d)
		if err != nil {
			return nil, err
		}
		return readVerified(in, d, maxConfig)
	})
}

// blob reads a blob, over broken connections if need be.
func (r *repository) blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	wanted := []int{http.StatusOK, http.StatusPartialContent}
	return startDownload(ctx, d, r.store.backoff, stallLimit, func(ctx context.Context, span string) (*http.Response, error) {
		header := http.Header{}
		if span != "" {
			header.Set("Range", span)
		}
		return r.get(ctx, header, wanted, "blobs", d.Digest.String())
	})
}

func (r *repository) layer(d ocispec.Descriptor) *blob {
	return &blob{
		descriptor: d,
		open:       func(ctx context.Context) (io.ReadCloser, error) { return r.blob(ctx, d) },
		home:       home{registry: r.name.RegistryStr(), repository: r.repo.RepositoryStr()},
	}
}

// openRegistry reads an image with one request for its manifest and, where the cache has not the
// config, one for that.
func (s *Store) openRegistry(ctx context.Context, ref Ref) (image.Source, error) {
	named, err := ref.registryName(s.options.Insecure)
	if err != nil {
		return image.Source{}, err
	}
	r := s.forReading(named)
	raw, told, err := r.root(ctx, named)
	if err != nil {
		return image.Source{}, fmt.Errorf("reading manifest: %w", err)
	}
	return assemble(ctx, r, s.jobs(), raw, told)
}

// root reads the manifest that the reference names; by digest it may be in the cache.
func (r *repository) root(ctx context.Context, named name.Reference) (raw []byte, told string, err error) {
	byDigest, ok := named.(name.Digest)
	if !ok {
		return r.getManifest(ctx, named.Identifier())
	}
	want := digest.Digest(byDigest.DigestStr())
	if err := checkDigest(want); err != nil {
		return nil, "", err
	}
	raw, err = r.cached(manifestKey(want), ocispec.Descriptor{Digest: want}, func() ([]byte, error) {
		raw, mediaType, err := r.getManifest(ctx, want.String())
		told = mediaType
		if err != nil {
			return nil, err
		}
		return readVerified(io.NopCloser(bytes.NewReader(raw)), ocispec.Descriptor{Digest: want, Size: int64(len(raw))}, maxManifest)
	})
	return raw, told, err
}
