package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"unroot/test/engine"
	"unroot/test/registry"
	"unroot/test/sample"
)

// The samples that are converted: the one of the race, and one that shares its base layer with it.
const (
	nginxImage  = "nginx"
	secondImage = "haproxy"
)

// lab is all that the tools need, on loopback and in a folder of its own.
type lab struct {
	dir       string
	engine    *engine.Engine
	registry  *registry.Registry
	binary    string   // of unroot
	self      string   // this program
	peers     string   // folder of the peers' programs
	blobs     []string // files with the stored layers of the race's image
	warmCache string   // unroot's cache after one conversion of the race's image
	closers   []func() error
}

// openLab sets all of it up. What was set up is taken down again where a later step fails.
func openLab(ctx context.Context) (_ *lab, err error) {
	l := &lab{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if l.dir, err = os.MkdirTemp("", "unroot-bench-"); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, func() error { return os.RemoveAll(l.dir) })
	if l.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if l.engine, err = engine.Start(ctx); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, l.engine.Close)
	if l.registry, err = registry.Start(ctx); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, l.registry.Close)
	for _, step := range []func(context.Context) error{l.buildBinary, l.installPeers, l.pushImages, l.fetchLayers, l.warmUp} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *lab) close() (err error) {
	for i := len(l.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, l.closers[i]())
	}
	return err
}

func (l *lab) buildBinary(ctx context.Context) error {
	l.binary = filepath.Join(l.dir, "unroot")
	return l.command(ctx, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", l.binary, "./cmd/unroot")
}

//go:embed peers.txt
var peerList string

// installPeers builds the peers that Debian does not package, once for each list of versions.
func (l *lab) installPeers(ctx context.Context) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("installing peers: %w", err)
	}
	l.peers = filepath.Join(cache, "unroot-oracles", fmt.Sprintf("peers-%.8x", sha256.Sum256([]byte(peerList))))
	for line := range strings.Lines(peerList) {
		fields := strings.Fields(line)
		if len(fields) != 3 || strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := os.Stat(l.peer(fields[0])); err == nil {
			continue
		}
		environ := []string{"GOBIN=" + l.peers, "GOFLAGS="}
		if err := l.command(ctx, environ, "go", "install", fields[1]+"@"+fields[2]); err != nil {
			return fmt.Errorf("installing peers: %w", err)
		}
	}
	return nil
}

func (l *lab) peer(name string) string { return filepath.Join(l.peers, name) }

// image is the reference of a sample in the registry.
func (l *lab) image(sample string) string { return l.registry.Host + "/" + sample + ":root" }

func (l *lab) pushImages(ctx context.Context) error {
	builder := sample.NewBuilder(l.engine, sampleRoot)
	for _, s := range []string{nginxImage, secondImage} {
		tag, err := builder.Build(ctx, s)
		if err != nil {
			return err
		}
		for _, args := range [][]string{{"tag", tag, l.image(s)}, {"push", "--quiet", l.image(s)}} {
			if _, err := l.engine.Docker(ctx, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *lab) fetchLayers(context.Context) (err error) {
	l.blobs, err = l.layerFiles(nginxImage)
	return err
}

// layerFiles puts the stored layers of a sample into files.
func (l *lab) layerFiles(sample string) (files []string, err error) {
	image, err := l.remoteImage(l.image(sample))
	if err != nil {
		return nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	for i, layer := range layers {
		path := filepath.Join(l.dir, fmt.Sprintf("%s-layer-%d", sample, i))
		if err := saveLayer(layer, path); err != nil {
			return nil, fmt.Errorf("fetching layer %d of %s: %w", i, sample, err)
		}
		files = append(files, path)
	}
	return files, nil
}

func saveLayer(layer v1.Layer, path string) error {
	blob, err := layer.Compressed()
	if err != nil {
		return err
	}
	defer blob.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	_, err = io.Copy(w, blob)
	return errors.Join(err, w.Flush(), f.Close())
}

func (l *lab) remoteImage(ref string) (v1.Image, error) {
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return nil, err
	}
	return remote.Image(r)
}

// warmUp fills the cache that the warm runs read.
func (l *lab) warmUp(ctx context.Context) error {
	l.warmCache = filepath.Join(l.dir, "warm")
	return l.unroot(ctx, l.warmCache, l.registry.Host+"/warm-up:regular")
}

// command runs a program in the engine's environment; the error has what it wrote.
func (l *lab) command(ctx context.Context, environ []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(l.environ(), environ...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, &out)
	}
	return nil
}

func (l *lab) environ() []string {
	if l.engine == nil {
		return os.Environ()
	}
	return l.engine.Environ()
}

// script runs shell commands that know DIR, SRC, DST, REGULAR and the function change, which does
// the recipe's changes in a tree.
func (l *lab) script(ctx context.Context, dir, dst, text string) error {
	environ := []string{"DIR=" + dir, "SRC=" + l.image(nginxImage), "DST=" + dst, "REGULAR=" + regularUser}
	return l.command(ctx, environ, "bash", "-euo", "pipefail", "-c", "change() {\n"+recipe+"\n}\n"+text)
}

// oneLine is the recipe for RUN, where the tree's root is /.
func oneLine(script string) string {
	return strings.ReplaceAll(strings.ReplaceAll(script, "\n", " && "), "$1", "")
}

// versions lists what the peers call themselves.
func (l *lab) versions(ctx context.Context) (lines []string) {
	for _, v := range [][]string{
		{"docker", "version", "--format", "Docker Engine {{.Server.Version}}, client {{.Client.Version}}"},
		{"buildah", "--version"}, {"skopeo", "--version"}, {"umoci", "--version"},
		{l.peer("crane"), "version"}, {l.peer("regctl"), "version", "--format", "{{.VCSTag}}"}, {"go", "version"},
	} {
		cmd := exec.CommandContext(ctx, v[0], v[1:]...)
		cmd.Env = l.environ()
		out, err := cmd.Output()
		line := strings.TrimSpace(string(out))
		if err != nil {
			line = "unknown"
		}
		if base := filepath.Base(v[0]); !strings.HasPrefix(strings.ToLower(line), base) {
			line = base + " " + line
		}
		lines = append(lines, line)
	}
	return lines
}
