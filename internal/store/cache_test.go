package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestCache(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "cache")
	c := OpenCache(dir)
	if _, ok := c.Get("a"); ok || exists(dir) {
		t.Error("an empty cache has something, or reading it makes a folder")
	}
	for key, data := range map[string][]byte{"a": []byte("data"), "b": {}, "c": bytes.Repeat([]byte("x"), 1<<16)} {
		c.Put(key, data)
		if got, ok := OpenCache(dir).Get(key); !ok || !bytes.Equal(got, data) {
			t.Errorf("%s: %q, %t", key, got, ok)
		}
	}
	c.Put("a", []byte("newer"))
	if got, _ := c.Get("a"); string(got) != "newer" {
		t.Errorf("a second put gives %q", got)
	}
	os.RemoveAll(dir)
	if _, ok := c.Get("a"); ok {
		t.Error("a removed cache has something")
	}
	c.Put("a", []byte("again"))
	if got, _ := c.Get("a"); string(got) != "again" {
		t.Errorf("after a removal a put gives %q", got)
	}
}

func TestNoCache(t *testing.T) {
	t.Parallel()
	c := OpenCache("")
	c.Put("a", []byte("x"))
	if _, ok := c.Get("a"); c != nil || ok {
		t.Error("no folder, but a cache")
	}
}

// A damaged file is a miss and is removed.
func TestCacheDamage(t *testing.T) {
	t.Parallel()
	c := OpenCache(t.TempDir())
	for name, damage := range map[string]func([]byte) []byte{
		"a bit":        func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut":          func(b []byte) []byte { return b[:len(b)-1] },
		"cut in head":  func(b []byte) []byte { return b[:20] },
		"empty":        func(b []byte) []byte { return nil },
		"other format": func(b []byte) []byte { return append([]byte("unroot cache 9\n"), b[cacheHeader:]...) },
	} {
		c.Put(name, []byte("the data"))
		path := c.path(name)
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, damage(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok := c.Get(name); ok {
			t.Errorf("%s: got %q", name, got)
		}
		if exists(path) {
			t.Errorf("%s: the file is still there", name)
		}
	}
}

// The least recently used goes first, and the limit holds.
func TestCacheLimit(t *testing.T) {
	t.Parallel()
	c := OpenCache(t.TempDir())
	c.Limit = 100_000
	data := bytes.Repeat([]byte("x"), 2000) // above a 64th of the limit: each put looks
	for i := range 200 {
		key := fmt.Sprint(i)
		c.Put(key, data)
		old := time.Now().Add(time.Duration(i-1000) * time.Minute)
		if err := os.Chtimes(c.path(key), old, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if _, ok := c.Get("0"); !ok { // reading keeps it
			t.Fatalf("what was read last is gone after %d puts", i)
		}
	}
	var total int64
	filepath.WalkDir(c.dir, func(_ string, d fs.DirEntry, err error) error {
		if info, e := d.Info(); err == nil && e == nil && !d.IsDir() {
			total += info.Size()
		}
		return nil
	})
	if total > c.Limit || total < c.Limit/2 {
		t.Errorf("the cache holds %d bytes, the limit is %d", total, c.Limit)
	}
	if _, ok := c.Get("1"); ok {
		t.Error("the oldest is still there")
	}
	if _, ok := c.Get("199"); !ok {
		t.Error("the newest is gone")
	}
	c.Put("large", make([]byte, c.Limit/4+1))
	if _, ok := c.Get("large"); ok {
		t.Error("an entry over a quarter of the limit is kept")
	}
}

// A folder that cannot be written warns once and does no harm.
func TestCacheUnwritable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := OpenCache(filepath.Join(file, "below")) // for root too
	warnings := 0
	c.Warn = func(error) { warnings++ }
	for range 3 {
		c.Put("a", []byte("x"))
		if _, ok := c.Get("a"); ok {
			t.Error("it has something")
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings, want 1", warnings)
	}
}

// Many at once, with a limit that makes them remove each other's files: what is read is always whole.
func TestCacheConcurrent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			c := OpenCache(dir)
			c.Limit = 50_000
			c.Warn = func(err error) { t.Error(err) }
			for i := range 100 {
				key := fmt.Sprint(i % 30)
				want := bytes.Repeat([]byte(key), 1000)
				if got, ok := c.Get(key); ok && !bytes.Equal(got, want) {
					t.Errorf("%s: %d other bytes", key, len(got))
				}
				c.Put(key, want)
			}
		})
	}
	group.Wait()
}

func FuzzCacheFile(f *testing.F) {
	f.Add(encodeCacheFile([]byte("data")))
	f.Add([]byte(cacheMagic))
	f.Fuzz(func(t *testing.T, file []byte) {
		data, ok := decodeCacheFile(file)
		if ok && !bytes.Equal(encodeCacheFile(data), file) {
			t.Fatalf("%q is taken as a file with %q", file, data)
		}
	})
}
