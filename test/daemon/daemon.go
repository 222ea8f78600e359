// Package daemon starts a server for a test in a folder of its own and leaves nothing of it behind, however the test ends.
package daemon

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

//go:embed keeper.sh
var keeper string

// Daemon is a running server and the folder that holds all that is its own.
type Daemon struct {
	Dir   string // removed by Close
	Log   string // file that has both outputs of the server
	Name  string // for messages
	life  io.Closer
	ended chan struct{}
}

// Options say how a server is started.
type Options struct {
	Name string
	// Args gives the command line, once the folder is known.
	Args func(dir string) []string
	// Before gives a shell command that is run before the server is ended; may be nil.
	Before func(dir string) string
	// Ready reports whether the server answers.
	Ready func(ctx context.Context, dir string) bool
}

// startTimeout is far more than any of the servers takes; a loaded machine must not fail a test.
const startTimeout = 90 * time.Second

// Start starts a server and waits until it is ready. The server is ended by Close, and by the end
// of this process: a shell that holds the other end of a pipe sees that.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	dir, err := os.MkdirTemp("", "unroot-"+o.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", o.Name, err)
	}
	d := &Daemon{Dir: dir, Log: filepath.Join(dir, o.Name+".log"), Name: o.Name, ended: make(chan struct{})}
	before := ":"
	if o.Before != nil {
		before = o.Before(dir)
	}
	cmd := exec.Command("bash", append([]string{"-c", keeper, "keeper", dir, d.Log, before}, o.Args(dir)...)...)
	// a session of its own: the terminal's ^C must not reach the server before the keeper does its work
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if d.life, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", o.Name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", o.Name, err), os.RemoveAll(dir))
	}
	go func() {
		_ = cmd.Wait() // the keeper's status says nothing: Close looks at what is left
		close(d.ended)
	}()
	if err := d.await(ctx, o.Ready); err != nil {
		tail := d.Tail(2000)
		return nil, errors.Join(fmt.Errorf("starting %s: %w\n%s", o.Name, err, tail), d.Close())
	}
	return d, nil
}

func (d *Daemon) await(ctx context.Context, ready func(context.Context, string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for !ready(ctx, d.Dir) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// Tail is the end of the server's log, at most n bytes.
func (d *Daemon) Tail(n int) string {
	b, err := os.ReadFile(d.Log)
	if err != nil {
		return err.Error()
	}
	if len(b) > n {
		b = b[len(b)-n:]
	}
	return string(b)
}

// Close ends the server and says what it left behind: processes, mounts or files.
func (d *Daemon) Close() error {
	if err := d.life.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("ending %s: %w", d.Name, err)
	}
	<-d.ended
	if left := leftovers(d.Dir); len(left) > 0 {
		return fmt.Errorf("ending %s: left behind: %s", d.Name, strings.Join(left, "; "))
	}
	return nil
}

// leftovers lists what still names the folder.
func leftovers(dir string) (left []string) {
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		left = append(left, "folder "+dir)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range processes {
		if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte(dir+"/")) {
			left = append(left, "process "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return left
}
