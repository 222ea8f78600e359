package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"unroot/internal/image"
)

// upload is one put into a repository.
type upload struct {
	*repository
	known map[digest.Digest]bool // blobs that the old image under the tag refers to
}

// putRegistry writes blobs, then the manifests that the root refers to, then the root under its tag:
// until that last request the tag leads to the old image. It gives the root's digest.
func (s *Store) putRegistry(ctx context.Context, ref Ref, source image.Source) (string, error) {
	named, err := ref.registryName(s.options.Insecure)
	if err != nil {
		return "", err
	}
	b, err := s.bundle(ctx, source, image.DockerManifest)
	defer b.close()
	if err != nil {
		return "", err
	}
	root := b.root()
	if d, ok := named.(name.Digest); ok && d.DigestStr() != root.Digest.String() {
		return "", hinted(fail(ErrNotFound, "the destination names the digest %s, the image has %s", d.DigestStr(), root.Digest),
			"name a tag as destination")
	}
	u := &upload{repository: s.forReading(named)}
	u.scopes = u.scopesFor(b.blobs)
	if err := u.login(ctx); err != nil {
		return "", err
	}
	u.known = u.oldBlobs(ctx, named.Identifier())
	err = u.putAll(ctx, b, named.Identifier(), true)
	if isMissingBlob(err) { // the registry has lost a blob that a manifest of the repository names
		err = u.putAll(ctx, b, named.Identifier(), false)
	}
	if err != nil {
		return "", err
	}
	for _, m := range b.manifests {
		u.store.options.Cache.Put(manifestKey(m.descriptor.Digest), m.data)
	}
	return root.Digest.String(), nil
}

// oldBlobs asks once what the destination's tag leads to: what that refers to is there, which saves
// a question for each blob when an image is converted again. Members of an index are looked up only
// in the cache. Nothing found is no error.
func (u *upload) oldBlobs(ctx context.Context, tag string) map[digest.Digest]bool {
	known := map[digest.Digest]bool{}
	raw, told, err := u.getManifest(ctx, tag)
	if err != nil {
		return known
	}
	m, err := parseManifest(raw, told)
	if err != nil {
		return known
	}
	for _, d := range m.descriptors() {
		known[d.Digest] = true
		if raw, ok := u.store.options.Cache.Get(manifestKey(d.Digest)); ok && m.kind == kindIndex {
			if member, err := parseManifest(raw, d.MediaType); err == nil {
				for _, d := range member.descriptors() {
					known[d.Digest] = true
				}
			}
		}
	}
	return known
}

// scopesFor gives what a put needs: to write here, and to read where layers are mounted from.
func (u *upload) scopesFor(blobs []image.Layer) []string {
	var from []string
	for _, l := range blobs {
		if repo := u.mountFrom(l); repo != "" {
			from = append(from, "repository:"+repo+":pull")
		}
	}
	slices.Sort(from)
	return append([]string{u.repo.Scope(transport.PushScope)}, slices.Compact(from)...)
}

// mountFrom gives the repository that a layer can be mounted from, or "".
func (u *upload) mountFrom(l image.Layer) string {
	if b, ok := l.(*blob); ok && b.home.registry == u.name.RegistryStr() && b.home.repository != u.repo.RepositoryStr() {
		return b.home.repository
	}
	return ""
}

// isHere says whether a blob must be in the repository: it was read from there, or the old image
// under the tag has it.
func (u *upload) isHere(l image.Layer) bool {
	if u.known[l.Descriptor().Digest] {
		return true
	}
	b, ok := l.(*blob)
	return ok && b.home.registry == u.name.RegistryStr() && b.home.repository == u.repo.RepositoryStr()
}

// login gets a token for writing and mounting. A registry that grants no reading of the mounts'
// sources still lets blobs be copied.
func (u *upload) login(ctx context.Context) error {
	_, err := u.client(ctx, u.repo, u.scopes...)
	if err != nil && len(u.scopes) > 1 {
		u.scopes = u.scopes[:1]
		_, err = u.client(ctx, u.repo, u.scopes...)
	}
	return classify(u.name.RegistryStr(), err)
}

