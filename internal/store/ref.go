package store

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/name"
)

// Transport says where an image lives. The spellings are those of skopeo (containers-transports(5)).
type Transport string

// The transports that Parse knows.
const (
	Registry      Transport = "docker"
	OCILayout     Transport = "oci"
	OCIArchive    Transport = "oci-archive"
	DockerArchive Transport = "docker-archive"
	Engine        Transport = "docker-daemon"
	Stdin         Transport = "-"
)

// Ref names an image, or the place for one. The zero value names nothing; Parse makes one.
type Ref struct {
	Transport Transport
	// Path is the folder of an OCI layout or the file of an archive, as written; else empty.
	Path string
	// Name is, of a registry, the reference with its registry (docker.io/library/nginx:1.29); of
	// an OCI layout or archive, the tag; of a docker-archive and an engine, name:tag, or an image
	// id (sha256:…) of an engine. Empty where none was given.
	Name string
}

const transportsHint = "write docker://NAME, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG], docker-daemon:NAME or -"

var (
	// foreignTransport finds the transports of skopeo that unroot has not, and web addresses.
	foreignTransport = regexp.MustCompile(`^(containers-storage|dir|ostree|sif|tarball|docker-tarball|https?):`)
	// looksLikeFile finds what people write when they forget the transport of a file.
	looksLikeFile = regexp.MustCompile(`^(\.{0,2}/|~/)|\.(tar|tgz|tar\.gz|tar\.zst)$`)
	// drive is a Windows drive letter with its path, whose colon parts nothing.
	drive = regexp.MustCompile(`^[A-Za-z]:[\\/]`)
	// layoutTag is the grammar of org.opencontainers.image.ref.name (OCI image specification,
	// annotations.md).
	layoutTag = regexp.MustCompile(`^[A-Za-z0-9]+([-._:@/+]+[A-Za-z0-9]+)*$`)
	imageID   = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
)

// Parse reads a reference. What has no transport is an image in a registry. Every error has a hint.
func Parse(s string) (Ref, error) {
	if s == "" {
		return Ref{}, hinted(fail(ErrNotFound, "empty image reference"), transportsHint)
	}
	if s == "-" {
		return Ref{Transport: Stdin}, nil
	}
	transport, rest, found := strings.Cut(s, ":")
	if found {
		switch t := Transport(transport); t {
		case Registry:
			if name, ok := strings.CutPrefix(rest, "//"); ok {
				return parseRegistry(s, name)
			}
		case OCILayout, OCIArchive:
			return parseLayout(s, t, rest)
		case DockerArchive:
			return parseDockerArchive(s, rest)
		case Engine:
			return parseEngine(s, rest)
		}
	}
	if foreignTransport.MatchString(s) {
		return Ref{}, badRef(s, "transport %q is not known", transport)
	}
	if looksLikeFile.MatchString(s) {
		return Ref{}, hinted(fail(ErrNotFound, "parsing reference %q: a file or folder needs a transport", s),
			"write docker-archive:%s, oci-archive:%s or, for a folder, oci:%s; docker://%s for an image of that name", s, s, s, s)
	}
	return parseRegistry(s, s)
}

func badRef(s, format string, args ...any) error {
	args = append([]any{s}, args...)
	return hinted(fail(ErrNotFound, "parsing reference %q: "+format, args...), transportsHint)
}

func parseRegistry(s, rest string) (Ref, error) {
	named, err := reference.ParseNormalizedNamed(rest)
	if err != nil {
		return Ref{}, badRef(s, "%w", err)
	}
	// A digest is the stronger name: a tag beside it says nothing more (as docker and crane do).
	if digested, ok := named.(reference.Digested); ok {
		return Ref{Transport: Registry, Name: reference.TrimNamed(named).Name() + "@" + digested.Digest().String()}, nil
	}
	return Ref{Transport: Registry, Name: reference.TagNameOnly(named).String()}, nil
}

// splitPath parts PATH[:REST] at the first colon that is not one of a Windows drive.
func splitPath(s string) (path, rest string) {
	skip := 0
	if drive.MatchString(s) {
		skip = 2
	}
	if i := strings.IndexByte(s[skip:], ':'); i >= 0 {
		return s[:skip+i], s[skip+i+1:]
	}
	return s, ""
}

