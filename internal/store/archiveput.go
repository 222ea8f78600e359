package store

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"unroot/internal/image"
)

// writeFile writes an archive beside its place and renames it there at the end. Into what is not a
// regular file, such as a pipe, it writes directly.
func writeFile(path string, write func(io.Writer) error) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return hinted(fail(ErrNotFound, "an archive is a file, this is a folder"), "write oci:%s", path)
	case err == nil && !info.Mode().IsRegular():
		return writeThrough(path, write)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	path = cleanPath(path) // through a link: what it leads to is replaced, not the link
	sweep(filepath.Dir(path))
	t, err := createTemp(filepath.Dir(path), 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return hinted(fail(ErrNotFound, "%w", err), "make the folder %s first", filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	defer t.abort()
	out := bufio.NewWriterSize(t.File, 1<<18)
	if err := write(out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if err := t.commit(path, true); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func writeThrough(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// tarFile begins a member whose header holds nothing but its name, size and mode: the same image
// gives the same archive.
func tarFile(w *tar.Writer, name string, size int64) error {
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444})
}

func tarBytes(w *tar.Writer, name string, data []byte) error {
	if err := tarFile(w, name, int64(len(data))); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

func tarBlob(ctx context.Context, w *tar.Writer, name string, l image.Layer) error {
	in, err := l.Open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := tarFile(w, name, l.Descriptor().Size); err != nil {
		return err
	}
	_, err = io.Copy(w, &contextReader{ctx, in})
	return err
}

// putOCIArchive writes a tar of an OCI layout with this one image.
func (s *Store) putOCIArchive(ctx context.Context, ref Ref, source image.Source) (string, error) {
	b, err := s.bundle(ctx, source, ocispec.MediaTypeImageManifest)
	defer b.close()
	if err != nil {
		return "", err
	}
	root := b.root()
	err = writeFile(ref.Path, func(out io.Writer) error {
		w := tar.NewWriter(out)
		for _, dir := range []string{"blobs/", "blobs/sha256/"} { // skopeo unpacks as an ordinary user only with these
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}); err != nil {
				return err
			}
		}
		if err := tarBytes(w, ocispec.ImageLayoutFile, layoutFile); err != nil {
			return err
		}
		if err := tarBytes(w, ocispec.ImageIndexFile, (&layoutIndex{}).with(root, ref.Name)); err != nil {
			return err
		}
		for _, m := range b.manifests {
			b.blobs = append(b.blobs, m)
		}
		for _, l := range b.blobs {
			if err := tarBlob(ctx, w, blobPath(l.Descriptor().Digest), l); err != nil {
				return fmt.Errorf("writing blob %s: %w", l.Descriptor().Digest, err)
			}
		}
		return w.Close()
	})
	return root.Digest.String(), err
}

// onePlatform gives the image of a source for a place that holds only one.
func onePlatform(source image.Source) (*image.Image, error) {
	if source.Image == nil {
		return nil, hinted(fail(ErrNeedsPlatform, "the source is an index of many platforms, the destination holds one image"),
			"choose one with --platform, or write to docker://, oci: or oci-archive:")
	}
	return source.Image, nil
}

// putDockerArchive gives the image id, the digest of the config: an archive has no manifest digest.
func (s *Store) putDockerArchive(ctx context.Context, ref Ref, source image.Source) (string, error) {
	img, err := onePlatform(source)
	if err != nil {
		return "", err
	}
	err = writeFile(ref.Path, func(out io.Writer) error { return s.writeDockerArchive(ctx, out, img, ref.Name) })
	return digest.FromBytes(img.Config).String(), err
}

// writeDockerArchive writes what `docker load` reads: config, layers, manifest.json. Plain and gzip
// layers go as they are; zstd is unpacked, since Docker before 23 does not read it.
func (s *Store) writeDockerArchive(ctx context.Context, out io.Writer, img *image.Image, tag string) error {
	w := tar.NewWriter(out)
	entry := dockerEntry{Config: digest.FromBytes(img.Config).Encoded() + ".json", Layers: []string{}}
	if tag != "" {
		entry.RepoTags = []string{tag}
	}
	if err := tarBytes(w, entry.Config, img.Config); err != nil {
		return err
	}
	names := map[digest.Digest]string{}
	for _, l := range img.Layers {
		d := l.Descriptor().Digest
		if names[d] == "" { // a layer that is there twice is written once
			name, err := s.addDockerLayer(ctx, w, l)
			if err != nil {
				return fmt.Errorf("writing layer %s: %w", d, err)
			}
			names[d] = name
		}
		entry.Layers = append(entry.Layers, names[d])
	}
	if err := tarBytes(w, dockerManifestFile, mustJSON([]dockerEntry{entry})); err != nil {
		return err
	}
	return w.Close()
}

func (s *Store) addDockerLayer(ctx context.Context, w *tar.Writer, l image.Layer) (string, error) {
	name := l.Descriptor().Digest.Encoded() + ".tar"
	packed, err := layerPacking(ctx, l)
	switch {
	case err != nil:
		return "", err
	case packed == gzipped:
		name += ".gz"
	case packed == zstandard:
		unpacked, file, err := s.unpack(ctx, l)
		if err != nil {
			return "", err
		}
		defer file.Close()
		l = unpacked
	}
	return name, tarBlob(ctx, w, name, l)
}

func layerPacking(ctx context.Context, l image.Layer) (packing, error) {
	in, err := l.Open(ctx)
	if err != nil {
		return plain, err
	}
	defer in.Close()
	var head [magicLength]byte
	n, err := io.ReadFull(in, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return plain, err
	}
	return sniff(head[:n]), nil
}

// unpack writes the plain bytes of a compressed layer to a temporary file.
func (s *Store) unpack(ctx context.Context, l image.Layer) (*blob, io.Closer, error) {
	in, err := l.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	unpacked, err := decompress(&contextReader{ctx, in})
	if err != nil {
		return nil, nil, err
	}
	defer unpacked.Close()
	return s.spoolBlob(image.DockerLayer, func(out io.Writer) error {
		n, err := io.Copy(out, io.LimitReader(unpacked, s.spoolLimit()+1))
		if err == nil && n > s.spoolLimit() {
			err = fail(ErrLimit, "more than %d bytes", s.spoolLimit())
		}
		return err
	})
}
