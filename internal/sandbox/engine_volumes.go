package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"unroot/internal/verify"
)

// engineVolume is a volume of the engine.
type engineVolume struct {
	name string
	used bool // a run has had it: its content is the runs' now
}

// mountVolumes adds a run's volumes to a container, and makes those that no run has named yet.
func (e *Engine) mountVolumes(ctx context.Context, host *container.HostConfig, ref string, r verify.Run) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range r.Volumes {
		have, ok := e.volumes[v.Name]
		if !ok {
			var err error
			if have, err = e.makeVolume(ctx); err != nil {
				return err
			}
			e.volumes[v.Name] = have
		}
		// An engine fills an empty volume with what the image has at its place, unless it is told not to.
		mountVolume(host, have.name, v.Path, have.used || v.Seed == verify.SeedRoot)
		if e.podman && !have.used && v.Seed == verify.SeedRoot {
			if err := e.prepare(ctx, ref, have.name, preparingPlace, seedWord); err != nil {
				return err
			}
		}
		if v.Group != 0 {
			place := preparingPlace
			if !have.used && v.Seed == verify.SeedImage {
				place = v.Path // the engine fills it there
			}
			if err := e.prepare(ctx, ref, have.name, place, groupWord, strconv.FormatUint(uint64(v.Group), 10)); err != nil {
				return err
			}
		}
		have.used = true
	}
	return nil
}

// mountVolume mounts a volume as it is (bare), or filled by the engine on its first use. Podman knows
// a bare one only in the words of --volume (libpod of 4.3 passes NoCopy over), and those have no
// place for a colon in the path.
func mountVolume(host *container.HostConfig, name, path string, bare bool) {
	if bare && !strings.Contains(path, ":") {
		host.Binds = append(host.Binds, name+":"+path+":nocopy")
		return
	}
	host.Mounts = append(host.Mounts, mount.Mount{
		Type: mount.TypeVolume, Source: name, Target: path, VolumeOptions: &mount.VolumeOptions{NoCopy: bare},
	})
}

func (e *Engine) makeVolume(ctx context.Context) (*engineVolume, error) {
	v := &engineVolume{name: "unroot-" + rand.Text()}
	_, err := e.client.VolumeCreate(ctx, client.VolumeCreateOptions{
		Name: v.name, Labels: map[string]string{ownerLabel: e.owner},
	})
	if err != nil {
		return nil, fmt.Errorf("making a volume in %s: %w", e.name, err)
	}
	return v, nil
}

// preparingPlace is where a volume is mounted that the engine must not fill.
const preparingPlace = "/.unroot/volume"

// prepare runs a container of root's that does one thing to a volume. One is needed for a new one that is to
// be root's with mode 0755, as Docker makes it: Podman gives a volume on its first use to the user of the
// container (libpod, fixVolumePermissions).
func (e *Engine) prepare(ctx context.Context, ref, volume, place, word string, args ...string) error {
	config, host := e.container(ref, "0:0")
	config.Cmd = append([]string{word, place}, args...)
	host.CapAdd = []string{"CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE", "CAP_FSETID"}
	mountVolume(host, volume, place, place == preparingPlace)
	attached, id, err := e.startContainer(ctx, config, host)
	if err != nil {
		return fmt.Errorf("preparing a volume in %s: %w", e.name, err)
	}
	defer e.removeLater(id)
	defer attached.Close()
	said := attached.said()
	if said != "" {
		return fmt.Errorf("preparing a volume in %s: %s", e.name, said)
	}
	return nil
}

// removeVolumes removes what runs have used.
func (e *Engine) removeVolumes(ctx context.Context) error {
	var failures []error
	for _, v := range e.volumes {
		_, err := e.client.VolumeRemove(ctx, v.name, client.VolumeRemoveOptions{Force: true})
		if err != nil && !errdefs.IsNotFound(err) {
			failures = append(failures, fmt.Errorf("removing a volume from %s: %w", e.name, err))
		}
	}
	return errors.Join(failures...)
}
