package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layoutShelf is an OCI layout with its index.json, which lists what is attached beside the images.
type layoutShelf struct {
	files folder
	ref   Ref
}

func (l layoutShelf) named(ctx context.Context) ([]byte, string, error) {
	if err := checkLayoutVersion(l.files); err != nil {
		return nil, "", err
	}
	index, err := openLayoutIndex(l.files)
	if err != nil {
		return nil, "", err
	}
	entry, err := index.find(l.ref.Name)
	if err != nil {
		return nil, "", err
	}
	raw, err := layoutContent{l.files}.manifest(ctx, entry.Descriptor)
	return raw, entry.MediaType, err
}

func (l layoutShelf) read(_ context.Context, d ocispec.Descriptor, limit int64) ([]byte, error) {
	return layoutContent{l.files}.read(d, limit)
}

func (l layoutShelf) listed(_ context.Context, _ ocispec.Descriptor, _ string) ([]ocispec.Descriptor, error) {
	index, err := openLayoutIndex(l.files)
	if err != nil {
		return nil, err
	}
	var list []ocispec.Descriptor
	for _, e := range index.entries {
		if e.isReferrer() || e.Annotations[refName] == "" && e.MediaType == ocispec.MediaTypeImageManifest {
			list = append(list, e.Descriptor)
		}
	}
	return list, nil
}

// put has everything on the disk before index.json, the only file that is replaced, leads to it.
func (l layoutShelf) put(ctx context.Context, _, d ocispec.Descriptor, manifest *blob, blobs []*blob) error {
	dir := l.ref.Path
	w := layoutWriter{dir: dir, home: l.files.home()}
	for _, b := range append(blobs, manifest) {
		if err := w.put(ctx, b); err != nil {
			return err
		}
	}
	if err := syncFolder(filepath.Join(dir, ocispec.ImageBlobsDir, "sha256")); err != nil {
		return err
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return err
	}
	defer unlock()
	raw, err := readSmall(l.files, ocispec.ImageIndexFile, maxManifest)
	if err != nil {
		return err
	}
	out, changed, err := withReferrer(raw, d)
	if err != nil || !changed {
		return err
	}
	if err := writeAtomic(filepath.Join(dir, ocispec.ImageIndexFile), out); err != nil {
		return fmt.Errorf("writing %s: %w", ocispec.ImageIndexFile, err)
	}
	return syncFolder(dir)
}

// registryShelf is a repository of a registry. It lists what refers to a manifest itself, or, where it
// is older than that, a tag made of the manifest's digest leads to the list (OCI distribution
// specification 1.1, "Listing Referrers" and "Referrers Tag Schema").
type registryShelf struct {
	*upload
	reference name.Reference
}

func (s *Store) registryShelf(ref Ref) (shelf, error) {
	named, err := ref.registryName(s.options.Insecure)
	if err != nil {
		return nil, err
	}
	return registryShelf{&upload{repository: s.forReading(named)}, named}, nil
}

func (r registryShelf) named(ctx context.Context) ([]byte, string, error) {
	return r.root(ctx, r.reference)
}

func (r registryShelf) read(ctx context.Context, d ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := checkSize(d, limit); err != nil {
		return nil, err
	}
	if limit == maxManifest {
		return r.manifest(ctx, d)
	}
	in, err := r.blob(ctx, d)
	if err != nil {
		return nil, err
	}
	return readVerified(in, d, limit)
}

// maxPages bounds how often a registry may say that its list goes on.
const maxPages = 16

