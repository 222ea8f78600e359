package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"unroot/internal/record"
	"unroot/test/engine"
)

// patience is far more than any of the services takes to its first answer.
const patience = 90 * time.Second

// patience is how long a row's judge may ask again.
func (s service) patience() time.Duration {
	if s.unseen {
		return patience / 3
	}
	return patience
}

// noNetwork leaves a container its own loopback.
var noNetwork = []string{"--network", "none"}

// hardened is how clusters run images that they do not trust, under a uid that no image knows.
func (s service) hardened() []string {
	options := append([]string{"--user", arbitrary, "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}, noNetwork...)
	if s.ports {
		return options // Docker's own default since 20.10: every port is open
	}
	return append(options, "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024")
}

// arbitrary is a uid with group 0, as OpenShift assigns them.
const arbitrary = "1000700000:0"

// environment is the options of docker run for variables.
func environment(env []string) (options []string) {
	for _, e := range env {
		options = append(options, "--env", e)
	}
	return options
}

// onEngine starts a container that is removed at the end of the test.
func onEngine(t *testing.T, image string, options []string) (*engine.Container, place, error) {
	t.Helper()
	e := theEngine(t)
	moved, err := movedPorts(t.Context(), e, image)
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Run(t.Context(), image, options)
	if err != nil {
		return nil, place{}, err
	}
	t.Cleanup(func() {
		if err := c.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c, place{
		pid:   func() (int, error) { return c.PID(), nil },
		moved: moved,
		alive: func() bool { running, err := c.Running(context.Background()); return err == nil && running },
		log: func() string {
			state, err := e.Docker(context.Background(), "inspect", "--format", "{{.State.Status}}, exit code {{.State.ExitCode}}", c.ID)
			if err != nil {
				state = err.Error()
			}
			return "on the engine: " + state + "\n" + c.Logs(context.Background())
		},
	}, nil
}

// movedPorts reads what the conversion left in the image for whoever looks at it.
func movedPorts(ctx context.Context, e *engine.Engine, image string) ([]record.Port, error) {
	out, err := e.Docker(ctx, "image", "inspect", "--format", "{{json .Config.Labels}}", image)
	if err != nil {
		return nil, err
	}
	var labels map[string]string
	if err := json.Unmarshal([]byte(out), &labels); err != nil {
		return nil, fmt.Errorf("reading the labels of %s: %w", image, err)
	}
	r, _, err := record.Read(labels)
	return r.Ports, err
}

// serves waits until the judge is content. The error has the reason and what the service wrote.
func (s service) serves(ctx context.Context, p place, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var said error // what was wrong before the time was up
	for {
		err := s.judge(ctx, p)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || said == nil {
			said = err
		}
		if alive := p.alive(); !alive || ctx.Err() != nil {
			if !alive {
				said = errors.Join(errors.New("it ended"), said)
			}
			return fmt.Errorf("%s does not serve: %w\n%s", s.sample, said, p.log())
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// rootProcesses lists the processes of a container that have uid 0 in any of their four uids.
func rootProcesses(c *engine.Container) ([]engine.Process, error) {
	processes, err := c.Processes()
	if err == nil && len(processes) == 0 {
		err = errors.New("no process found")
	}
	return slices.DeleteFunc(processes, func(p engine.Process) bool { return !slices.Contains(p.UIDs[:], 0) }), err
}
