package services

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/record"
)

// place is a running service as a judge gets at it: from inside its network, which has nothing but
// loopback, with the programs of this machine. Who runs it makes no difference.
type place struct {
	pid   func() (int, error) // of a process of the service, as this machine sees it
	moved []record.Port       // ports that are not where the image as built has them
	alive func() bool
	log   func() string // the end of what it wrote to its outputs
}

// port is where what the image as built has on a TCP port listens.
func (p place) port(original int) int { return p.portOf("tcp", original) }

func (p place) portOf(proto string, original int) int {
	for _, m := range p.moved {
		if int(m.From) == original && m.Proto == proto {
			return int(m.To)
		}
	}
	return original
}

// address is "127.0.0.1" with the port where the image as built has a TCP port.
func (p place) address(original int) string { return fmt.Sprintf("127.0.0.1:%d", p.port(original)) }

// ask runs a client in the network of the service and gives its standard output; a client that is
// not content (its exit code) is an error.
func (p place) ask(ctx context.Context, input string, client ...string) (string, error) {
	pid, err := p.pid()
	if err != nil {
		return "", err
	}
	args := append([]string{fmt.Sprintf("--net=/proc/%d/ns/net", pid), "--"}, client...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Stdin = strings.NewReader(input)
	// no configuration of whoever runs the test
	cmd.Env = append(os.Environ(), "HOME=/nonexistent", "CURL_HOME=/nonexistent", "no_proxy=", "NO_PROXY=", "http_proxy=", "GIT_CONFIG_NOSYSTEM=1", "LDAPNOINIT=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %.300s", strings.Join(client, " "), err, out.String()+errs.String())
	}
	return out.String(), nil
}

// says runs a client and wants every one of the texts in its answer.
func (p place) says(ctx context.Context, texts []string, input string, client ...string) error {
	out, err := p.ask(ctx, input, client...)
	for _, text := range texts {
		if err == nil && !strings.Contains(out, text) {
			err = fmt.Errorf("%s answered %.300q, want %q", strings.Join(client, " "), out, text)
		}
	}
	return err
}

// inside runs f on a thread that is in the service's network. Sockets that f makes stay there.
func (p place) inside(f func() error) error {
	pid, err := p.pid()
	if err != nil {
		return err
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer ns.Close()
	done := make(chan error, 1)
	go func() {
		// never unlocked: the thread, which is in another namespace from now on, ends with the goroutine
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("entering the network of %d: %w", pid, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// origin serves a page on a port of the service's loopback until the function that it gives is
// called: what a proxy is for.
func (p place) origin(port int, page string) (func(), error) {
	var l net.Listener
	err := p.inside(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		return err
	})
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) })}
	go func() { _ = server.Serve(l) }() // its only error is that it was closed
	return func() { _ = server.Close() }, nil
}

// dialogue sends each text and wants the answer after it, for protocols that no packaged client
// speaks without a terminal.
func (p place) dialogue(original int, exchanges ...[2]string) error {
	return p.inside(func() error {
		conn, err := net.Dial("tcp", p.address(original))
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		for _, e := range exchanges {
			if _, err := io.WriteString(conn, e[0]); err != nil {
				return err
			}
			if err := await(conn, e[1]); err != nil {
				return fmt.Errorf("after %q: %w", e[0], err)
			}
		}
		return nil
	})
}

// await reads until it has seen the text.
func await(r io.Reader, text string) error {
	var seen []byte
	b := make([]byte, 4096)
	for !bytes.Contains(seen, []byte(text)) {
		n, err := r.Read(b)
		if seen = append(seen, b[:n]...); err != nil || len(seen) > 1<<16 {
			return errors.Join(fmt.Errorf("answered %.300q, want %q", seen, text), err)
		}
	}
	return nil
}

// file is the content of a file of the service, through its own mounts.
func (p place) file(path string) (string, error) {
	pid, err := p.pid()
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return "", err
	}
	defer root.Close()
	b, err := root.ReadFile(strings.TrimPrefix(path, "/"))
	return string(b), err
}

// anyHas reports whether one of the files that the patterns name, as the service sees them, has the text.
func (p place) anyHas(text string, patterns ...string) (bool, error) {
	pid, err := p.pid()
	if err != nil {
		return false, err
	}
	for _, pattern := range patterns {
		root := fmt.Sprintf("/proc/%d/root", pid)
		paths, globErr := filepath.Glob(root + pattern)
		err = errors.Join(err, globErr)
		for _, path := range paths {
			content, readErr := p.file(strings.TrimPrefix(path, root))
			if readErr == nil && strings.Contains(content, text) {
				return true, nil
			}
			err = errors.Join(err, readErr)
		}
	}
	return false, err
}

// temporary is a folder for the clients of one question.
func temporary(f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "unroot-services-")
	if err != nil {
		return err
	}
	return errors.Join(f(filepath.Clean(dir)), os.RemoveAll(dir))
}
