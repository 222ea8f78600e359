package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"unroot/internal/image"
	"unroot/internal/layer"
	"unroot/internal/recipe"
	"unroot/internal/store"
)

// reading is how images are found and read: the flags that check, plan and convert share.
type reading struct {
	world    *world
	platform string
	insecure bool
	cacheDir string
	noCache  bool
	maxSize  byteSize
	maxFiles int

	store *store.Store
	cache *store.Cache
}

func (r *reading) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.platform, "platform", "", "of an image of many platforms, look at this one, such as linux/arm64")
	f.BoolVar(&r.insecure, "insecure", false, "allow registries without TLS, or with a certificate that nobody vouches for (loopback always is)")
	f.StringVar(&r.cacheDir, "cache", "", "folder for what was read of layers (default: the user's cache folder)")
	f.BoolVar(&r.noCache, "no-cache", false, "neither use nor keep what was read of layers")
	f.Var(&r.maxSize, "max-layer-size", "refuse a layer that unpacks to more, such as 200G (default 64G, and 1000 times its stored size)")
	f.IntVar(&r.maxFiles, "max-files", 0, "refuse a layer with more files (default 4000000)")
}

// start opens the store. Close it with the function that it gives back.
func (r *reading) start() func() {
	if !r.noCache {
		if dir := r.folder(); dir != "" {
			r.cache = store.OpenCache(dir)
		}
	}
	go recipe.Dialects() // decoded while the image is waited for
	r.store = store.New(store.Options{Env: r.world.env, Insecure: r.insecure, Stdin: r.world.in, Cache: r.cache, OCIFormat: true})
	return func() { r.store.Close() }
}

// folder is where the cache lies; empty where the system knows none.
func (r *reading) folder() string {
	if r.cacheDir != "" {
		return r.cacheDir
	}
	base := r.world.env("XDG_CACHE_HOME")
	if base == "" || !filepath.IsAbs(base) {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(base, "unroot")
}

func (r *reading) options() image.Options {
	opts := image.Options{
		Scan:     layer.ScanOptions{MaxSize: int64(r.maxSize), MaxEntries: r.maxFiles},
		Parallel: runtime.GOMAXPROCS(0),
	}
	if r.cache != nil {
		opts.Indexes = r.cache
	}
	return opts
}

// open opens what a reference names.
func (r *reading) open(ctx context.Context, ref store.Ref) (image.Source, error) {
	if file, ok := r.world.in.(*os.File); ok && ref.Transport == store.Stdin {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return image.Source{}, &store.HintError{Err: errors.New(`opening "-": standard input is no archive, but a terminal`), Hint: "pipe one in: docker save app | unroot check -"}
		}
	}
	return r.store.Open(ctx, ref)
}

// opened is one platform's image, and what it was opened from.
type opened struct {
	view  *image.View
	ref   store.Ref
	index *image.Index // that it is a member of; nil where the reference names one image
}

// view opens what a reference names and reads one platform of it.
func (r *reading) view(ctx context.Context, arg string) (*image.View, string, error) {
	o, err := r.one(ctx, arg)
	if err != nil {
		return nil, "", err
	}
	return o.view, o.ref.String(), nil
}

func (r *reading) one(ctx context.Context, arg string) (opened, error) {
	ref, err := store.Parse(arg)
	if err != nil {
		return opened{}, err
	}
	source, err := r.open(ctx, ref)
	if err != nil {
		return opened{}, err
	}
	img, err := r.pick(source)
	if err != nil {
		return opened{}, fmt.Errorf("opening %q: %w", ref, err)
	}
	v, err := image.Open(ctx, img, r.options())
	if err != nil {
		return opened{}, fmt.Errorf("reading %q: %w", ref, err)
	}
	return opened{view: v, ref: ref, index: source.Index}, nil
}

// pick is the platform that the user asked for; of many, without being asked, the one of this
// machine; else the only one.
func (r *reading) pick(source image.Source) (*image.Image, error) {
	if source.Image != nil && r.platform == "" {
		return source.Image, nil
	}
	images, names := platforms(indexOf(source))
	want := r.platform
	if want == "" {
		want = "linux/" + runtime.GOARCH
	}
	if i := slices.IndexFunc(names, func(n string) bool { return n == want || strings.HasPrefix(n, want+"/") }); i >= 0 {
		return images[i], nil
	}
	if len(images) == 1 && r.platform == "" {
		return images[0], nil
	}
	return nil, &store.HintError{
		Err:  fmt.Errorf("no image for platform %s", want),
		Hint: "--platform takes one of " + strings.Join(names, ", "),
	}
}

// indexOf is what was opened as an index, also where it is one image.
func indexOf(source image.Source) *image.Index {
	if source.Image != nil {
		return &image.Index{Members: []image.Member{{Image: source.Image}}}
	}
	return source.Index
}

// platforms lists the images of an index, nested ones too, with their platforms.
func platforms(index *image.Index) (images []*image.Image, names []string) {
	for _, m := range index.Members {
		switch {
		case m.Index != nil:
			i, n := platforms(m.Index)
			images, names = append(images, i...), append(names, n...)
		case m.Image != nil:
			config, err := image.ParseConfig(m.Image.Config)
			if err != nil {
				continue
			}
			images, names = append(images, m.Image), append(names, config.Platform())
		}
	}
	return images, names
}
