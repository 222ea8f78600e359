package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/tidwall/gjson"

	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/oracle"
	"unroot/internal/sandbox"
	"unroot/internal/store"
)

var update = flag.Bool("update", false, "write what the tests compare with: golden files, and the generated parts of README and docs")

func TestMain(m *testing.M) {
	sandbox.Stage()
	testscript.Main(m, map[string]func(){"unroot": main})
}

// TestScripts runs the command lines of testdata/script as a user types them.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("testdata/script"))
}

// scripts is how scripts run: with a home, a cache and a folder for temporary files of their own, and
// with no engine.
func scripts(dir string) testscript.Params {
	images, err := filepath.Abs("testdata/images")
	if err != nil {
		panic(err)
	}
	return testscript.Params{
		Dir: dir, UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
			env.Setenv("DOCKER_HOST", "unix://"+filepath.Join(env.WorkDir, "no-engine.sock"))
			env.Setenv("CONTAINER_HOST", "")
			env.Setenv("IMAGES", images)
			return nil
		},
		Condition: conditions,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exitsCommand,
			"image":    imageCommand,
			"box":      boxCommand,
			"index":    indexCommand,
			"registry": registryCommand,
			"json":     jsonCommand,
			"keep":     keepCommand,
			"kept":     keptCommand,
			"cut":      cutCommand,
			"damage":   damageCommand,
		},
	}
}

// conditions are the judges that a script may need: a skip is not a pass in CI.
func conditions(name string) (bool, error) {
	if name != "lab" {
		return false, fmt.Errorf("unknown condition %q", name)
	}
	err := labWorks()
	if err != nil && os.Getenv(oracle.RequireAll) == "1" {
		return false, fmt.Errorf("oracle missing: a machine that runs images: %w", err)
	}
	return err == nil, nil
}

// exitsCommand is `exits CODE PROGRAM ARG…`: runs a program and wants this exit code.
func exitsCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// imageCommand is `image NAME REF…`: builds testdata/images/NAME.txtar and puts it at the references.
func imageCommand(ts *testscript.TestScript, _ bool, args []string) {
	img, err := imagetest.Image(txtar.Parse([]byte(ts.ReadFile(filepath.Join(ts.Getenv("IMAGES"), args[0]+".txtar")))))
	ts.Check(err)
	put(ts, image.Source{Image: img}, args[1:])
}

func put(ts *testscript.TestScript, source image.Source, refs []string) {
	s := store.New(store.Options{})
	defer s.Close()
	for _, arg := range refs {
		ref, err := store.Parse(arg)
		ts.Check(err)
		if ref.Path != "" {
			ref.Path = ts.MkAbs(ref.Path)
		}
		_, err = s.Put(context.Background(), ref, source)
		ts.Check(err)
	}
}

// indexCommand is `index NAME REF…`: the image for two platforms, with an attestation as BuildKit
// writes it, at the references. Where the image has a busybox it is this machine's for both.
func indexCommand(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(filepath.Join(ts.Getenv("IMAGES"), args[0]+".txtar"))
	var members []image.Member
	for _, arch := range []string{"amd64", "arm64"} {
		ar := txtar.Parse([]byte(text))
		config, _ := imagetest.Section(ar, "config")
		imagetest.SetSection(ar, "image", fmt.Sprintf(
			`{"architecture":%q,"os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":[$DIFF_IDS]}}`, arch, strings.TrimSpace(config)))
		img, err := built(ar)
		ts.Check(err)
		members = append(members, image.Member{Image: img, Descriptor: ocispec.Descriptor{
			MediaType: img.MediaType, Digest: img.Digest, Size: int64(len(img.Manifest)),
			Platform: &ocispec.Platform{OS: "linux", Architecture: arch},
		}})
	}
	members = append(members, attestation(members[0].Descriptor.Digest))
	put(ts, image.Source{Index: newIndex(ts, members)}, args[1:])
}

func newIndex(ts *testscript.TestScript, members []image.Member) *image.Index {
	doc := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, m := range members {
		doc.Manifests = append(doc.Manifests, m.Descriptor)
	}
	raw, err := json.Marshal(doc)
	ts.Check(err)
	return &image.Index{Raw: raw, MediaType: doc.MediaType, Digest: digest.FromBytes(raw), Members: members}
}

