package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// cacheVersion is a folder of its own in the cache: a change of the format leaves the old one unread.
const cacheVersion = "v1"

// cacheMagic begins every file; the SHA-256 of the data follows, then the data.
const cacheMagic = "unroot cache 1\n"

const cacheHeader = len(cacheMagic) + sha256.Size

// DefaultCacheLimit is the size in bytes above which a cache lets go of what was used least recently.
const DefaultCacheLimit = 1 << 30

// Cache keeps small results on the disk by key: layer indexes, manifests, configs. It is safe for
// many goroutines and processes and to delete at any time, and it verifies what it reads. A nil
// *Cache keeps nothing. Set the fields before the first use.
type Cache struct {
	// Limit is the size of all data in bytes; zero is DefaultCacheLimit.
	Limit int64
	// Warn is told, once, that the folder cannot be written.
	Warn func(error)

	dir    string
	warned sync.Once
}

// OpenCache gives the cache in a folder, which is made when something is put. An empty dir gives nil,
// the cache that keeps nothing.
func OpenCache(dir string) *Cache {
	if dir == "" {
		return nil
	}
	return &Cache{dir: filepath.Join(dir, cacheVersion)}
}

func (c *Cache) limit() int64 {
	if c.Limit > 0 {
		return c.Limit
	}
	return DefaultCacheLimit
}

// path spreads the files over 256 folders by the digest of their key.
func (c *Cache) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(c.dir, name[:2], name[2:])
}

// Get gives the data of a key. A damaged file is removed and counts as absent.
func (c *Cache) Get(key string) ([]byte, bool) {
	if c == nil {
		return nil, false
	}
	path := c.path(key)
	info, err := os.Stat(path)
	if err != nil || info.Size() > c.limit()+int64(cacheHeader) {
		return nil, false
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	data, ok := decodeCacheFile(file)
	if !ok {
		os.Remove(path)
		return nil, false
	}
	if now := time.Now(); now.Sub(info.ModTime()) > time.Hour { // coarse, so that most reads write nothing
		os.Chtimes(path, now, now)
	}
	return data, true
}

func encodeCacheFile(data []byte) []byte {
	sum := sha256.Sum256(data)
	return slices.Concat([]byte(cacheMagic), sum[:], data)
}

func decodeCacheFile(file []byte) ([]byte, bool) {
	if len(file) < cacheHeader || string(file[:len(cacheMagic)]) != cacheMagic {
		return nil, false
	}
	data := file[cacheHeader:]
	sum := sha256.Sum256(data)
	return data, bytes.Equal(sum[:], file[len(cacheMagic):cacheHeader])
}

// Put keeps the data of a key. It never fails: what cannot be kept is not there at the next Get. An
// entry larger than a quarter of the limit is not kept.
func (c *Cache) Put(key string, data []byte) {
	if c == nil || int64(len(data)) > c.limit()/4 {
		return
	}
	path := c.path(key)
	if err := c.write(path, data); err != nil {
		c.warned.Do(func() {
			if c.Warn != nil {
				c.Warn(err)
			}
		})
		return
	}
	// Walking the cache costs time, so only about every sixteenth Put does it, and every large one.
	if name := filepath.Base(path); name[len(name)-1] == '0' || int64(len(data)) > c.limit()/64 {
		c.trim()
	}
}

func (c *Cache) write(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	t, err := createTemp(dir, 0o600)
	if err != nil {
		return err
	}
	defer t.abort()
	if _, err := t.Write(encodeCacheFile(data)); err != nil {
		return err
	}
	return t.commit(path, false) // without sync: the checksum finds what a power cut tore
}

// trim brings the cache to nine tenths of its limit, least recently used first.
func (c *Cache) trim() {
	type entry struct {
		path string
		size int64
		used time.Time
	}
	var entries []entry
	var total int64
	filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && path != c.dir {
				sweep(path)
			}
			return nil
		}
		info, err := d.Info()
		if err != nil || isTempName(d.Name()) {
			return nil
		}
		entries = append(entries, entry{path, info.Size(), info.ModTime()})
		total += info.Size()
		return nil
	})
	if total <= c.limit() {
		return
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	for _, e := range entries {
		if total <= c.limit()*9/10 {
			return
		}
		if os.Remove(e.path) == nil {
			total -= e.size
		}
	}
}
