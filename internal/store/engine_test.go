package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"unroot/internal/oracle"
)

// startDocker runs a Docker Engine of its own, without network, and gives its host.
func startDocker(t testing.TB) string {
	t.Helper()
	oracle.Root(t)
	path := oracle.Program(t, "dockerd")
	dir, err := os.MkdirTemp("", "unroot-dockerd") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	host := "unix://" + filepath.Join(dir, "docker.sock")
	return host + startEngine(t, dir, host, path, "--host", host, "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--pidfile", dir+"/pid", "--storage-driver", "vfs", "--iptables=false", "--ip6tables=false", "--bridge=none")
}

// startPodman runs the API of a Podman with a storage of its own.
func startPodman(t testing.TB) string {
	t.Helper()
	oracle.Root(t)
	path := oracle.Program(t, "podman")
	dir, err := os.MkdirTemp("", "unroot-podman")
	if err != nil {
		t.Fatal(err)
	}
	host := "unix://" + filepath.Join(dir, "podman.sock")
	return host + startEngine(t, dir, host, path, "--root", dir+"/root", "--runroot", dir+"/run", "--storage-driver", "vfs",
		"--cgroup-manager", "cgroupfs", "system", "service", "--time", "0", host)
}

// startEngine waits until the engine answers; it gives "" so that a caller can end with it.
func startEngine(t testing.TB, dir, host, path string, args ...string) string {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, args...)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { command.Wait(); close(done) }()
	t.Cleanup(func() {
		command.Process.Signal(os.Interrupt)
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			command.Process.Kill()
			<-done
		}
		log.Close()
		os.RemoveAll(dir)
	})
	s := New(Options{Env: onlyHost(host)})
	defer s.Close()
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if c, err := s.engine(t.Context()); err == nil {
			c.Close()
			return ""
		}
		select {
		case <-done:
			start = time.Time{} // it gave up
		default:
		}
	}
	text, _ := os.ReadFile(log.Name())
	oracle.Missing(t, "%s does not start:\n%s", path, text)
	return ""
}

func onlyHost(host string) func(string) string {
	return func(key string) string {
		if key == "DOCKER_HOST" {
			return host
		}
		return ""
	}
}

// testEngine loads an image into a real engine, lets the engine say what it has, and saves it again.
func testEngine(t *testing.T, host string) {
	s := testStore(t, Options{Env: onlyHost(host)})
	source := mustOpen(t, s, fromRegistry(t, s, testImage(t, 3, 2000)))
	id := mustPut(t, s, "docker-daemon:unroot.example/app:1", source)
	c, err := client.New(client.WithHost(host))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	inspected, err := c.ImageInspect(t.Context(), "unroot.example/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if withAlgorithm(inspected.ID) != id || inspected.Config.Labels["test"] != t.Name() || len(inspected.RootFS.Layers) != 3 {
		t.Errorf("the engine has %s with %v, want %s", inspected.ID, inspected.Config.Labels, id)
	}
	for _, ref := range []string{"docker-daemon:unroot.example/app:1", "docker-daemon:" + id} {
		again := mustOpen(t, s, ref)
		if !bytes.Equal(again.Image.Config, source.Image.Config) {
			t.Errorf("%s: the config changed:\n%s\n%s", ref, source.Image.Config, again.Image.Config)
		}
		for _, l := range again.Image.Layers {
			readLayer(t, l)
		}
	}
	if _, err := s.Open(t.Context(), mustParse(t, "docker-daemon:unroot.example/missing")); !errors.Is(err, ErrNotFound) {
		t.Errorf("a missing image: %v", err)
	}
	noLeftovers(t, s.options.TempDir)

	// A zstd layer and half an image.
	lying := source.Image.Layers[2].Descriptor()
	source.Image.Layers[2] = &blob{descriptor: lying, open: bytesBlob("", make([]byte, lying.Size)).open}
	if _, err := s.Put(t.Context(), mustParse(t, "docker-daemon:unroot.example/half:1"), source); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a put of half an image: %v", err)
	}
	if _, err := c.ImageInspect(t.Context(), "unroot.example/half:1"); err == nil {
		t.Error("half an image is in the engine")
	}
}

func TestDocker(t *testing.T) {
	t.Parallel()
	testEngine(t, startDocker(t))
}

func TestPodman(t *testing.T) {
	t.Parallel()
	testEngine(t, startPodman(t))
}

// An engine's refusal stands in the body of a good answer.
func TestEngineRefuses(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("API-Version", "1.41")
		if strings.HasSuffix(r.URL.Path, "/images/load") {
			fmt.Fprint(w, `{"stream":"loading"}`+"\n"+`{"errorDetail":{"message":"no space"},"error":"no space"}`+"\n")
		}
	}))
	defer server.Close()
	s := testStore(t, Options{Env: onlyHost("tcp://" + strings.TrimPrefix(server.URL, "http://"))})
	source := mustOpen(t, s, fromRegistry(t, s, testImage(t, 1, 100)))
	if _, err := s.Put(t.Context(), mustParse(t, "docker-daemon:app:1"), source); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("got %v", err)
	}
}

func TestEngineUnreachable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, host := range []string{"unix://" + dir + "/none.sock", "tcp://127.0.0.1:1", "ssh://host"} {
		_, err := testStore(t, Options{Env: onlyHost(host)}).Open(t.Context(), mustParse(t, "docker-daemon:app"))
		if !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrUnsupported) || hintOf(err) == "" {
			t.Errorf("%s: %v, hint %q", host, err, hintOf(err))
		}
	}
}

// Without DOCKER_HOST the sockets of Docker and Podman are tried, the user's own too.
func TestEngineHosts(t *testing.T) {
	t.Parallel()
	env := func(key string) string { return map[string]string{"XDG_RUNTIME_DIR": "/r", "HOME": "/h"}[key] }
	hosts, told := engineHosts(env)
	if told || !strings.Contains(strings.Join(hosts, " "), "unix:///r/podman/podman.sock") {
		t.Errorf("%v, %t", hosts, told)
	}
	hosts, told = engineHosts(onlyHost("tcp://x:1"))
	if !told || len(hosts) != 1 {
		t.Errorf("%v, %t", hosts, told)
	}
}

// An engine that hangs up in the middle of a save gives an error, not half an image.
func TestEngineBreaks(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	whole := makeTar(t, dockerMembers()...)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("API-Version", "1.41")
		if strings.HasSuffix(r.URL.Path, "/images/get") {
			w.Write(whole[:2000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	})}
	go server.Serve(listener)
	defer server.Shutdown(context.Background())
	_, err = testStore(t, Options{Env: onlyHost("tcp://" + listener.Addr().String())}).Open(t.Context(), mustParse(t, "docker-daemon:app"))
	if err == nil {
		t.Error("half an archive is an image")
	}
}
