package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Config is an image config: the bytes as they came, and what unroot reads of them.
type Config struct {
	raw    []byte
	fields configFields
}

type configFields struct {
	OS           string
	Architecture string
	Variant      string
	Config       struct {
		User         string
		Env          []string
		Entrypoint   []string
		Cmd          []string
		WorkingDir   string
		Volumes      map[string]json.RawMessage
		ExposedPorts map[string]json.RawMessage
		Labels       map[string]string
		Healthcheck  *struct{ Test []string }
		ArgsEscaped  bool
	}
	RootFS struct {
		Type    string          `json:"type"`
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
	History []struct {
		EmptyLayer bool `json:"empty_layer"`
	} `json:"history"`
}

// ParseConfig reads an image config in the form of Docker or OCI. It fails for what is not JSON,
// for fields of another type than the specification's, for a field that stands twice, and for an
// image of an operating system that has no uids.
func ParseConfig(raw []byte) (Config, error) {
	c := Config{raw: raw}
	if !json.Valid(raw) {
		return Config{}, errors.New("reading the image config: not JSON")
	}
	if err := json.Unmarshal(raw, &c.fields); err != nil {
		return Config{}, fmt.Errorf("reading the image config: %w", err)
	}
	if os := c.fields.OS; os != "" && os != "linux" {
		return Config{}, fmt.Errorf("reading the image config: an image for %q; only Linux images have users by number", os)
	}
	for _, id := range c.fields.RootFS.DiffIDs {
		if err := id.Validate(); err != nil {
			return Config{}, fmt.Errorf("reading the image config: diff id %q: %w", id, err)
		}
	}
	return c, c.unambiguous()
}

// unambiguous refuses a config in which a field that decides stands twice: two readers would see
// two images.
func (c Config) unambiguous() error {
	at := skipSpace(c.raw, 0)
	if c.raw[at] != '{' {
		return errors.New("reading the image config: not a JSON object")
	}
	for _, key := range []string{"os", "architecture", "rootfs", "history"} {
		if _, err := findKey(c.raw, at, key); err != nil {
			return fmt.Errorf("reading the image config: %w", err)
		}
	}
	inner, err := findKey(c.raw, at, "config")
	if err != nil || !inner.ok || c.raw[inner.start] != '{' {
		return err
	}
	for _, key := range []string{"User", "Env", "Entrypoint", "Cmd", "WorkingDir", "Volumes", "ExposedPorts", "Labels", "Healthcheck"} {
		if _, err := findKey(c.raw, inner.start, key); err != nil {
			return fmt.Errorf("reading the image config: %w", err)
		}
	}
	return nil
}

// Bytes is the config as it came.
func (c Config) Bytes() []byte { return c.raw }

// Patch is the config with the changes made on its bytes.
func (c Config) Patch(changes ...Change) (Config, error) {
	raw, err := Patch(c.raw, changes...)
	if err != nil {
		return Config{}, err
	}
	return ParseConfig(raw)
}

// User is the USER as written; empty where none is set, which is root.
func (c Config) User() string { return c.fields.Config.User }

// Env is the environment as a list of NAME=value.
func (c Config) Env() []string { return c.fields.Config.Env }

// Getenv is the value of a variable of Env, the last one where it stands more than once.
func (c Config) Getenv(name string) (value string, ok bool) {
	for _, e := range c.fields.Config.Env {
		if k, v, found := strings.Cut(e, "="); found && k == name {
			value, ok = v, true
		}
	}
	return value, ok
}

// Entrypoint and Cmd are the two parts of the command line.
func (c Config) Entrypoint() []string { return c.fields.Config.Entrypoint }

// Cmd is the second part of the command line, which a user replaces.
func (c Config) Cmd() []string { return c.fields.Config.Cmd }

// WorkingDir is the directory that the command starts in, absolute; "/" where none is set.
func (c Config) WorkingDir() string {
	if d := c.fields.Config.WorkingDir; strings.HasPrefix(d, "/") {
		return d
	}
	return "/" + c.fields.Config.WorkingDir
}

// Volumes is the sorted list of the declared volumes' paths.
func (c Config) Volumes() []string { return slices.Sorted(maps.Keys(c.fields.Config.Volumes)) }

// Labels is the image's labels.
func (c Config) Labels() map[string]string { return maps.Clone(c.fields.Config.Labels) }

// Healthcheck is HEALTHCHECK's Test, such as ["CMD-SHELL", "curl …"]; nil where there is none.
func (c Config) Healthcheck() []string {
	if c.fields.Config.Healthcheck == nil {
		return nil
	}
	return c.fields.Config.Healthcheck.Test
}

// Platform is the image's platform, such as "linux/arm/v7".
func (c Config) Platform() string {
	p := c.fields.OS + "/" + c.fields.Architecture
	if c.fields.Variant != "" {
		p += "/" + c.fields.Variant
	}
	return p
}

// DiffIDs is the digests of the uncompressed layers, bottom first.
func (c Config) DiffIDs() []digest.Digest { return c.fields.RootFS.DiffIDs }

// HasHistory reports whether the config tells how its layers came to be.
func (c Config) HasHistory() bool { return len(c.fields.History) > 0 }

// Port is an exposed port.
type Port struct {
	Number uint16
	Proto  string // "tcp", "udp" or "sctp"
	Key    string // as written in ExposedPorts, such as "80" or "80/tcp"
}

func (p Port) String() string { return fmt.Sprintf("%d/%s", p.Number, p.Proto) }

// ExposedPorts is the declared ports in the order of their numbers. Ranges and what is no port are
// left out, as engines leave them out.
func (c Config) ExposedPorts() []Port {
	var ports []Port
	for key := range c.fields.Config.ExposedPorts {
		number, proto, _ := strings.Cut(key, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			continue
		}
		if proto == "" {
			proto = "tcp"
		}
		ports = append(ports, Port{Number: uint16(n), Proto: strings.ToLower(proto), Key: key})
	}
	slices.SortFunc(ports, func(a, b Port) int {
		if a.Number != b.Number {
			return int(a.Number) - int(b.Number)
		}
		return strings.Compare(a.Key, b.Key)
	})
	return ports
}
