package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"unroot/internal/image"
	"unroot/internal/verify"
)

// EngineOptions is what the engine runner can be told.
type EngineOptions struct {
	Client *client.Client // of the engine, and the caller's to close; nil: Host
	Host   string         // such as "unix:///run/podman/podman.sock"; "": what Env says, else the usual sockets
	Env    func(string) string

	// Load puts an image into the engine and gives the reference under which it is there, and what
	// takes it out again. It is called once for each image.
	Load func(ctx context.Context, img *image.Image) (ref string, release func(), err error)

	// Binary is a static unroot program for the engine's platform, as a path on the engine's machine.
	// It is mounted into every container, read-only. "": the running program.
	Binary string
}

// Engine runs images on a Docker Engine or Podman socket: each run is a container without network,
// whose first process is unroot itself. It implements verify.Runner.
//
// What a run leaves behind when this process is killed: the container ends and is removed by the
// engine, since the agent in it notices the end of the connection. Volumes stay until the next
// NewEngine on the same machine, which removes those whose maker is gone.
type Engine struct {
	client  *client.Client
	own     bool // client is closed with the engine
	name    string
	podman  bool
	arch    string
	binary  string
	options EngineOptions
	owner   string // label of what it makes

	mu      sync.Mutex
	loaded  map[*image.Image]loadedImage
	volumes map[string]*engineVolume
	closed  bool
}

type loadedImage struct {
	ref     string
	release func()
}

// engineCleanUp is how long removing things may take after a run that was cancelled.
const engineCleanUp = 30 * time.Second

// NewEngine connects to an engine, and removes what runners that are gone have left in it.
// verify.ErrUnavailable is in the error where there is none, or no program that can be an agent.
func NewEngine(o EngineOptions) (*Engine, error) {
	if o.Load == nil {
		return nil, errors.New("[internal error] an engine runner that cannot load images")
	}
	e := &Engine{options: o, loaded: map[*image.Image]loadedImage{}, volumes: map[string]*engineVolume{}, owner: ownerName()}
	ctx, cancel := context.WithTimeout(context.Background(), engineCleanUp)
	defer cancel()
	if err := e.connect(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", verify.ErrUnavailable, err)
	}
	var err error
	if e.binary, err = agentBinary(o.Binary, e.arch); err != nil {
		e.closeClient()
		return nil, fmt.Errorf("%w: %w", verify.ErrUnavailable, err)
	}
	e.removeLeftovers(ctx)
	return e, nil
}

// connect finds the engine and asks who it is.
func (e *Engine) connect(ctx context.Context) error {
	if e.options.Client != nil {
		e.client = e.options.Client
		return e.introduce(ctx)
	}
	e.own = true
	var failures []error
	for _, host := range engineHosts(e.options.Host, e.options.Env) {
		c, err := client.New(client.WithHost(host))
		if err == nil {
			e.client = c
			if err = e.introduce(ctx); err == nil {
				return nil
			}
			c.Close()
		}
		failures = append(failures, fmt.Errorf("engine at %q: %w", host, err))
	}
	if len(failures) == 0 {
		return errors.New("no engine listens on this machine: start Docker or Podman, or set DOCKER_HOST to its socket")
	}
	return failures[0]
}

// engineHosts lists where an engine may listen: what the user says, else the sockets that exist.
func engineHosts(told string, env func(string) string) []string {
	if env == nil {
		env = func(string) string { return "" }
	}
	for _, host := range []string{told, env("DOCKER_HOST"), env("CONTAINER_HOST")} {
		if host != "" {
			return []string{host}
		}
	}
	if runtime.GOOS == "windows" {
		return []string{client.DefaultDockerHost}
	}
	paths := []string{"/var/run/docker.sock"}
	if dir := env("XDG_RUNTIME_DIR"); dir != "" {
		paths = append(paths, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman", "podman.sock"))
	}
	if home := env("HOME"); home != "" {
		paths = append(paths, filepath.Join(home, ".docker", "run", "docker.sock"))
	}
	var hosts []string
	for _, path := range append(paths, "/run/podman/podman.sock") {
		if _, err := os.Stat(path); err == nil {
			hosts = append(hosts, "unix://"+path)
		}
	}
	return hosts
}

// introduce asks the engine for its name and platform.
func (e *Engine) introduce(ctx context.Context) error {
	if _, err := e.client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return err
	}
	v, err := e.client.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		return err
	}
	e.arch = v.Arch
	e.name = "docker " + v.Version
	for _, c := range v.Components {
		if strings.Contains(c.Name, "Podman") {
			e.name, e.podman = "podman "+c.Version, true
		}
	}
	if v.Os != "" && v.Os != "linux" {
		return fmt.Errorf("the engine runs %s containers, and only Linux containers are traced", v.Os)
	}
	return nil
}

// Name is the engine and its version, such as "docker 20.10.24".
func (e *Engine) Name() string { return e.name }

// load gives the reference of an image in the engine, where it is put on first use.
func (e *Engine) load(ctx context.Context, img *image.Image) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return "", errors.New("[internal error] a runner is used after it was closed")
	}
	if l, ok := e.loaded[img]; ok {
		return l.ref, nil
	}
	ref, release, err := e.options.Load(ctx, img)
	if err != nil {
		return "", fmt.Errorf("loading an image into %s: %w", e.name, err)
	}
	e.loaded[img] = loadedImage{ref, release}
	return ref, nil
}

// Close removes the volumes and gives the images back.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), engineCleanUp)
	defer cancel()
	err := e.removeVolumes(ctx)
	for _, l := range e.loaded {
		if l.release != nil {
			l.release()
		}
	}
	e.closeClient()
	return err
}

func (e *Engine) closeClient() {
	if e.own {
		e.client.Close()
	}
}
