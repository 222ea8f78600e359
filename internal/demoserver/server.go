// Package demoserver is the small server inside the demo's sample image; it starts as root and steps down, as many daemons do.
package demoserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"unroot/internal/account"
)

// settings is the server's configuration file.
type settings struct {
	listen, user, group, pidFile, logFile, dataDir string
}

func readSettings(file string) (settings, error) {
	content, err := os.Open(file)
	if err != nil {
		return settings{}, err
	}
	defer content.Close()
	var s settings
	fields := map[string]*string{
		"listen": &s.listen, "user": &s.user, "group": &s.group,
		"pid-file": &s.pidFile, "log-file": &s.logFile, "data-dir": &s.dataDir,
	}
	lines := bufio.NewScanner(content)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		field := fields[strings.TrimSpace(key)]
		if !ok || field == nil {
			return settings{}, fmt.Errorf("%s:%d: %q is no setting", file, n, line)
		}
		*field = strings.TrimSpace(value)
	}
	return s, lines.Err()
}

// Run serves until the context ends: it writes the pid file, opens the log, binds the port, then
// steps down to the configured user, all of which needs root in the image as it is made.
func Run(ctx context.Context, config string) error {
	s, err := readSettings(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.pidFile, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return err
	}
	defer os.Remove(s.pidFile)
	log, err := os.OpenFile(s.logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return err
	}
	if s.user != "" {
		if err := stepDown(s.user); err != nil {
			return errors.Join(fmt.Errorf("stepping down to %s: %w", s.user, err), listener.Close())
		}
	}
	return serve(ctx, listener, log, s.dataDir)
}

func stepDown(user string) error {
	content, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	entry, ok := account.ParsePasswd(content).ByName(user)
	if !ok {
		return fmt.Errorf("no such user")
	}
	return setUser(int(entry.UID), int(entry.GID))
}

func serve(ctx context.Context, listener net.Listener, log io.Writer, dataDir string) error {
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: handler(log, filepath.Join(dataDir, "visits"))}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// handler answers who the server runs as, and counts visits in a file, one byte a visit.
func handler(log io.Writer, visits string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(log, "%s %s\n", r.Method, r.URL.Path)
		f, err := os.OpenFile(visits, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o660)
		if err == nil {
			_, err = f.Write([]byte{'.'})
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "served by uid %d, gid %d\n", os.Getuid(), os.Getgid())
	})
}

// Probe asks the server at url, as a health check does. It fails for anything but status 200.
func Probe(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}
