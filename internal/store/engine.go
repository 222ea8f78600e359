package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/opencontainers/go-digest"

	"unroot/internal/image"
)

// engineHosts lists where an engine may listen: what the user says, else the sockets of Docker and
// Podman, for the whole machine and for one user.
func engineHosts(env func(string) string) (hosts []string, told bool) {
	for _, name := range []string{"DOCKER_HOST", "CONTAINER_HOST"} {
		if host := env(name); host != "" {
			return []string{host}, true
		}
	}
	if runtime.GOOS == "windows" {
		return []string{client.DefaultDockerHost, "npipe:////./pipe/podman-machine-default"}, false
	}
	paths := []string{"/var/run/docker.sock"}
	if dir := env("XDG_RUNTIME_DIR"); dir != "" {
		paths = append(paths, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman", "podman.sock"))
	}
	if home := env("HOME"); home != "" {
		paths = append(paths, filepath.Join(home, ".docker", "run", "docker.sock"))
	}
	for _, path := range append(paths, "/run/podman/podman.sock") {
		hosts = append(hosts, "unix://"+path)
	}
	return hosts, false
}

const engineHint = "start Docker or Podman (systemctl start podman.socket), or set DOCKER_HOST to its socket"

// engine connects to the first engine that answers. The caller closes it.
func (s *Store) engine(ctx context.Context) (*client.Client, error) {
	hosts, told := engineHosts(s.options.Env)
	var failures []error
	for _, host := range hosts {
		if path, ok := strings.CutPrefix(host, "unix://"); ok && !told && !exists(path) {
			continue
		}
		c, err := s.dialEngine(ctx, host)
		if err == nil {
			return c, nil
		}
		failures = append(failures, err)
	}
	if len(failures) == 0 {
		return nil, hinted(fail(ErrUnreachable, "no engine listens on this machine"), engineHint)
	}
	return nil, failures[0]
}

func (s *Store) dialEngine(ctx context.Context, host string) (*client.Client, error) {
	if strings.HasPrefix(host, "ssh://") {
		return nil, hinted(fail(ErrUnsupported, "engine at %q: ssh is not spoken", host),
			"forward the socket with ssh -L and set DOCKER_HOST to it")
	}
	options := []client.Opt{client.WithHost(host)}
	if dir := s.options.Env("DOCKER_CERT_PATH"); dir != "" && s.options.Env("DOCKER_TLS_VERIFY") != "" {
		options = append([]client.Opt{client.WithTLSClientConfig(filepath.Join(dir, "ca.pem"),
			filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))}, options...)
	}
	c, err := client.New(options...)
	if err != nil {
		return nil, hinted(fmt.Errorf("engine at %q: %w", host, err), engineHint)
	}
	if _, err := c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		c.Close()
		hint := engineHint
		if errors.Is(err, os.ErrPermission) {
			hint = "this user may not use the engine's socket: run as a member of its group, or use docker-archive: with `docker save`"
		}
		return nil, hinted(fail(ErrUnreachable, "engine at %q: %w", host, err), "%s", hint)
	}
	return c, nil
}

// engineError gives an error of an engine its kind.
func engineError(err error) error {
	var network net.Error
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errdefs.IsNotFound(err):
		return hinted(&kindError{ErrNotFound, err}, "pull it first, or write docker:// to read it from its registry")
	case client.IsErrConnectionFailed(err) || errors.As(err, &network):
		return hinted(&kindError{ErrUnreachable, err}, engineHint)
	}
	return err
}

// openEngine saves an image out of an engine into a temporary file and reads it there.
func (s *Store) openEngine(ctx context.Context, ref Ref) (image.Source, error) {
	c, err := s.engine(ctx)
	if err != nil {
		return image.Source{}, err
	}
	defer c.Close()
	saved, err := c.ImageSave(ctx, []string{ref.Name})
	if err != nil {
		if _, missing := c.ImageInspect(ctx, ref.Name); errdefs.IsNotFound(missing) {
			err = missing // Podman's save calls it an error of the server
		}
		return image.Source{}, engineError(err)
	}
	defer saved.Close()
	a, err := s.spoolArchive(ctx, saved)
	if err != nil {
		return image.Source{}, engineError(err)
	}
	// The engine was asked for one image, which it may know by a longer name than the user does.
	return s.dockerSource(ctx, a, "")
}

// putEngine loads an image into an engine and gives the id that it has there.
func (s *Store) putEngine(ctx context.Context, ref Ref, source image.Source) (string, error) {
	img, err := onePlatform(source)
	if err != nil {
		return "", err
	}
	id := digest.FromBytes(img.Config).String()
	if imageID.MatchString(ref.Name) {
		return "", hinted(fail(ErrNotFound, "an image id cannot be a destination"), "write docker-daemon:NAME:TAG")
	}
	c, err := s.engine(ctx)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := s.load(ctx, c, img, ref.Name); err != nil {
		return "", err
	}
	inspected, err := c.ImageInspect(ctx, ref.Name)
	if err != nil {
		return "", engineError(err)
	}
	if inspected.ID != "" { // an engine on containerd's store has the manifest's digest as id
		id = withAlgorithm(inspected.ID)
	}
	return id, nil
}

// withAlgorithm completes the ids of Podman, which are bare.
func withAlgorithm(id string) string {
	if strings.Contains(id, ":") {
		return id
	}
	return "sha256:" + id
}

func (s *Store) load(ctx context.Context, c *client.Client, img *image.Image, tag string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in, out := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := s.writeDockerArchive(ctx, out, img, tag)
		if err != nil {
			// A clean end of half an archive could be loaded: the request itself must break.
			cancel(err)
		}
		out.CloseWithError(err)
		written <- err
	}()
	answer, err := c.ImageLoad(ctx, in, client.ImageLoadWithQuiet(true))
	if err == nil {
		err = loadResult(answer)
		answer.Close()
	}
	in.Close()
	if failed := <-written; failed != nil && !errors.Is(failed, io.ErrClosedPipe) {
		return failed
	}
	return engineError(err)
}

// loadResult reads the engine's progress messages to their end: what went wrong stands only there.
func loadResult(r io.Reader) error {
	decoder := json.NewDecoder(io.LimitReader(r, maxManifest))
	for {
		var message struct {
			Error string `json:"error"`
		}
		if err := decoder.Decode(&message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the engine's answer: %w", err)
		}
		if message.Error != "" {
			return fmt.Errorf("the engine refuses the image: %s", message.Error)
		}
	}
}
