package engine

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Container is a container that was started.
type Container struct {
	engine *Engine
	ID     string
	pid    int // of its first process, as the host sees it; 0 where it had ended before anyone looked
}

// grace is how many seconds a container gets to end by itself; some samples, as first process, never do.
const grace = "5"

// Run starts a container in the background: docker run OPTIONS IMAGE ARGS.
func (e *Engine) Run(ctx context.Context, image string, options []string, args ...string) (*Container, error) {
	line := append([]string{"run", "--detach"}, options...)
	line = append(append(line, image), args...)
	id, err := e.Docker(ctx, line...)
	if err != nil {
		return nil, err
	}
	c := &Container{engine: e, ID: id}
	return c, c.refresh(ctx)
}

// refresh looks up the first process, which is another one after a restart.
func (c *Container) refresh(ctx context.Context) error {
	out, err := c.engine.Docker(ctx, "inspect", "--format", "{{.State.Pid}}", c.ID)
	if err != nil {
		return err
	}
	c.pid, err = strconv.Atoi(out)
	return err
}

// Restart stops the container as its image says and starts it again.
func (c *Container) Restart(ctx context.Context) error {
	if _, err := c.engine.Docker(ctx, "restart", "--time", grace, c.ID); err != nil {
		return err
	}
	return c.refresh(ctx)
}

// Stop ends the container as its image says.
func (c *Container) Stop(ctx context.Context) error {
	_, err := c.engine.Docker(ctx, "stop", "--time", grace, c.ID)
	return err
}

// Running reports whether the container's first process runs.
func (c *Container) Running(ctx context.Context) (bool, error) {
	out, err := c.engine.Docker(ctx, "inspect", "--format", "{{.State.Running}}", c.ID)
	return out == "true", err
}

// Health is what the image's own health check says: "starting", "healthy", "unhealthy", or "" where
// the image has none.
func (c *Container) Health(ctx context.Context) (string, error) {
	return c.engine.Docker(ctx, "inspect", "--format", "{{if .State.Health}}{{.State.Health.Status}}{{end}}", c.ID)
}

// Wait waits for the end of the container and gives its exit code.
func (c *Container) Wait(ctx context.Context) (int, error) {
	out, err := c.engine.Docker(ctx, "wait", c.ID)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out)
}

// Logs is the end of what the container wrote to both outputs.
func (c *Container) Logs(ctx context.Context) string {
	out, err := c.engine.command(ctx, "logs", "--tail", "40", c.ID).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

// Exec runs a command in the container, as the container's user, and gives its standard output.
func (c *Container) Exec(ctx context.Context, args ...string) (string, error) {
	return c.engine.Docker(ctx, append([]string{"exec", c.ID}, args...)...)
}

// Remove ends and removes the container with its anonymous volumes.
func (c *Container) Remove(ctx context.Context) error {
	_, err := c.engine.Docker(ctx, "rm", "--force", "--volumes", c.ID)
	return err
}

// Dial connects to an address as a process inside the container would: the container's network has
// nothing but loopback, so that is where a request must come from.
func (c *Container) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// never unlocked: the thread, which is in another namespace from now on, ends with the goroutine
		runtime.LockOSThread()
		conn, err := c.dialInside(ctx, network, address)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func (c *Container) dialInside(ctx context.Context, network, address string) (net.Conn, error) {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", c.pid))
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("entering the network of %.12s: %w", c.ID, err)
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// PID is the container's first process as the host sees it; 0 where it had ended before anyone looked.
func (c *Container) PID() int { return c.pid }

// Process is one process of a container, as the host's kernel describes it.
type Process struct {
	PID  int
	Name string
	UIDs [4]int // real, effective, saved, file system
	GIDs [4]int
}

func (p Process) String() string {
	return fmt.Sprintf("%s (pid %d, uids %v, gids %v)", p.Name, p.PID, p.UIDs, p.GIDs)
}

// Processes lists every process in the container's process namespace.
func (c *Container) Processes() ([]Process, error) {
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", c.pid))
	if err != nil {
		return nil, fmt.Errorf("listing the processes of %.12s: %w", c.ID, err)
	}
	all, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, link := range all {
		if ns, err := os.Readlink(link); err != nil || ns != want {
			continue // ended meanwhile, or another's
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(link)), "status"))
		if err != nil {
			continue // ended meanwhile
		}
		p, err := parseStatus(string(status))
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, nil
}

// parseStatus reads the fields of proc_pid_status(5) that say who a process is.
func parseStatus(status string) (p Process, err error) {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			p.Name = value
		case "Pid":
			p.PID, err = strconv.Atoi(value)
		case "Uid":
			p.UIDs, err = fourIDs(value)
		case "Gid":
			p.GIDs, err = fourIDs(value)
		}
		if err != nil {
			return p, fmt.Errorf("reading %q: %w", line, err)
		}
	}
	return p, nil
}

func fourIDs(s string) (ids [4]int, err error) {
	_, err = fmt.Sscan(s, &ids[0], &ids[1], &ids[2], &ids[3])
	return ids, err
}
