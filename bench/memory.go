package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/klauspost/compress/gzip"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The large image: 200,000 files in 5 GB of layers.
const (
	largeLayers   = 5
	filesPerLayer = 40_000
	bytesPerFile  = 25 * 1000
)

// peak is what the conversion of the large image took.
type peak struct {
	kibibytes int64
	took      time.Duration
}

// peakMemory pushes the large image and converts it without a cache.
func (l *lab) peakMemory(ctx context.Context) (p peak, err error) {
	ref := l.registry.Host + "/large:root"
	fmt.Fprintln(os.Stderr, "pushing an image of 200,000 files in 5 GB of layers")
	if err := pushLarge(ref); err != nil {
		return p, fmt.Errorf("pushing the large image: %w", err)
	}
	cmd := exec.CommandContext(ctx, l.binary, "convert", ref, l.registry.Host+"/large-out:regular")
	cmd.Env = append(l.environ(), "XDG_CACHE_HOME="+filepath.Join(l.dir, "large-cache"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return p, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			p.took = time.Since(start)
			if err != nil {
				err = fmt.Errorf("converting the large image: %w\n%s", err, &out)
			}
			return p, err
		case <-time.After(5 * time.Millisecond):
			p.kibibytes = max(p.kibibytes, highWater(cmd.Process.Pid))
		}
	}
}

// highWater is the most memory that the process had resident so far, in KiB. The figure that wait4
// gives is not used: it begins with what this program has (signal->maxrss outlives exec).
func highWater(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0 // ended
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n
		}
	}
	return 0
}

// pushLarge streams the layers into the registry: nothing of them is kept here.
func pushLarge(ref string) error {
	r, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return err
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64",
		Config: v1.Config{Cmd: []string{"/srv/0/0/0"}, WorkingDir: "/srv", Volumes: map[string]struct{}{"/srv/1": {}}},
	})
	if err != nil {
		return err
	}
	var layers []v1.Layer
	for i := range largeLayers {
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(writeLayer(writer, i)) }()
		layers = append(layers, stream.NewLayer(reader, stream.WithCompressionLevel(gzip.BestSpeed)))
	}
	if image, err = mutate.AppendLayers(image, layers...); err != nil {
		return err
	}
	return remote.Write(r, image, remote.WithJobs(2))
}

// writeLayer writes one layer's tar: the same bytes every time, which halve when compressed, as
// programs and texts do.
func writeLayer(w io.Writer, layer int) error {
	pool := contentPool(uint64(layer))
	t := tar.NewWriter(w)
	for i := range filesPerLayer {
		if i%400 == 0 {
			dir := &tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("srv/%d/%d/", layer, i/400), Mode: 0o755}
			if err := t.WriteHeader(dir); err != nil {
				return err
			}
		}
		file := &tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("srv/%d/%d/%d", layer, i/400, i%400), Mode: 0o755, Size: bytesPerFile}
		if err := t.WriteHeader(file); err != nil {
			return err
		}
		at := i * 997 % (len(pool) - bytesPerFile)
		if _, err := t.Write(pool[at : at+bytesPerFile]); err != nil {
			return err
		}
	}
	return t.Close()
}

// contentPool is a mebibyte of which every other 64 bytes are noise.
func contentPool(seed uint64) []byte {
	source := rand.New(rand.NewPCG(seed, 1))
	pool := make([]byte, 1<<20)
	for i := range pool {
		if i/64%2 == 0 {
			pool[i] = byte(source.Uint32())
		}
	}
	return pool
}
