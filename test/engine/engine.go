// Package engine starts a Docker Engine of its own for a test: private socket, data and containerd, and no network that the host would see.
package engine

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"unroot/test/daemon"
)

// Programs are what must be on PATH; Debian's package docker.io has or pulls in all of them.
var Programs = []string{"dockerd", "docker", "containerd", "runc"}

// Engine is a running Docker Engine.
type Engine struct {
	*daemon.Daemon
	Host string // for DOCKER_HOST
}

// Start starts an empty engine. It has no bridge and writes no packet filter rules: containers run
// with a network namespace that has only loopback, builds with the host's network.
func Start(ctx context.Context) (*Engine, error) {
	d, err := daemon.Start(ctx, daemon.Options{
		Name:   "engine",
		Args:   arguments,
		Before: removeContainers,
		Ready:  answers,
	})
	if err != nil {
		return nil, err
	}
	return &Engine{Daemon: d, Host: host(d.Dir)}, nil
}

// clientConfig is the folder that takes the place of ~/.docker.
const clientConfig = "config"

func socket(dir string) string { return filepath.Join(dir, "docker.sock") }
func host(dir string) string   { return "unix://" + socket(dir) }

// arguments is the command line; it needs two files, so that nothing of the host's configuration is
// read: the engine's own, and the one that clients keep credentials in.
func arguments(dir string) []string {
	config := filepath.Join(dir, "daemon.json")
	client := filepath.Join(dir, clientConfig)
	for _, path := range []string{config, filepath.Join(client, "config.json")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			continue // dockerd will say so
		}
		_ = os.WriteFile(path, []byte("{}\n"), 0o644) // the same
	}
	return []string{
		"dockerd", "--host", host(dir), "--config-file", config,
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "docker.pid"),
		"--bridge", "none", "--iptables=false", "--ip6tables=false",
		"--log-level", "warn",
	}
}

func removeContainers(dir string) string {
	docker := "docker --host " + host(dir)
	return docker + " ps --all --quiet | xargs -r " + docker + " rm --force --volumes"
}

func answers(ctx context.Context, dir string) bool {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket(dir))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Environ is an environment in which Docker's own and other clients speak to this engine, with the
// credentials of nobody.
func (e *Engine) Environ() []string {
	return append(os.Environ(),
		"DOCKER_HOST="+e.Host,
		"DOCKER_CONFIG="+filepath.Join(e.Dir, clientConfig),
		// the engine's own builder: BuildKit needs a plugin of the client that Debian does not package
		"DOCKER_BUILDKIT=0",
	)
}

// Docker runs Docker's command line and gives its standard output without the last newline. The
// error has what it wrote to standard error.
func (e *Engine) Docker(ctx context.Context, args ...string) (string, error) {
	cmd := e.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("docker %s: %w\n%s%s", strings.Join(args, " "), err, tail(out.String()), tail(errs.String()))
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

func (e *Engine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = e.Environ()
	return cmd
}

// tail keeps messages of a failed build readable.
func tail(s string) string {
	const most = 4000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}
