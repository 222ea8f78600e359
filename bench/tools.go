package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// tool is one way to make a regular user's image from src at dst, both in the registry.
type tool struct {
	name  string
	what  string // in words, for the table
	same  bool   // makes the same change; else it changes only the User string: a floor
	ready func(ctx context.Context, l *lab, dir string) error
	run   func(ctx context.Context, l *lab, dir, dst string) error
	clean func(ctx context.Context, l *lab, dir string) error // before dir is removed; may be nil
}

// recipe is what people write today for nginx: group 0 may do on these paths what the owner may,
// and the port is one that a regular user can bind. "$1" is where the root of the tree is.
const recipe = `chgrp -R 0 "$1/etc/nginx" "$1/run" "$1/var/lib/nginx" "$1/var/log/nginx"
chmod -R g=u "$1/etc/nginx" "$1/run" "$1/var/lib/nginx" "$1/var/log/nginx"
sed -i 's/80 default_server/8080 default_server/' "$1/etc/nginx/sites-available/default"`

const regularUser = "65532:0"

var tools = []tool{
	{name: "unroot cold", what: "`unroot convert`, no cache", same: true, ready: nothing, run: unrootCold},
	{name: "unroot warm", what: "`unroot convert`, layer index cached", same: true, ready: nothing, run: unrootWarm},
	{name: "docker cold", what: "`docker pull`, `build`, `push`; engine without the image", same: true, ready: dockerForget, run: dockerCold},
	{name: "docker warm", what: "`docker build`, `push`; engine with the image", same: true, ready: dockerPull, run: dockerBuild},
	{name: "buildah", what: "`buildah from`, `mount`, `config`, `commit`, `push`", same: true, ready: nothing, run: buildah, clean: buildahClean},
	{name: "skopeo+umoci", what: "`skopeo copy`, `umoci unpack`, `repack`, `config`, `skopeo copy`", same: true, ready: nothing, run: umoci},
	{name: "crane", what: "`crane mutate --user`: one string changed", ready: nothing, run: crane},
	{name: "regctl", what: "`regctl image mod --user`: one string changed", ready: nothing, run: regctl},
	{name: "floor", what: "both layers from memory decompressed in parallel, tar headers walked", ready: nothing, run: runFloor},
}

func nothing(context.Context, *lab, string) error { return nil }

func unrootCold(ctx context.Context, l *lab, dir, dst string) error {
	return l.unroot(ctx, filepath.Join(dir, "cache"), dst)
}

func unrootWarm(ctx context.Context, l *lab, _, dst string) error {
	return l.unroot(ctx, l.warmCache, dst)
}

func (l *lab) unroot(ctx context.Context, cache, dst string) error {
	return l.command(ctx, []string{"XDG_CACHE_HOME=" + cache}, l.binary, "convert", l.image(nginxImage), dst)
}

// dockerForget leaves the engine without any image or build cache.
func dockerForget(ctx context.Context, l *lab, _ string) error {
	_, err := l.engine.Docker(ctx, "system", "prune", "--all", "--force")
	return err
}

func dockerPull(ctx context.Context, l *lab, dir string) error {
	if err := dockerForget(ctx, l, dir); err != nil {
		return err
	}
	_, err := l.engine.Docker(ctx, "pull", "--quiet", l.image(nginxImage))
	return err
}

func dockerCold(ctx context.Context, l *lab, dir, dst string) error {
	if _, err := l.engine.Docker(ctx, "pull", "--quiet", l.image(nginxImage)); err != nil {
		return err
	}
	return dockerBuild(ctx, l, dir, dst)
}

func dockerBuild(ctx context.Context, l *lab, dir, dst string) error {
	file := fmt.Sprintf("FROM %s\nRUN %s\nUSER %s\nEXPOSE 8080\n", l.image(nginxImage), oneLine(recipe), regularUser)
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(file), 0o644); err != nil {
		return err
	}
	if _, err := l.engine.Docker(ctx, "build", "--quiet", "--no-cache", "--network", "none", "--tag", dst, dir); err != nil {
		return err
	}
	_, err := l.engine.Docker(ctx, "push", "--quiet", dst)
	return err
}

// inOwnStorage makes buildah work in a storage of its own, which is empty: it has no engine that
// keeps images.
const inOwnStorage = `b() { buildah --root "$DIR/root" --runroot "$DIR/run" --storage-driver overlay "$@"; }
`

func buildah(ctx context.Context, l *lab, dir, dst string) error {
	return l.script(ctx, dir, dst, inOwnStorage+`c=$(b from --quiet --tls-verify=false "docker://$SRC")
m=$(b mount "$c")
change "$m"
b umount "$c" >&2
b config --user "$REGULAR" --port 8080 "$c"
i=$(b commit --quiet "$c")
b push --quiet --tls-verify=false "$i" "docker://$DST"`)
}

func buildahClean(ctx context.Context, l *lab, dir string) error {
	return l.script(ctx, dir, "", inOwnStorage+`b rm --all >&2
if mountpoint -q "$DIR/root/overlay"; then umount "$DIR/root/overlay"; fi`)
}

func umoci(ctx context.Context, l *lab, dir, dst string) error {
	return l.script(ctx, dir, dst, `skopeo copy --quiet --src-tls-verify=false "docker://$SRC" "oci:$DIR/layout:root"
umoci unpack --image "$DIR/layout:root" "$DIR/bundle"
change "$DIR/bundle/rootfs"
umoci repack --image "$DIR/layout:regular" "$DIR/bundle"
umoci config --image "$DIR/layout:regular" --config.user "$REGULAR" --config.exposedports 8080
skopeo copy --quiet --dest-tls-verify=false "oci:$DIR/layout:regular" "docker://$DST"`)
}

func crane(ctx context.Context, l *lab, _, dst string) error {
	return l.command(ctx, nil, l.peer("crane"), "mutate", "--insecure", "--user", regularUser, "--tag", dst, l.image(nginxImage))
}

func regctl(ctx context.Context, l *lab, _, dst string) error {
	return l.command(ctx, nil, l.peer("regctl"), "--host", "reg="+l.registry.Host+",tls=disabled",
		"image", "mod", l.image(nginxImage), "--user", regularUser, "--create", dst)
}

func runFloor(ctx context.Context, l *lab, _, _ string) error {
	return l.command(ctx, nil, l.self, append([]string{floorVerb}, l.blobs...)...)
}