// attestation is a manifest about another one (BuildKit, docs/attestations/attestation-storage.md).
func attestation(of digest.Digest) image.Member {
	statement := blob{ocispec.Descriptor{MediaType: "application/vnd.in-toto+json"}, `{"_type":"https://in-toto.io/Statement/v0.1"}`}.described()
	config := blob{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig}, `{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}`}.described()
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config.descriptor, Layers: []ocispec.Descriptor{statement.descriptor},
	})
	if err != nil {
		panic(err)
	}
	return image.Member{Raw: raw, Blobs: []image.Layer{config, statement}, Descriptor: ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw)),
		Platform:    &ocispec.Platform{OS: "unknown", Architecture: "unknown"},
		Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of.String()},
	}}
}

// blob is a blob in memory.
type blob struct {
	descriptor ocispec.Descriptor
	text       string
}

func (b blob) described() blob {
	b.descriptor.Digest, b.descriptor.Size = digest.FromString(b.text), int64(len(b.text))
	return b
}

func (b blob) Descriptor() ocispec.Descriptor { return b.descriptor }

func (b blob) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(b.text)), nil
}

// registryCommand is `registry VAR [KIND]`: starts a registry on loopback and puts its host into the
// variable. A dead one refuses connections, a stuck one answers nothing, a locked one wants a login.
func registryCommand(ts *testscript.TestScript, _ bool, args []string) {
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	kind := ""
	if len(args) > 1 {
		kind = args[1]
	}
	switch kind {
	case "dead":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(args[0], l.Addr().String())
		ts.Check(l.Close())
		return
	case "locked":
		handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		})
	}
	server := httptest.NewServer(handler)
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.Listener.Addr().String())
}

// jsonCommand is `json FILE PATH REGEXP`: what stands at the path of the JSON document (as gjson
// writes paths) matches the whole expression; `! json FILE PATH`: there is nothing.
func jsonCommand(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	if !gjson.Valid(text) {
		ts.Fatalf("%s is not JSON:\n%s", args[0], text)
	}
	got := gjson.Get(text, args[1])
	switch {
	case neg && got.Exists():
		ts.Fatalf("%s is there: %s", args[1], got.Raw)
	case neg:
	case !got.Exists():
		ts.Fatalf("%s is not there:\n%s", args[1], text)
	case !regexp.MustCompile("^(?s:" + args[2] + ")$").MatchString(got.String()):
		ts.Fatalf("%s is %s, want %s", args[1], got.String(), args[2])
	}
}

// keepCommand is `keep PATH…`: remembers everything below the paths for kept.
func keepCommand(ts *testscript.TestScript, _ bool, args []string) {
	for _, arg := range args {
		ts.Setenv("KEPT_"+arg, fingerprint(ts, arg))
	}
}

// keptCommand is `kept PATH…`: nothing below the paths has changed since keep.
func keptCommand(ts *testscript.TestScript, neg bool, args []string) {
	for _, arg := range args {
		if same := ts.Getenv("KEPT_"+arg) == fingerprint(ts, arg); same == neg {
			ts.Fatalf("%s: the same as before is %t", arg, same)
		}
	}
}

// fingerprint is names, modes and contents of everything below a path, also of what is not there.
func fingerprint(ts *testscript.TestScript, p string) string {
	root := ts.MkAbs(p)
	var lines []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line := strings.TrimPrefix(name, root) + " " + entry.Type().String()
		if entry.Type().IsRegular() {
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(content))
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		ts.Fatalf("%v", err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "|")
}

// cutCommand is `cut FILE`: takes the last third of a file away.
func cutCommand(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	info, err := os.Stat(name)
	ts.Check(err)
	ts.Check(os.Truncate(name, info.Size()*2/3))
}

// damageCommand is `damage DIR`: overwrites the second half of every file below the folder.
func damageCommand(ts *testscript.TestScript, _ bool, args []string) {
	files := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i := len(content) / 2; i < len(content); i++ {
			content[i] ^= 0x55
		}
		files++
		return os.WriteFile(name, content, 0o600)
	}))
	if files == 0 {
		ts.Fatalf("there is no file below %s", args[0])
	}
}
