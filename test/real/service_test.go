package real

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"unroot/test/engine"
)

// service is a sample that answers requests, and how to ask.
type service struct {
	sample  string
	port    int      // that the image as built listens on and exposes
	remains remains  // what is left of root once the image as built serves
	options []string // of docker run, without which nobody would start it
	probe   asking
	kept    asking // whether what the probe wrote outlived its container; nil where it writes nothing
}

// asking is a request to a container; the error says what was wrong with the answer.
type asking func(ctx context.Context, c *engine.Container, port int) error

// remains is who the processes of an image as built are once it serves.
type remains int

const (
	rootParent remains = iota // a process with uid 0 stays
	rootStarts                // it started as root and stepped down
	noRoot                    // the packager had chosen another user
)

// services are the samples that the promise names.
var services = []service{
	{sample: "nginx", port: 80, probe: httpOK("Welcome to nginx")},
	{sample: "apache2", port: 80, probe: httpOK("It works")},
	{sample: "haproxy", port: 80, probe: httpOK("served")},
	{sample: "redis", port: 6379, remains: rootStarts, probe: redisWrites, kept: redisKept},
	{sample: "redis-unguarded", port: 6379, remains: rootStarts, probe: redisWrites, kept: redisKept},
	{sample: "nginx-sed", port: 80, probe: httpOK("hello")},
	{sample: "app-volume", port: 80, probe: httpOK("served"), kept: appKept},
	{sample: "app-user", port: 8000, remains: noRoot, probe: httpOK("served")},
	{sample: "postgres", port: 5432, remains: rootStarts, probe: postgresWrites, kept: postgresKept, options: []string{"--env", "POSTGRES_PASSWORD=secret"}},
}

// others are samples that the promise is not made for by name: the mechanism must carry them.
var others = []service{
	{sample: "lighttpd", port: 80, remains: rootStarts, probe: httpOK("")},
	{sample: "mariadb", port: 3306, remains: rootStarts, probe: greets("MariaDB")},
	{sample: "squid", port: 3128, probe: answersHTTP},
	{sample: "bind9", port: 53, remains: rootStarts, probe: connects},
	{sample: "supervisord", port: 80, probe: httpOK("php says 42")},
	{sample: "setpriv-app", port: 80, remains: rootStarts, probe: httpOK("served")},
	{sample: "su-memcached", port: 11211, probe: memcachedAnswers},
	{sample: "mosquitto", port: 1883, remains: rootStarts, probe: connects},
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

// errEnded says that a container's first process ended before it served.
var errEnded = errors.New("the container ended")

// serves waits until the probe is content. The error has the reason and what the container wrote.
func (s service) serves(ctx context.Context, c *engine.Container, port int, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var said error // what was wrong before the time was up
	for {
		err := s.probe(ctx, c, port)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			said = err
		} else if said != nil {
			err = said
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
