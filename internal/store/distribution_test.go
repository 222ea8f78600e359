package store

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"unroot/internal/oracle"
)

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:\d+)`)

// startDistribution runs the registry that most others descend from, and gives its host:port and a
// way to read its log of requests.
func startDistribution(t testing.TB) (host string, requests func() []string) {
	t.Helper()
	path := oracle.Program(t, "docker-registry")
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {accesslog: {disabled: false}, level: info, formatter: text}\n"+
		"storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\nhttp: {addr: '127.0.0.1:0'}\n", filepath.Join(dir, "data"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	access, err := os.Create(filepath.Join(dir, "access"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "serve", config)
	command.Stdout = access
	errs, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
		access.Close()
	})
	found := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	select {
	case host = <-found:
	case <-time.After(20 * time.Second):
		t.Fatal("docker-registry does not say where it listens")
	}
	var seen int
	return host, func() []string {
		time.Sleep(50 * time.Millisecond) // the log is written after the answer
		data, err := os.ReadFile(access.Name())
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		if len(data) == 0 {
			lines = nil
		}
		defer func() { seen = len(lines) }()
		return lines[seen:]
	}
}

// Between repositories of one registry layers are mounted: no blob is downloaded, and none but the
// config is sent. The registry's own log is the judge.
func TestDistributionMounts(t *testing.T) {
	t.Parallel()
	host, requests := startDistribution(t)
	img := testImage(t, 4, 5000)
	push(t, host+"/from/app:1", img)
	cache := OpenCache(t.TempDir())
	mustOpen(t, testStore(t, Options{Cache: cache}), host+"/from/app:1")
	requests()

	s := testStore(t, Options{Cache: cache})
	source := mustOpen(t, s, host+"/from/app:1")
	mustPut(t, s, host+"/to/app:1", source)
	log := requests()
	count := func(pattern string) int {
		r := regexp.MustCompile(pattern)
		n := 0
		for _, line := range log {
			if r.MatchString(line) {
				n++
			}
		}
		return n
	}
	if n := count(`"POST /v2/to/app/blobs/uploads/\?from=from%2Fapp&mount=\S+ HTTP/1.1" 201`); n != 4 {
		t.Errorf("%d mounts, want 4", n)
	}
	if n := count(`"GET /v2/\S*/blobs/`); n != 0 {
		t.Errorf("%d blobs were downloaded", n)
	}
	if n := count(`"PUT /v2/to/app/blobs/uploads/`); n != 1 {
		t.Errorf("%d blobs were sent, want only the config", n)
	}
	// ping, manifest; old manifest; 4 mounts; config: look, start, send; manifest
	if len(log) > 11 {
		t.Errorf("%d requests, want at most 11", len(log))
	}
	if t.Failed() {
		t.Log(strings.Join(log, "\n"))
	}
	validRemote(t, host+"/to/app:1")
	requests()

	mustPut(t, s, host+"/to/app:1", source)
	if log = requests(); len(log) > 2 { // old manifest, manifest
		t.Errorf("a second put takes %d requests, want at most 2:\n%s", len(log), strings.Join(log, "\n"))
	}
}

func TestDistributionRoundTrip(t *testing.T) {
	t.Parallel()
	host, _ := startDistribution(t)
	for name, what := range map[string]remote.Taggable{"oci": ociImage(t, 2, 300_000), "index": testIndex(t)} {
		push(t, host+"/src/"+name+":1", what)
		s := testStore(t, Options{})
		mustPut(t, s, host+"/dst/"+name+":1", mustOpen(t, s, host+"/src/"+name+":1"))
		validRemote(t, host+"/dst/"+name+":1")
		if got, want := rawManifest(t, host+"/dst/"+name+":1"), rawManifest(t, host+"/src/"+name+":1"); !bytes.Equal(got, want) {
			t.Errorf("%s: manifest changed", name)
		}
	}
}

// Layers of a docker-archive go to a registry compressed, the same bytes each time, and skopeo
// reads them.
func TestArchiveToDistribution(t *testing.T) {
	t.Parallel()
	host, _ := startDistribution(t)
	push(t, host+"/a:1", testImage(t, 2, 50_000))
	archive := filepath.Join(t.TempDir(), "a.tar")
	program(t, "skopeo", "copy", "--src-tls-verify=false", "docker://"+host+"/a:1", "docker-archive:"+archive+":app:1")
	s := testStore(t, Options{})
	source := mustOpen(t, s, "docker-archive:"+archive)
	if source.Image.Manifest != nil {
		t.Fatal("a docker-archive of skopeo has no manifest")
	}
	first := mustPut(t, s, host+"/b:1", source)
	second := mustPut(t, testStore(t, Options{}), host+"/c:1", mustOpen(t, testStore(t, Options{}), "docker-archive:"+archive))
	if first != second {
		t.Errorf("two puts of one archive differ: %s and %s", first, second)
	}
	validRemote(t, host+"/b:1")
	program(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+host+"/b:1")
}
