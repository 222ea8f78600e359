package store

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

const (
	maxArchiveMembers = 100_000
	maxLinks          = 16 // links that lead to links
)

// archive is a tar that is read in place: where each of its members is, not what it holds.
type archive struct {
	file    io.ReaderAt
	members map[string]archiveMember
}

type archiveMember struct {
	offset, size int64
	link         string // the name that a link leads to, inside the archive
	twice        bool
}

// indexArchive walks the headers of a tar of size bytes.
func indexArchive(file io.ReaderAt, size int64) (*archive, error) {
	a := &archive{file: file, members: map[string]archiveMember{}}
	in := io.NewSectionReader(file, 0, size) // a Seeker, so that bodies are skipped, not read
	r := tar.NewReader(in)
	for n := 0; ; n++ {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, fail(ErrCorrupt, "reading archive: %w", err)
		}
		if n == maxArchiveMembers {
			return nil, fail(ErrLimit, "archive has more than %d members", maxArchiveMembers)
		}
		offset, err := in.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if err := a.add(header, offset, size); err != nil {
			return nil, err
		}
	}
}

func (a *archive) add(h *tar.Header, offset, total int64) error {
	name, err := memberName(h.Name)
	if err != nil {
		return err
	}
	m := archiveMember{offset: offset}
	switch h.Typeflag {
	case tar.TypeReg:
		if isSparse(h) {
			return fail(ErrUnsupported, "archive member %q is a sparse file", h.Name)
		}
		m.size = h.Size
		if offset+m.size > total || m.size < 0 {
			return fail(ErrCorrupt, "archive ends inside its member %q", h.Name)
		}
	case tar.TypeLink:
		m.link, err = memberName(h.Linkname)
	case tar.TypeSymlink:
		if path.IsAbs(h.Linkname) {
			return fail(ErrCorrupt, "archive member %q is a link out of the archive", h.Name)
		}
		m.link, err = memberName(path.Join(path.Dir(name), h.Linkname))
	default:
		return nil // folders, devices: no content
	}
	if err != nil {
		return err
	}
	_, m.twice = a.members[name]
	a.members[name] = m
	return nil
}

// isSparse finds files whose stored bytes are not their content (PAX GNU.sparse.*, old GNU sparse).
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// memberName cleans a name and refuses one that leaves the archive.
func memberName(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") {
		return "", fail(ErrCorrupt, "archive member %q leaves the archive", name)
	}
	return clean, nil
}

// find follows links to a regular file.
func (a *archive) find(name string) (archiveMember, error) {
	at, err := memberName(name)
	if err != nil {
		return archiveMember{}, err
	}
	for range maxLinks {
		m, ok := a.members[at]
		switch {
		case !ok:
			return m, fail(ErrNotFound, "archive has no member %q", at)
		case m.twice:
			return m, fail(ErrCorrupt, "archive has the member %q more than once", at)
		case m.link == "":
			return m, nil
		}
		at = m.link
	}
	return archiveMember{}, fail(ErrCorrupt, "archive member %q: links that lead nowhere", name)
}

// has says whether there is a member of that name, whatever it leads to.
func (a *archive) has(name string) bool {
	_, ok := a.members[name]
	return ok
}

// section reads one member; many can be read at once.
func (a *archive) section(m archiveMember) io.ReadCloser {
	return io.NopCloser(io.NewSectionReader(a.file, m.offset, m.size))
}

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	m, err := a.find(name)
	if err != nil {
		return nil, 0, err
	}
	return a.section(m), m.size, nil
}

func (a *archive) home() home { return home{} }

// openArchiveFile opens and indexes an archive; a compressed one is first unpacked to a temporary
// file. The store closes it.
func (s *Store) openArchiveFile(ctx context.Context, file string) (*archive, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hinted(fail(ErrNotFound, "%w", err), "check the path")
	}
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, hinted(fail(ErrNotFound, "an archive is a file, this is a folder"), "write oci:%s", file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe, such as /dev/stdin or <(command)
		defer f.Close()
		return s.spoolArchive(ctx, f)
	}
	packed, err := compression(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	if packed {
		defer f.Close()
		return s.spoolArchive(ctx, f)
	}
	s.keep(f)
	return indexArchive(f, info.Size())
}

// compression looks at the first bytes of a file and reads on from there.
func compression(f *os.File) (packed bool, err error) {
	var magic [magicLength]byte
	n, err := f.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return sniff(magic[:n]) != plain, nil
}

// spoolArchive copies a stream, uncompressed, to a temporary file and indexes that.
func (s *Store) spoolArchive(ctx context.Context, r io.Reader) (*archive, error) {
	unpacked, err := decompress(r)
	if err != nil {
		return nil, err
	}
	defer unpacked.Close()
	f, size, err := s.spool(ctx, unpacked)
	if err != nil {
		return nil, fmt.Errorf("reading archive: %w", err)
	}
	s.keep(f)
	return indexArchive(f, size)
}

func (s *Store) openOCIArchive(ctx context.Context, ref Ref) (image.Source, error) {
	a, err := s.openArchiveFile(ctx, ref.Path)
	if err != nil {
		return image.Source{}, err
	}
	if !a.has(ocispec.ImageLayoutFile) || !a.has(ocispec.ImageIndexFile) {
		err := fail(ErrNotFound, "no OCI layout in the archive")
		if a.has(dockerManifestFile) {
			return image.Source{}, hinted(err, "it is a docker-archive: write docker-archive:%s", ref.Path)
		}
		return image.Source{}, hinted(err, "an oci-archive is a tar of a folder with oci-layout, index.json and blobs")
	}
	if err := checkLayoutVersion(a); err != nil {
		return image.Source{}, err
	}
	return s.openLayoutIn(ctx, a, ref.Name)
}
