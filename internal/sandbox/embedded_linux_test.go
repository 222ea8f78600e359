package sandbox

import (
	"testing"

	"unroot/internal/verify"
)

func TestEmbeddedFirst(t *testing.T) {
	e := newEmbedded(t, Options{IDs: []uint32{1000700000}})
	img := imageOf(busyboxLayer(t))
	r := command(img, "id; cat /proc/self/uid_map; cat /proc/mounts; grep -E 'Cap|NoNew|Secc' /proc/self/status; exit 3")
	r.Identity.UID = 1000700000
	out := run(t, e, r)
	t.Logf("%+v", out)
	if out.End != verify.EndExited || out.Status != 3 {
		t.Error(out.End, out.Status, out.Error)
	}
}
