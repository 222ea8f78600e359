package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/moby/moby/client"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/sandbox"
	"unroot/internal/store"
	"unroot/internal/verify"
)

// The runners that --runner takes.
const (
	runnerEmbedded = "embedded"
	runnerDocker   = "docker"
)

// runnerAsk is what is asked of whoever opens a runner.
type runnerAsk struct {
	name string           // of the runner
	ids  []uint32         // uids and gids that runs will use and that are larger than 65535
	note func(string)     // is told what a user may want to know
	who  account.Identity // of the image
}

// runnerMaker opens a runner.
type runnerMaker func(ctx context.Context, ask runnerAsk) (verify.Runner, error)

// newRunner opens a runner. verify.ErrUnavailable is in the error where it cannot work here, and
// store.ErrUnreachable where an engine does not answer.
func (w *world) newRunner(ctx context.Context, ask runnerAsk) (verify.Runner, error) {
	switch {
	case w.runner != nil:
		return w.runner(ctx, ask)
	case ask.name == runnerDocker:
		return newEngineRunner(ctx, w)
	}
	return sandbox.New(sandbox.Options{IDs: large(append(ask.ids, ask.who.UID, ask.who.GID)), Log: ask.note})
}

// large is the ids that are not in every range of subordinate ids, each once.
func large(ids []uint32) []uint32 {
	seen := map[uint32]bool{}
	var out []uint32
	for _, id := range ids {
		if id > 65535 && !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// engineRunner is the runner on an engine, with what it is made of.
type engineRunner struct {
	*sandbox.Engine
	client *client.Client
	store  *store.Store
}

// Close ends the runner, then what it used.
func (e *engineRunner) Close() error {
	return errors.Join(e.Engine.Close(), e.store.Close(), e.client.Close())
}

// newEngineRunner finds the engine once, so that images are put into the one that runs them.
func newEngineRunner(ctx context.Context, w *world) (verify.Runner, error) {
	c, host, err := findEngine(ctx, w.env)
	if err != nil {
		return nil, err
	}
	env := func(name string) string {
		if name == "DOCKER_HOST" {
			return host
		}
		return w.env(name)
	}
	e := &engineRunner{client: c, store: store.New(store.Options{Env: env})}
	e.Engine, err = sandbox.NewEngine(sandbox.EngineOptions{Client: c, Env: env, Load: e.load})
	if err != nil {
		return nil, errors.Join(err, e.store.Close(), c.Close())
	}
	return e, nil
}

// load puts an image into the engine under a name of this process, and takes that name away again.
func (e *engineRunner) load(ctx context.Context, img *image.Image) (string, func(), error) {
	name := fmt.Sprintf("unroot-verify:%s-%d", img.Digest.Encoded()[:12], os.Getpid())
	if _, err := e.store.Put(ctx, store.Ref{Transport: store.Engine, Name: name}, image.Source{Image: img}); err != nil {
		return "", nil, err
	}
	return name, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		// Where it fails the image stays, under a name that says whose it was.
		_, _ = e.client.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
	}, nil
}

// engineHosts is where an engine may listen: what the environment says, else the usual sockets.
func engineHosts(env func(string) string) []string {
	for _, name := range []string{"DOCKER_HOST", "CONTAINER_HOST"} {
		if host := env(name); host != "" {
			return []string{host}
		}
	}
	if runtime.GOOS == "windows" {
		return []string{client.DefaultDockerHost}
	}
	paths := []string{"/var/run/docker.sock", "/run/podman/podman.sock"}
	if dir := env("XDG_RUNTIME_DIR"); dir != "" {
		paths = append(paths, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman", "podman.sock"))
	}
	var hosts []string
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			hosts = append(hosts, "unix://"+path)
		}
	}
	return hosts
}

// findEngine is the first engine that answers, of those that the environment names or that usually
// listen on this machine.
func findEngine(ctx context.Context, env func(string) string) (*client.Client, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var failure error
	for _, host := range engineHosts(env) {
		c, err := client.New(client.WithHost(host))
		if err != nil {
			return nil, "", fmt.Errorf("engine at %q: %w", host, err)
		}
		if _, err = c.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err == nil {
			return c, host, nil
		}
		c.Close()
		if failure == nil {
			failure = fmt.Errorf("engine at %q: %w: %w", host, store.ErrUnreachable, err)
		}
	}
	if failure == nil {
		failure = fmt.Errorf("no engine listens on this machine: %w", store.ErrUnreachable)
	}
	return nil, "", &store.HintError{Err: failure, Hint: "start Docker or Podman, or set DOCKER_HOST to its socket; --runner embedded needs no engine"}
}
