package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"unroot/internal/sandbox/agent"
	"unroot/internal/sandbox/wire"
	"unroot/internal/verify"
)

// The agent inside a container: the folder where its program is, which is all of its PATH, its
// argv[0], and the word that makes it prepare volumes instead.
const (
	agentDir   = "/.unroot"
	agentStage = "unroot-agent"
	seedWord   = "seed"
	groupWord  = "group"
)

// Memory and threads that the agent itself may take, beside those of the run.
const (
	agentMemory  = 256 << 20
	agentThreads = 64
)

// engineGrace is how long a run may take to end after its time, or after it was cancelled.
const engineGrace = 20 * time.Second

// Run implements verify.Runner.
func (e *Engine) Run(ctx context.Context, r verify.Run, watch func(verify.Progress)) (verify.Outcome, error) {
	r.Limits.Memory = firstOf(r.Limits.Memory, defaultMemory)
	r.Limits.Processes = firstOf(r.Limits.Processes, defaultProcesses)
	r.Limits.Disk = firstOf(r.Limits.Disk, defaultDisk)
	out, err := e.run(ctx, r, watch)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return verify.Outcome{}, fmt.Errorf("running %q on %s: %w", r.Name, e.name, err)
	}
	out.Runner = e.name
	return out, ctx.Err()
}

func (e *Engine) run(ctx context.Context, r verify.Run, watch func(verify.Progress)) (verify.Outcome, error) {
	ref, err := e.load(ctx, r.Image)
	if err != nil {
		return verify.Outcome{}, err
	}
	config, host := e.runContainer(ref, r)
	if err := e.mountVolumes(ctx, host, ref, r); err != nil {
		return verify.Outcome{}, err
	}
	attached, id, err := e.startContainer(ctx, config, host)
	if id != "" {
		defer e.removeLater(id)
	}
	if err != nil {
		return notStarted(r, err)
	}
	defer attached.Close()
	return e.converse(ctx, attached, r, watch)
}

// notStarted sorts out failures that are the image's: the engine enters the working directory as the
// container's user before it starts anything.
func notStarted(r verify.Run, err error) (verify.Outcome, error) {
	if strings.Contains(err.Error(), "chdir") {
		return verify.Outcome{Run: r, End: verify.EndFailed, Status: 126, Error: err.Error()}, nil
	}
	return verify.Outcome{}, err
}

// converse speaks with the agent until the outcome is there.
func (e *Engine) converse(ctx context.Context, a *attachment, r verify.Run, watch func(verify.Progress)) (verify.Outcome, error) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = time.Minute
	}
	// Whoever does not answer in time, an agent that was taken over or starved, is hung up on.
	last := time.AfterFunc(timeout+engineGrace, func() { a.Close() })
	defer last.Stop()
	defer context.AfterFunc(ctx, func() { last.Reset(engineGrace / 2) })()
	out, err := agent.Request(ctx, a.conn, r, watch)
	if err == nil {
		return out, nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && e.killed(a.id) {
		// The kernel ends who takes most of the container's memory, and that may be the agent.
		return verify.Outcome{Run: r, End: verify.EndLimit, Limit: "memory", Platform: "linux/" + e.arch}, nil
	}
	if said := a.complaint.String(); said != "" {
		err = fmt.Errorf("%w; the agent says: %s", err, said)
	}
	return verify.Outcome{}, err
}

// killed reports whether the kernel killed the container's first process.
func (e *Engine) killed(id string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), engineCleanUp)
	defer cancel()
	wait := e.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	select {
	case status := <-wait.Result:
		return status.StatusCode == 137
	case <-wait.Error:
		return false
	}
}

// container is what every container of this runner has: the agent, no network, no right, no log.
func (e *Engine) container(ref, user string) (*container.Config, *container.HostConfig) {
	config := &container.Config{
		Image: ref, User: user, Entrypoint: []string{agentStage},
		// Only the agent sees these; and the Go runtime must not take settings from an image.
		Env:       []string{"PATH=" + agentDir, "GODEBUG=", "GOMAXPROCS=", "GOGC=", "GOMEMLIMIT=", "GOTRACEBACK="},
		OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true,
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		Labels:      map[string]string{ownerLabel: e.owner},
	}
	host := &container.HostConfig{
		AutoRemove: true, NetworkMode: "none", CapDrop: []string{"ALL"},
		LogConfig: container.LogConfig{Type: "none"},
		Mounts: []mount.Mount{{
			Type: mount.TypeBind, Source: e.binary, Target: agentDir + "/" + agentStage, ReadOnly: true,
		}},
	}
	return config, host
}

