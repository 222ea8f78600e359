package store

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func authFile(entries ...string) string {
	var all []string
	for _, e := range entries {
		key, login, _ := strings.Cut(e, "=")
		all = append(all, fmt.Sprintf(`%q: {"auth": %q}`, key, base64.StdEncoding.EncodeToString([]byte(login))))
	}
	return `{"auths": {` + strings.Join(all, ",") + `}}`
}

func TestKeychain(t *testing.T) {
	t.Parallel()
	home := func(dir string) map[string]string { return map[string]string{"HOME": dir} }
	tests := []struct {
		name   string
		files  map[string]string
		env    func(dir string) map[string]string
		target string
		want   string // user, "" for anonymous
	}{
		{"nothing", nil, home, "r.example/app", ""},
		{"docker", map[string]string{".docker/config.json": authFile("r.example=docker:x")}, home, "r.example/app", "docker"},
		{"docker, another registry", map[string]string{".docker/config.json": authFile("r.example=docker:x")}, home, "q.example/app", ""},
		{"podman", map[string]string{".config/containers/auth.json": authFile("r.example=podman:x")}, home, "r.example/app", "podman"},
		{"podman knows, docker does not", map[string]string{
			".docker/config.json":          authFile("other.example=docker:x"),
			".config/containers/auth.json": authFile("r.example=podman:x")}, home, "r.example/app", "podman"},
		{"docker knows, podman does not", map[string]string{
			".docker/config.json":          authFile("r.example=docker:x"),
			".config/containers/auth.json": authFile("other.example=podman:x")}, home, "r.example/app", "docker"},
		{"XDG_RUNTIME_DIR first", map[string]string{
			"run/containers/auth.json": authFile("r.example=run:x"), ".docker/config.json": authFile("r.example=docker:x")},
			func(dir string) map[string]string {
				return map[string]string{"HOME": dir, "XDG_RUNTIME_DIR": dir + "/run"}
			}, "r.example/app", "run"},
		{"REGISTRY_AUTH_FILE only", map[string]string{
			"special.json": authFile("r.example=special:x"), ".docker/config.json": authFile("r.example=docker:x", "q.example=docker:x")},
			func(dir string) map[string]string {
				return map[string]string{"HOME": dir, "REGISTRY_AUTH_FILE": dir + "/special.json"}
			}, "r.example/app", "special"},
		{"DOCKER_CONFIG", map[string]string{"elsewhere/config.json": authFile("r.example=else:x")},
			func(dir string) map[string]string {
				return map[string]string{"HOME": dir, "DOCKER_CONFIG": dir + "/elsewhere"}
			}, "r.example/app", "else"},
		{"Docker Hub", map[string]string{".docker/config.json": authFile("https://index.docker.io/v1/=hub:x")}, home, "nginx", "hub"},
		{"Docker Hub as podman writes it", map[string]string{".config/containers/auth.json": authFile("docker.io=hub:x")}, home, "nginx", "hub"},
		{"path before registry", map[string]string{".config/containers/auth.json": authFile("r.example=all:x", "r.example/team=team:x")}, home, "r.example/team/app", "team"},
		{"path of others", map[string]string{".config/containers/auth.json": authFile("r.example=all:x", "r.example/team=team:x")}, home, "r.example/teams/app", "all"},
		{"logged out", map[string]string{".docker/config.json": `{"auths": {"r.example": {}}}`, ".config/containers/auth.json": authFile("r.example=podman:x")}, home, "r.example/app", "podman"},
		{"token", map[string]string{".docker/config.json": `{"auths": {"r.example": {"identitytoken": "t"}}}`}, home, "r.example/app", "<token>"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeFiles(t, dir, test.files)
			env := test.env(dir)
			repo, err := name.NewRepository(test.target)
			if err != nil {
				t.Fatal(err)
			}
			auth, err := fileKeychain{func(key string) string { return env[key] }}.Resolve(repo)
			if err != nil {
				t.Fatal(err)
			}
			config, err := auth.Authorization()
			if err != nil {
				t.Fatal(err)
			}
			got := config.Username
			if config.IdentityToken != "" {
				got = "<token>"
			}
			if got != test.want || (auth == authn.Anonymous) != (test.want == "") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// A file that cannot be read says so: without it, the registry's "denied" would mislead.
func TestKeychainBrokenFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{".docker/config.json": "{"})
	s := testStore(t, Options{Env: func(key string) string { return map[string]string{"HOME": dir}[key] }})
	_, err := s.Open(t.Context(), mustParse(t, startRegistry(t, nil)+"/a:1"))
	if err == nil || !strings.Contains(err.Error(), "config.json") || errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// Not parallel: Docker's code looks for helper programs in the PATH of the process.
func TestCredentialHelper(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"bin/docker-credential-test": "#!/bin/sh\nread r; echo $r >>" + dir + "/asked\n" +
			`[ "$r" = r.example ] && echo '{"Username":"helped","Secret":"x"}' && exit` + "\n" +
			"echo 'credentials not found in native keychain'; exit 1\n",
		".docker/config.json": `{"credsStore": "test"}`,
	})
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	keychain := fileKeychain{func(key string) string { return map[string]string{"HOME": dir}[key] }}
	for target, want := range map[string]string{"r.example/a/b/c": "helped", "nginx": ""} {
		repo, err := name.NewRepository(target)
		if err != nil {
			t.Fatal(err)
		}
		auth, err := keychain.Resolve(repo)
		if err != nil {
			t.Fatal(err)
		}
		if config, err := auth.Authorization(); err != nil || config.Username != want {
			t.Errorf("%s: %+v, %v, want %q", target, config, err, want)
		}
	}
	asked, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil || strings.Count(string(asked), "\n") != 2 {
		t.Errorf("the helper was asked for %q (%v), want one question a registry", asked, err)
	}
}