func (r registryShelf) listed(ctx context.Context, subject ocispec.Descriptor, artifactType string) ([]ocispec.Descriptor, error) {
	if _, err := r.client(ctx, r.repo, r.scopes...); err != nil {
		return nil, classify(r.name.RegistryStr(), err)
	}
	page := r.url(r.repo, "referrers", subject.Digest.String())
	if artifactType != "" {
		page.RawQuery = url.Values{"artifactType": {artifactType}}.Encode()
	}
	var all []ocispec.Descriptor
	for range maxPages {
		list, next, err := r.page(ctx, page)
		if errors.Is(err, errNoReferrers) {
			return r.tagged(ctx, subject.Digest)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if next == nil || len(all) > maxReferrers {
			return all, nil
		}
		page = next
	}
	return nil, fail(ErrLimit, "the list of what refers to %s has more than %d pages", subject.Digest, maxPages)
}

// errNoReferrers is a registry that does not know the question.
var errNoReferrers = errors.New("the registry lists no referrers")

// page reads one page of the registry's own list. Registries that do not have it answer 404, and some
// with an error of the method or with a page for people.
func (r registryShelf) page(ctx context.Context, at *url.URL) ([]ocispec.Descriptor, *url.URL, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Accept", ocispec.MediaTypeImageIndex)
	response, err := r.do(request, http.StatusOK)
	if err != nil {
		var answer *transport.Error
		if errors.As(err, &answer) && (answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusMethodNotAllowed || answer.StatusCode == http.StatusBadRequest) {
			err = errNoReferrers
		}
		return nil, nil, err
	}
	defer response.Body.Close()
	if kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";"); kind != ocispec.MediaTypeImageIndex {
		return nil, nil, errNoReferrers
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxManifest+1))
	if err != nil {
		return nil, nil, classify(r.name.RegistryStr(), err)
	}
	if len(raw) > maxManifest {
		return nil, nil, fail(ErrLimit, "the list of referrers has more than %d bytes", maxManifest)
	}
	list, err := indexEntries(raw)
	return list, nextPage(response), err
}

func indexEntries(raw []byte) ([]ocispec.Descriptor, error) {
	index, err := parseLayoutIndex(raw)
	if err != nil {
		return nil, err
	}
	var list []ocispec.Descriptor
	for _, e := range index.entries {
		list = append(list, e.Descriptor)
	}
	return list, nil
}

// nextPage is the address of the Link header with rel="next" (RFC 8288), on the same host; nil for none.
func nextPage(response *http.Response) *url.URL {
	link := response.Header.Get("Link")
	target, rest, found := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !strings.HasPrefix(link, "<") || !found || !strings.Contains(rest, `rel="next"`) {
		return nil
	}
	next, err := response.Request.URL.Parse(target)
	if err != nil || next.Host != response.Request.URL.Host || next.Scheme != response.Request.URL.Scheme {
		return nil
	}
	return next
}

// referrersTag is the tag under which a registry without a list of its own has one.
func referrersTag(d digest.Digest) string { return d.Algorithm().String() + "-" + d.Encoded() }

// tagged reads the list that stands under a tag; nothing there is no error.
func (r registryShelf) tagged(ctx context.Context, subject digest.Digest) ([]ocispec.Descriptor, error) {
	raw, _, err := r.getManifest(ctx, referrersTag(subject))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return indexEntries(raw)
}

// put writes blobs, then the manifest by its digest; the image's own tag is never written.
func (r registryShelf) put(ctx context.Context, subject, d ocispec.Descriptor, manifest *blob, blobs []*blob) error {
	r.scopes = []string{r.repo.Scope(transport.PushScope)}
	if err := r.login(ctx); err != nil {
		return err
	}
	for _, b := range blobs {
		if err := r.putBlob(ctx, b); err != nil {
			return fmt.Errorf("writing blob %s: %w", b.descriptor.Digest, err)
		}
	}
	to := r.url(r.repo, "manifests", d.Digest.String())
	answer, err := r.send(ctx, http.MethodPut, to, manifest.data, manifest.descriptor.MediaType, http.StatusOK, http.StatusCreated, http.StatusAccepted)
	if err != nil {
		return fmt.Errorf("writing manifest %s: %w", d.Digest, err)
	}
	if answer.Header.Get("OCI-Subject") != "" {
		return nil // it is on the registry's list
	}
	if _, _, err := r.page(ctx, r.url(r.repo, "referrers", subject.Digest.String())); !errors.Is(err, errNoReferrers) {
		return err
	}
	return r.putTagged(ctx, subject.Digest, d)
}

// putTagged adds to the list under the tag. Of two who do so at the same time one may lose its entry:
// the specification has no remedy.
func (r registryShelf) putTagged(ctx context.Context, subject digest.Digest, d ocispec.Descriptor) error {
	raw, _, err := r.getManifest(ctx, referrersTag(subject))
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	out, changed, err := withReferrer(raw, d)
	if err != nil || !changed {
		return err
	}
	if err := r.putManifest(ctx, bytesBlob(ocispec.MediaTypeImageIndex, out), referrersTag(subject)); err != nil {
		return fmt.Errorf("writing the list of what refers to %s: %w", subject, err)
	}
	return nil
}