func (u *upload) putAll(ctx context.Context, b *bundle, tag string, trust bool) error {
	group, groupContext := errgroup.WithContext(ctx)
	group.SetLimit(u.store.jobs())
	for _, l := range b.blobs {
		if trust && u.isHere(l) {
			continue
		}
		group.Go(func() error {
			if err := u.putBlob(groupContext, l); err != nil {
				return fmt.Errorf("writing blob %s: %w", l.Descriptor().Digest, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	last := len(b.manifests) - 1
	for i, m := range b.manifests {
		identifier := m.descriptor.Digest.String()
		if i == last {
			identifier = tag
		}
		if err := u.putManifest(ctx, m, identifier); err != nil {
			return fmt.Errorf("writing manifest %s: %w", m.descriptor.Digest, err)
		}
	}
	return nil
}

// send makes a request to the repository and fails on every status but those wanted.
func (u *upload) send(ctx context.Context, method string, to *url.URL, body []byte, contentType string, wanted ...int) (*http.Response, error) {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body) // gives the request a GetBody, so that it can be repeated
	}
	request, err := http.NewRequestWithContext(ctx, method, to.String(), in)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := u.do(request, wanted...)
	if err != nil {
		return nil, err
	}
	drain(response.Body)
	return response, nil
}

func (u *upload) putManifest(ctx context.Context, m *blob, identifier string) error {
	to := u.url(u.repo, "manifests", identifier)
	_, err := u.send(ctx, http.MethodPut, to, m.data, m.descriptor.MediaType, http.StatusOK, http.StatusCreated, http.StatusAccepted)
	return err
}

func isMissingBlob(err error) bool {
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return false
	}
	for _, d := range answer.Errors {
		if d.Code == transport.ManifestBlobUnknownErrorCode || d.Code == transport.BlobUnknownErrorCode {
			return true
		}
	}
	return false
}

// putBlob brings a blob to the repository in the cheapest way: mounted from its neighbour, else not
// at all if it is there, else sent.
func (u *upload) putBlob(ctx context.Context, l image.Layer) error {
	d := l.Descriptor()
	var session *url.URL
	if from := u.mountFrom(l); from != "" {
		var err error
		if session, err = u.start(ctx, d.Digest, from); err != nil || session == nil {
			return err
		}
	}
	there, err := u.has(ctx, d)
	if err != nil {
		return err
	}
	if there {
		u.cancel(ctx, session)
		return nil
	}
	return u.sendBlob(ctx, l, session)
}

// has asks whether a blob is there. A registry that forbids the question is taken to have not.
func (u *upload) has(ctx context.Context, d ocispec.Descriptor) (bool, error) {
	_, err := u.send(ctx, http.MethodHead, u.url(u.repo, "blobs", d.Digest.String()), nil, "", http.StatusOK)
	var answer *transport.Error
	if errors.As(err, &answer) && (answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusForbidden) {
		return false, nil
	}
	return err == nil, err
}

// start begins an upload. With from, it asks for a mount and gives no session where that was done
// (OCI distribution specification, "Mounting a blob from another repository").
func (u *upload) start(ctx context.Context, d digest.Digest, from string) (*url.URL, error) {
	to := u.url(u.repo, "blobs", "uploads", "")
	wanted := []int{http.StatusAccepted}
	if from != "" {
		to.RawQuery = url.Values{"mount": {d.String()}, "from": {from}}.Encode()
		wanted = append(wanted, http.StatusCreated)
	}
	response, err := u.send(ctx, http.MethodPost, to, nil, "", wanted...)
	if err != nil {
		if from != "" && errors.Is(err, ErrUnauthorized) {
			return u.start(ctx, d, "") // no right to read there: copy
		}
		return nil, err
	}
	if response.StatusCode == http.StatusCreated {
		return nil, nil
	}
	return u.location(response)
}

// location gives where an upload goes on. A registry behind a proxy may name itself by the wrong
// scheme.
func (u *upload) location(response *http.Response) (*url.URL, error) {
	where, err := response.Location()
	if err != nil {
		return nil, fail(ErrUnreachable, "starting an upload: %w", err)
	}
	if self := u.url(u.repo); where.Host == self.Host {
		where.Scheme = self.Scheme
	}
	return where, nil
}

// cancel ends an upload that is not needed. Registries also end those that are forgotten.
func (u *upload) cancel(ctx context.Context, session *url.URL) {
	if session != nil {
		u.send(ctx, http.MethodDelete, session, nil, "", http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	}
}

// sendBlob uploads in one PUT, from the start again where the connection breaks: an upload cannot be
// resumed on every registry.
func (u *upload) sendBlob(ctx context.Context, l image.Layer, session *url.URL) error {
	for attempt := 0; ; attempt++ {
		err := u.sendOnce(ctx, l, session)
		pause, patient := u.store.backoff.waitAfter(err, attempt)
		if err == nil || attempt+1 >= u.store.backoff.attempts || !worthAgain(err) || !patient {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		session = nil
	}
}

// worthAgain says whether an upload may succeed on another try: the registry or the connection had a
// problem, or the session was lost (404) with a registry that restarted.
func worthAgain(err error) bool {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return errors.Is(err, ErrUnreachable) || answer.StatusCode == http.StatusNotFound ||
			answer.StatusCode == http.StatusRequestedRangeNotSatisfiable
	}
	return isBroken(err)
}

func (u *upload) sendOnce(ctx context.Context, l image.Layer, session *url.URL) error {
	d := l.Descriptor()
	if session == nil {
		var err error
		if session, err = u.start(ctx, d.Digest, ""); err != nil {
			return err
		}
	}
	reading, cancel := context.WithCancel(ctx)
	in, err := l.Open(reading)
	if err != nil {
		cancel()
		return err
	}
	body := &sentBody{in: in}
	defer body.Close()
	defer cancel() // first: Close waits for a Read that is under way
	to := *session
	query := to.Query()
	query.Set("digest", d.Digest.String())
	to.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, to.String(), body)
	if err != nil {
		return err
	}
	request.ContentLength = d.Size
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := u.do(request, http.StatusCreated, http.StatusNoContent, http.StatusAccepted)
	if cause := body.failure.Load(); cause != nil {
		return *cause // the registry's answer to half a body is only its consequence
	}
	if err != nil {
		return err
	}
	drain(response.Body)
	return nil
}

// sentBody is the body of an upload. It keeps what went wrong while the transport read it, and may
// be closed while the transport, which can answer early, still reads.
type sentBody struct {
	mu      sync.Mutex
	in      io.ReadCloser
	closed  bool
	failure atomic.Pointer[error]
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, io.ErrUnexpectedEOF // a second sending of a body that is used up: try anew
	}
	n, err := b.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failure.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (b *sentBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	return b.in.Close()
}
