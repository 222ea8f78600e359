package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// fileKeychain finds credentials where Podman and Docker keep them, in the order of
// containers-auth.json(5): the first file that knows the registry wins. go-containerregistry's own
// keychain stops at the first file that exists, whatever it holds.
type fileKeychain struct{ env func(string) string }

// files lists where credentials may be. A file named by REGISTRY_AUTH_FILE is the only one.
func (k fileKeychain) files() []string {
	if file := k.env("REGISTRY_AUTH_FILE"); file != "" {
		return []string{file}
	}
	home := k.env("HOME")
	if home == "" {
		home = k.env("USERPROFILE")
	}
	var files []string
	if dir := k.env("XDG_RUNTIME_DIR"); dir != "" {
		files = append(files, filepath.Join(dir, "containers", "auth.json"))
	}
	if dir := k.env("XDG_CONFIG_HOME"); dir != "" {
		files = append(files, filepath.Join(dir, "containers", "auth.json"))
	} else if home != "" {
		files = append(files, filepath.Join(home, ".config", "containers", "auth.json"))
	}
	if dir := k.env("DOCKER_CONFIG"); dir != "" {
		files = append(files, filepath.Join(dir, config.ConfigFileName))
	} else if home != "" {
		files = append(files, filepath.Join(home, ".docker", config.ConfigFileName))
	}
	return files
}

// Resolve implements authn.Keychain.
func (k fileKeychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext implements authn.ContextKeychain. A file that is there and cannot be read is an
// error: going on without it would look like a missing right.
func (k fileKeychain) ResolveContext(_ context.Context, target authn.Resource) (authn.Authenticator, error) {
	for _, path := range k.files() {
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		parsed, err := config.LoadFromReader(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("reading %q: %w", path, err)
		}
		found, err := lookUp(parsed, target)
		if err != nil {
			return nil, hinted(fmt.Errorf("reading %q: %w", path, err), "check the credential helper that the file names")
		}
		if found != nil {
			return authn.FromConfig(*found), nil
		}
	}
	return authn.Anonymous, nil
}

// lookUp asks one file: first for keys with a path (quay.io/team/app), which are Podman's, from the
// most specific on; then for the registry, which may be the question to a credential helper.
func lookUp(file *configfile.ConfigFile, target authn.Resource) (*authn.AuthConfig, error) {
	registry, key := target.RegistryStr(), target.RegistryStr()
	hosts := []string{registry}
	if registry == name.DefaultRegistry {
		key = authn.DefaultAuthKey
		hosts = []string{"docker.io", registry}
	}
	path := strings.TrimPrefix(target.String(), registry)
	for {
		for _, host := range hosts {
			if found := usable(file.AuthConfigs[host+path]); found != nil && file.CredentialHelpers[host] == "" {
				return found, nil
			}
		}
		if path == "" {
			break
		}
		path = path[:strings.LastIndexByte(path, '/')]
	}
	auth, err := file.GetAuthConfig(key)
	if err != nil {
		return nil, err
	}
	return usable(auth), nil
}

// usable gives nil for an entry that holds no secret, such as `docker logout` and helpers leave.
func usable(auth types.AuthConfig) *authn.AuthConfig {
	found := authn.AuthConfig{Username: auth.Username, Password: auth.Password, Auth: auth.Auth,
		IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken}
	if found == (authn.AuthConfig{}) {
		return nil
	}
	return &found
}