// runContainer is the container of a run.
func (e *Engine) runContainer(ref string, r verify.Run) (*container.Config, *container.HostConfig) {
	config, host := e.container(ref, r.Identity.User())
	config.Cmd = []string{}
	config.Hostname = r.Hostname
	config.WorkingDir = r.Dir // the engine makes it where the image has none
	for _, gid := range r.Identity.Groups {
		host.GroupAdd = append(host.GroupAdd, strconv.FormatUint(uint64(gid), 10))
	}
	host.CapAdd = slices.Clone(r.Caps)
	if separates(r) {
		host.CapAdd = append(host.CapAdd, "CAP_SYS_PTRACE")
	}
	if r.NoNewPrivs {
		host.SecurityOpt = []string{"no-new-privileges"}
	}
	host.ReadonlyRootfs = r.ReadOnly
	host.Sysctls = map[string]string{"net.ipv4.ip_unprivileged_port_start": strconv.Itoa(r.PortStart)}
	host.Tmpfs = map[string]string{}
	for _, path := range r.Tmpfs {
		host.Tmpfs[path] = e.tmpfsOptions(r.Limits.Disk)
	}
	host.Memory = r.Limits.Memory + agentMemory
	host.MemorySwap = host.Memory // no swap beside it
	pids := int64(r.Limits.Processes + agentThreads)
	host.PidsLimit = &pids
	return config, host
}

// separates reports a run as root with the engines' capabilities. The agent then has one more than
// the run, to look at processes that changed their uid, and gives its child only those of the run.
func separates(r verify.Run) bool {
	if r.Identity.UID != 0 {
		return false
	}
	for _, needed := range []string{"CAP_SETPCAP", "CAP_SETUID", "CAP_SETGID"} {
		if !slices.Contains(r.Caps, needed) {
			return false
		}
	}
	return true
}

// tmpfsOptions: Podman copies the image's directory into a tmpfs unless it is told not to.
func (e *Engine) tmpfsOptions(size int64) string {
	options := "size=" + strconv.FormatInt(size, 10)
	if e.podman {
		options += ",notmpcopyup"
	}
	return options
}

// attachment is the standard streams of a container.
type attachment struct {
	id        string
	conn      *wire.Conn
	hijacked  net.Conn
	out       *io.PipeReader
	complaint *tailBuffer // what the agent wrote to its standard error
	ended     chan struct{}
}

// startContainer makes a container, attaches to it and starts it. The id is given as soon as there is
// something to remove.
func (e *Engine) startContainer(ctx context.Context, config *container.Config, host *container.HostConfig) (*attachment, string, error) {
	made, err := e.client.ContainerCreate(ctx, client.ContainerCreateOptions{Config: config, HostConfig: host})
	if err != nil {
		return nil, "", fmt.Errorf("making a container: %w", err)
	}
	streams, err := e.client.ContainerAttach(ctx, made.ID, client.ContainerAttachOptions{Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return nil, made.ID, fmt.Errorf("attaching to a container: %w", err)
	}
	r, w := io.Pipe()
	a := &attachment{
		id: made.ID, conn: wire.Join(r, streams.Conn), hijacked: streams.Conn, out: r,
		complaint: &tailBuffer{}, ended: make(chan struct{}),
	}
	go func() {
		defer close(a.ended)
		_, err := stdcopy.StdCopy(w, a.complaint, streams.Reader)
		w.CloseWithError(err) // nil is the end
	}()
	if _, err := e.client.ContainerStart(ctx, made.ID, client.ContainerStartOptions{}); err != nil {
		a.Close()
		return nil, made.ID, fmt.Errorf("starting a container: %w", err)
	}
	return a, made.ID, nil
}

// Close hangs up, which ends the agent.
func (a *attachment) Close() {
	a.hijacked.Close()
	a.out.CloseWithError(io.ErrUnexpectedEOF)
}

// said waits for the end of the container and gives all that it said.
func (a *attachment) said() string {
	out, _ := io.ReadAll(io.LimitReader(a.out, 4096))
	a.Close()
	<-a.ended
	return strings.TrimSpace(string(out) + a.complaint.String())
}

// removeLater removes a container, and its anonymous volumes, when it has been used.
func (e *Engine) removeLater(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), engineCleanUp)
	defer cancel()
	_ = e.removeContainer(ctx, id) // the next NewEngine tries again
}

// removeContainer removes a container that the engine may be removing by itself at the same time.
func (e *Engine) removeContainer(ctx context.Context, id string) error {
	for {
		_, err := e.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		if errdefs.IsNotFound(err) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(20 * time.Millisecond): // until it is not found any more
		}
	}
}

// tailBuffer keeps the end of what is written to it.
type tailBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailSize = 4096

// Write never fails.
func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p[max(0, len(p)-tailSize):])
	t.buf.Next(max(0, t.buf.Len()-tailSize))
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(t.buf.String(), "\uFFFD"))
}