// guarded is a registry that wants a login: basic, or a bearer token for the scopes.
type guarded struct {
	next   http.Handler
	bearer bool
	host   string
	mu     sync.Mutex
	tokens [][]string // scopes of each token that was given
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, ok := r.BasicAuth()
	loggedIn := ok && user == "me" && password == "secret"
	if r.URL.Path == "/token" {
		if !loggedIn {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.tokens = append(g.tokens, r.URL.Query()["scope"])
		fmt.Fprintf(w, `{"access_token": "%d"}`, len(g.tokens)-1)
		return
	}
	if g.bearer {
		g.mu.Lock()
		loggedIn = g.allows(r)
		g.mu.Unlock()
	}
	if loggedIn {
		g.next.ServeHTTP(w, r)
		return
	}
	challenge := `Basic realm="test"`
	if g.bearer {
		challenge = fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, g.host)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(http.StatusUnauthorized)
}

// allows holds a token's scopes against a request.
func (g *guarded) allows(r *http.Request) bool {
	var id int
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer %d", &id); err != nil || id >= len(g.tokens) {
		return false
	}
	if r.URL.Path == "/v2/" {
		return true
	}
	repo := strings.Split(r.URL.Path, "/")[2]
	return slices.ContainsFunc(g.tokens[id], func(scope string) bool {
		return strings.HasPrefix(scope, "repository:"+repo+":") &&
			(r.Method == http.MethodGet || r.Method == http.MethodHead || strings.Contains(scope, "push"))
	})
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	for _, bearer := range []bool{false, true} {
		t.Run(fmt.Sprintf("bearer=%t", bearer), func(t *testing.T) {
			t.Parallel()
			g := &guarded{bearer: bearer}
			host := startRegistry(t, func(next http.Handler) http.Handler { g.next = next; return g })
			g.host = host
			login := remote.WithAuth(&authn.Basic{Username: "me", Password: "secret"})
			if err := remote.Push(mustName(t, host+"/a:1"), testImage(t, 2, 100), login); err != nil {
				t.Fatal(err)
			}
			_, err := testStore(t, Options{}).Open(t.Context(), mustParse(t, host+"/a:1"))
			if !errors.Is(err, ErrUnauthorized) || !strings.Contains(hintOf(err), "docker login "+host) {
				t.Errorf("without a login: %v, hint %q", err, hintOf(err))
			}
			g.tokens = nil
			dir := t.TempDir()
			writeFiles(t, dir, map[string]string{".docker/config.json": authFile(host + "=me:secret")})
			s := testStore(t, Options{Env: func(key string) string { return map[string]string{"HOME": dir}[key] }})
			source := mustOpen(t, s, host+"/a:1")
			mustPut(t, s, host+"/b:1", source)
			if bearer && len(g.tokens) != 2 {
				t.Errorf("%d tokens were asked for, want one to read and one to write: %q", len(g.tokens), g.tokens)
			}
			if bearer && !slices.Equal(g.tokens[1], []string{"repository:b:push,pull", "repository:a:pull"}) {
				t.Errorf("the second token is for %q, want also the repository that is mounted from", g.tokens[1])
			}
		})
	}
}

// A registry that is not this machine is never spoken to in clear text, unless it is allowed.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for host, want := range map[string]bool{"localhost:5000": true, "127.0.0.1:5000": true, "127.8.9.1": true, "[::1]:5000": true,
		"registry.localhost": true, "10.0.0.1:5000": false, "192.168.1.1": false, "registry.example": false, "localhost.example": false} {
		if isLoopback(host) != want {
			t.Errorf("isLoopback(%q) is not %t", host, want)
		}
	}
	for _, insecure := range []bool{false, true} {
		asked := false
		s := testStore(t, Options{Insecure: insecure, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Scheme == "https" {
				return nil, errors.New("no TLS here")
			}
			asked = asked || r.URL.Path != "/v2/"
			return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
		})})
		_, err := s.Open(t.Context(), mustParse(t, "10.0.0.1:5000/app:1"))
		if asked != insecure || !insecure && !errors.Is(err, ErrUnreachable) {
			t.Errorf("insecure=%t: asked in clear text %t, %v", insecure, asked, err)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
