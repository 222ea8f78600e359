// Package sample builds the images that the tests convert: ordinary Dockerfiles over Debian's packages, built by a real engine.
package sample

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"unroot/test/engine"
)

// Builder builds samples in one engine, each once.
type Builder struct {
	engine *engine.Engine
	root   string // folder with one folder for each sample
	base   func() (string, error)
	mu     sync.Mutex
	built  map[string]func() (string, error)
}

// NewBuilder gives a builder for the samples in the folder root.
func NewBuilder(e *engine.Engine, root string) *Builder {
	b := &Builder{engine: e, root: root, built: map[string]func() (string, error){}}
	b.base = sync.OnceValues(func() (string, error) { return b.importBase(context.Background()) })
	return b
}

// Build gives the engine's name of the sample, building it where that was not done yet. What was
// built in another run from the same files and the same base comes from the cache.
func (b *Builder) Build(ctx context.Context, name string) (string, error) {
	b.mu.Lock()
	once, ok := b.built[name]
	if !ok {
		once = sync.OnceValues(func() (string, error) { return b.build(context.WithoutCancel(ctx), name) })
		b.built[name] = once
	}
	b.mu.Unlock()
	return once()
}

// Base makes the base image known to the engine as BaseTag and gives its key.
func (b *Builder) Base() (key string, err error) { return b.base() }

func (b *Builder) importBase(ctx context.Context) (string, error) {
	path, key, err := base(ctx)
	if err != nil {
		return "", err
	}
	_, err = b.engine.Docker(ctx, "import", "--change", `CMD ["bash"]`, path, BaseTag)
	return key, err
}

// Archive gives the sample as a docker-archive, which nobody may change; the engine does not know
// it yet, unless it has built it just now.
func (b *Builder) Archive(ctx context.Context, name string) (path string, err error) {
	path, _, err = b.archive(ctx, name)
	return path, err
}

func (b *Builder) build(ctx context.Context, name string) (string, error) {
	archive, fresh, err := b.archive(ctx, name)
	if err == nil && !fresh {
		_, err = b.engine.Docker(ctx, "load", "--input", archive)
	}
	return tagOf(name), err
}

func tagOf(name string) string { return "unroot.test/" + name + ":root" }

// archive takes the sample from the cache, or builds it.
func (b *Builder) archive(ctx context.Context, name string) (path string, fresh bool, err error) {
	_, baseKey, err := base(ctx)
	if err != nil {
		return "", false, err
	}
	dir := filepath.Join(b.root, name)
	key, err := treeKey(dir, baseKey)
	if err != nil {
		return "", false, fmt.Errorf("building %s: %w", name, err)
	}
	path, err = cached("image-"+name+"-", key, func(part string) error {
		fresh = true
		if _, err := b.Base(); err != nil {
			return err
		}
		return b.buildAndSave(ctx, dir, tagOf(name), part)
	})
	if err != nil {
		return "", false, fmt.Errorf("building %s: %w", name, err)
	}
	return path, fresh, nil
}

func (b *Builder) buildAndSave(ctx context.Context, dir, tag, archive string) error {
	args := []string{"build", "--network", "host", "--tag", tag}
	for _, name := range []string{"http_proxy", "https_proxy", "no_proxy"} { // predefined arguments of every Dockerfile
		if v := os.Getenv(name); v != "" {
			args = append(args, "--build-arg", name+"="+v)
		}
	}
	authorities, err := localAuthorities()
	if err != nil {
		return err
	}
	if authorities != "" && declares(dir, npmAuthorities) {
		args = append(args, "--build-arg", npmAuthorities+"="+authorities)
	}
	if _, err := b.engine.Docker(ctx, append(args, dir)...); err != nil {
		return err
	}
	_, err = b.engine.Docker(ctx, "save", "--output", archive, tag)
	return err
}

// npmAuthorities is npm's name for the certificates that it trusts: a Dockerfile that declares this
// argument gets those that the administrator of this machine has added, such as a proxy's.
const npmAuthorities = "NPM_CONFIG_CA"

func declares(dir, argument string) bool {
	b, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
	return err == nil && strings.Contains(string(b), "\nARG "+argument+"\n")
}

// localAuthorities is the certificates of update-ca-certificates(8) that are not Debian's own.
func localAuthorities() (string, error) {
	files, err := filepath.Glob("/usr/local/share/ca-certificates/*.crt")
	var pem []byte
	for _, f := range files {
		b, readErr := os.ReadFile(f)
		pem, err = append(append(pem, b...), '\n'), errors.Join(err, readErr)
	}
	return string(pem), err
}

// treeKey is a hash of the names, modes and contents below a folder, and of what else the result
// depends on.
func treeKey(dir string, more ...string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, strings.Join(more, "\n"))
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s %o %d\n%s\n", rel, checkedOut(info.Mode()), len(content), content)
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), err
}

// checkedOut is what git keeps of a file's mode: all else is the umask of whoever checked it out, and
// must not make another sample.
func checkedOut(mode fs.FileMode) fs.FileMode {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