func parseLayout(s string, t Transport, rest string) (Ref, error) {
	path, tag := splitPath(rest)
	if path == "" {
		return Ref{}, badRef(s, "no path")
	}
	if tag != "" && !layoutTag.MatchString(tag) {
		return Ref{}, badRef(s, "tag %q is not one (letters, digits and -._:@/+ between them)", tag)
	}
	return Ref{Transport: t, Path: path, Name: tag}, nil
}

func parseDockerArchive(s, rest string) (Ref, error) {
	path, named := splitPath(rest)
	if path == "" {
		return Ref{}, badRef(s, "no path")
	}
	if named == "" {
		return Ref{Transport: DockerArchive, Path: path}, nil
	}
	tag, err := familiarTag(named)
	if err != nil {
		return Ref{}, badRef(s, "%w", err)
	}
	return Ref{Transport: DockerArchive, Path: path, Name: tag}, nil
}

func parseEngine(s, rest string) (Ref, error) {
	if imageID.MatchString(rest) {
		return Ref{Transport: Engine, Name: rest}, nil
	}
	named, err := reference.ParseNormalizedNamed(rest)
	if err != nil {
		return Ref{}, badRef(s, "%w", err)
	}
	return Ref{Transport: Engine, Name: reference.FamiliarString(reference.TagNameOnly(named))}, nil
}

// familiarTag gives name:tag as Docker writes it into an archive: nginx:1.29, not
// docker.io/library/nginx:1.29.
func familiarTag(s string) (string, error) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return "", err
	}
	if _, ok := named.(reference.Digested); ok {
		return "", fail(ErrNotFound, "%q is a digest, an archive knows only name:tag", s)
	}
	return reference.FamiliarString(reference.TagNameOnly(named)), nil
}

// String is the canonical form: with transport, registry and tag. Parse reads it back.
func (r Ref) String() string {
	switch r.Transport {
	case Stdin:
		return string(Stdin)
	case Registry:
		return "docker://" + r.Name
	case Engine:
		return "docker-daemon:" + r.Name
	}
	s := string(r.Transport) + ":" + r.Path
	if r.Name != "" {
		s += ":" + r.Name
	}
	return s
}

// Same says whether writing to b would replace what a names: the same name in one registry or
// engine, the same archive, or the same tag of one OCI layout. Paths are compared as files, through
// links. A layout named without a tag is its only image.
func Same(a, b Ref) bool {
	if a.isArchive() && b.isArchive() {
		return sameFile(a.Path, b.Path) // a put replaces the whole archive
	}
	if a.Transport != b.Transport || a.Transport == Stdin {
		return false
	}
	if a.Transport != OCILayout {
		return a.Name == b.Name
	}
	return sameFile(a.Path, b.Path) && layoutName(a) == layoutName(b)
}

func (r Ref) isArchive() bool { return r.Transport == OCIArchive || r.Transport == DockerArchive }

// sameFile compares by what the paths lead to, and by their names where there is nothing yet.
func sameFile(a, b string) bool {
	if infoA, err := os.Stat(a); err == nil {
		if infoB, err := os.Stat(b); err == nil {
			return os.SameFile(infoA, infoB)
		}
		return false
	}
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}

// layoutName is the tag that a layout's reference leads to.
func layoutName(r Ref) string {
	if r.Name != "" {
		return r.Name
	}
	index, err := readLayoutIndex(r.Path)
	if err != nil {
		return ""
	}
	if entry, err := index.find(""); err == nil {
		return entry.Annotations[refName]
	}
	return ""
}

// registryName gives the reference in the form of the registry library. Plain HTTP is allowed on
// this machine's loopback, and elsewhere only where the caller asked for it.
func (r Ref) registryName(insecure bool) (name.Reference, error) {
	var options []name.Option
	named, err := reference.ParseNormalizedNamed(r.Name)
	if err != nil {
		return nil, badRef(r.String(), "%w", err)
	}
	if insecure || isLoopback(reference.Domain(named)) {
		options = append(options, name.Insecure)
	}
	ref, err := name.ParseReference(r.Name, options...)
	if err != nil {
		return nil, badRef(r.String(), "%w", err)
	}
	return ref, nil
}
