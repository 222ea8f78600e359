// Package registry starts Debian's docker-registry on loopback for a test.
package registry

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"unroot/test/daemon"
)

// Program is the server's name on PATH; Debian's package of the same name has it.
const Program = "docker-registry"

// Registry is a running registry without credentials, spoken to by plain HTTP.
type Registry struct {
	*daemon.Daemon
	Host string // such as "127.0.0.1:40123": the first part of a reference
}

const config = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  delete: {enabled: true}
http:
  addr: %s
`

// Start starts an empty registry on a free port of 127.0.0.1.
func Start(ctx context.Context) (*Registry, error) {
	host, err := freeAddress()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", Program, err)
	}
	file, err := os.CreateTemp("", "unroot-registry-*.yml")
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", Program, err)
	}
	defer os.Remove(file.Name()) // it is read once, at the start
	d, err := daemon.Start(ctx, daemon.Options{
		Name: "registry",
		Args: func(dir string) []string {
			// the folder is known only here, and the program takes no other way to say it
			fmt.Fprintf(file, config, filepath.Join(dir, "data"), host)
			file.Close()
			return []string{Program, "serve", file.Name()}
		},
		Ready: func(ctx context.Context, _ string) bool { return answers(ctx, "http://"+host+"/v2/") },
	})
	if err != nil {
		return nil, err
	}
	return &Registry{Daemon: d, Host: host}, nil
}

// freeAddress is an address of loopback that nobody listens on now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
