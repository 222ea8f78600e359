package real

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"unroot/test/engine"
)

// service is a sample that answers requests, and how to ask.
type service struct {
	sample  string
	port    int      // that the image as built listens on and exposes
	options []string // of docker run, without which nobody would start it
	probe   asking
	kept    asking // whether what the probe wrote outlived its container; nil where it writes nothing
}

// asking is a request to a container; the error says what was wrong with the answer.
type asking func(ctx context.Context, c *engine.Container, port int) error

var services = []service{
	{sample: "nginx", port: 80, probe: httpOK("Welcome to nginx")},
	{sample: "apache2", port: 80, probe: httpOK("It works")},
	{sample: "haproxy", port: 80, probe: httpOK("served")},
	{sample: "redis", port: 6379, probe: redisWrites, kept: redisKept},
	{sample: "redis-unguarded", port: 6379, probe: redisWrites, kept: redisKept},
	{sample: "nginx-sed", port: 80, probe: httpOK("hello")},
	{sample: "app-volume", port: 80, probe: httpOK("served"), kept: appKept},
	{sample: "app-user", port: 8000, probe: httpOK("served")},
	{sample: "postgres", port: 5432, probe: postgresWrites, kept: postgresKept, options: []string{"--env", "POSTGRES_PASSWORD=secret"}},
}

// noNetwork leaves the container its own loopback.
var noNetwork = []string{"--network", "none"}

// hardened is how clusters run images that they do not trust: no capability, no way to get one, and
// low ports closed, as CRI-O and Podman leave them.
var hardened = append([]string{
	"--cap-drop", "ALL",
	"--security-opt", "no-new-privileges",
	"--sysctl", "net.ipv4.ip_unprivileged_port_start=1024",
}, noNetwork...)

// arbitrary is a uid that no image knows, with group 0, as OpenShift assigns them.
const arbitrary = "1000700000:0"

// httpOK asks for / and wants status 200 and a page that says something.
func httpOK(says string) asking {
	return func(ctx context.Context, c *engine.Container, port int) error {
		client := http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       c.Dial,
		}}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		if err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK || !strings.Contains(string(body), says) {
			return fmt.Errorf("GET / answered %s: %.200q, want 200 and %q", res.Status, body, says)
		}
		return nil
	}
}

// appKept wants a count above those of one container's life.
func appKept(ctx context.Context, c *engine.Container, _ int) error {
	count, err := c.Exec(ctx, "cat", "data/count")
	if err == nil && len(count) == 1 && count < "4" {
		err = fmt.Errorf("the request count is %s, want 4: two containers, each started twice", count)
	}
	return err
}

// redisWrites wants a PONG, and data that the server can write to its disk.
func redisWrites(ctx context.Context, c *engine.Container, port int) error {
	return redisSays(ctx, c, port, [][2]string{{"PING", "+PONG"}, {"INCR kept", ":"}, {"SAVE", "+OK"}})
}

// redisKept wants the count of two containers, each started twice.
func redisKept(ctx context.Context, c *engine.Container, port int) error {
	return redisSays(ctx, c, port, [][2]string{{"INCR kept", ":5"}})
}

func redisSays(ctx context.Context, c *engine.Container, port int, exchanges [][2]string) error {
	conn, err := c.Dial(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for _, exchange := range exchanges {
		if err := ask(conn, answers, exchange[0], exchange[1]); err != nil {
			return err
		}
	}
	return nil
}

// ask sends one line and wants a line that begins with the answer.
func ask(conn net.Conn, answers *bufio.Reader, command, want string) error {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return err
	}
	got, err := answers.ReadString('\n')
	if err != nil {
		return err
	}
	if got = strings.TrimSpace(got); !strings.HasPrefix(got, want) {
		return fmt.Errorf("%s answered %q, want %q", command, got, want)
	}
	return nil
}

// postgresWrites asks as a client over TCP does, with the password, and writes a row.
func postgresWrites(ctx context.Context, c *engine.Container, port int) error {
	return postgresSays(ctx, c, port, "42", "create table if not exists kept (v int)",
		"insert into kept values (1)", "select 41 + 1")
}

// postgresKept wants the rows of two containers, each started twice.
func postgresKept(ctx context.Context, c *engine.Container, port int) error {
	return postgresSays(ctx, c, port, "4", "select count(*) from kept")
}

func postgresSays(ctx context.Context, c *engine.Container, port int, want string, sql ...string) error {
	url := fmt.Sprintf("postgresql://postgres:secret@127.0.0.1:%d/postgres", port)
	args := []string{"psql", url, "--no-psqlrc", "--tuples-only", "--no-align", "--quiet"}
	for _, command := range sql {
		args = append(args, "--command", command)
	}
	out, err := c.Exec(ctx, args...)
	if err == nil && strings.TrimSpace(out) != want {
		err = fmt.Errorf("%s answered %q, want %q", sql[len(sql)-1], out, want)
	}
	return err
}

// errEnded says that a container's first process ended before it served.
var errEnded = errors.New("the container ended")

// serves waits until the probe is content. The error has the reason and what the container wrote.
func (s service) serves(ctx context.Context, c *engine.Container, port int, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.probe(ctx, c, port)
		if err == nil {
			return nil
		}
		if running, inspect := c.Running(ctx); inspect == nil && !running {
			err = errEnded
		}
		if errors.Is(err, errEnded) || ctx.Err() != nil {
			return fmt.Errorf("%s does not serve on port %d: %w\n%s", s.sample, port, err, c.Logs(context.WithoutCancel(ctx)))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// start runs a container that is removed at the end of the test.
func start(t *testing.T, image string, options []string, args ...string) (*engine.Container, error) {
	t.Helper()
	c, err := theEngine(t).Run(t.Context(), image, options, args...)
	if err == nil {
		t.Cleanup(func() {
			if err := c.Remove(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	return c, err
}

// rootProcesses lists the processes of a container that have uid 0 in any of their four uids.
func rootProcesses(c *engine.Container) ([]engine.Process, error) {
	all, err := c.Processes()
	if err == nil && len(all) == 0 {
		err = errors.New("no process found")
	}
	all = slices.DeleteFunc(all, func(p engine.Process) bool { return !slices.Contains(p.UIDs[:], 0) })
	return all, err
}
