package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// span is a range of ids that the system lets us give to a user namespace.
type span struct{ start, count uint32 }

// extent is one line of a uid_map: count ids from inside on are outside and up on the host.
// user_namespaces(7).
type extent struct{ inside, outside, count uint32 }

const (
	lowIDs     = 65536 // 0 to 65535: what accounts of images have
	hole       = 60000 // ids below are given up first where there are too few; nobody and 65532 stay
	leastLow   = 1000  // system accounts must be there
	maxExtents = 340   // of the kernel, since 4.15
)

// assign gives the ids 0 to 65535 and further ones to a user namespace, from what pool has.
// The host's own ids, such as the user's, are in no map: what a process of an image makes belongs to
// no account of the host. Where pool is too small for all, ids below 60000 are left out, the highest
// first: Debian and others give neither people nor packages such ids before thousands of others.
func assign(pool []span, further []uint32) ([]extent, error) {
	extra := slices.DeleteFunc(slices.Clone(further), func(id uint32) bool { return id < lowIDs || id == ^uint32(0) })
	slices.Sort(extra)
	extra = slices.Compact(extra)
	var have uint64
	for _, s := range pool {
		have += uint64(s.count)
	}
	missing := max(0, lowIDs+len(extra)-int(min(have, 1<<31)))
	if missing > hole-leastLow {
		return nil, fmt.Errorf("%d subordinate ids are too few: %d are needed, and %d make every test possible",
			have, lowIDs+len(extra)-(hole-leastLow), lowIDs+len(extra))
	}
	want := []span{{0, uint32(hole - missing)}, {hole, lowIDs - hole}}
	for _, id := range extra {
		want = append(want, span{id, 1})
	}
	extents := pack(want, pool)
	if len(extents) > maxExtents {
		return nil, fmt.Errorf("%d further ids are too many for one user namespace", len(extra))
	}
	return extents, nil
}

// pack lays the wanted ids into the pool, which has room for them.
func pack(want, pool []span) []extent {
	var extents []extent
	pool = slices.Clone(pool)
	for _, w := range want {
		for w.count > 0 && len(pool) > 0 {
			n := min(w.count, pool[0].count)
			if n > 0 {
				extents = extend(extents, extent{w.start, pool[0].start, n})
			}
			w.start, w.count = w.start+n, w.count-n
			pool[0].start, pool[0].count = pool[0].start+n, pool[0].count-n
			if pool[0].count == 0 {
				pool = pool[1:]
			}
		}
	}
	return extents
}

// extend appends an extent, to the last one where both go on.
func extend(list []extent, e extent) []extent {
	if n := len(list); n > 0 {
		last := &list[n-1]
		if last.inside+last.count == e.inside && last.outside+last.count == e.outside {
			last.count += e.count
			return list
		}
	}
	return append(list, e)
}

// mapText is the extents as the kernel reads them.
func mapText(extents []extent) string {
	var b strings.Builder
	for _, e := range extents {
		fmt.Fprintf(&b, "%d %d %d\n", e.inside, e.outside, e.count)
	}
	return b.String()
}

// rootPool is what root takes its ids from: those that systemd's list of uids leaves to nobody
// (systemd.io/UIDS-GIDS: 1879048192 to 2147352575), another part of them for each process, so that
// two unroots share no id. own is root's own uid_map: in a user namespace there are fewer, and then
// all but the lowest 1000 serve.
func rootPool(own []extent, pid int) []span {
	const first, each, slots = 1879048192, 2 * lowIDs, 2048
	base := uint32(first + pid%slots*each)
	var all []span
	for _, e := range own {
		if e.inside <= base && uint64(e.inside)+uint64(e.count) >= uint64(base)+each {
			return []span{{base, each}}
		}
		if start := max(e.inside, leastLow); e.inside+e.count > start {
			all = append(all, span{start, e.inside + e.count - start})
		}
	}
	return all
}

// parseMap reads a uid_map.
func parseMap(text string) []extent {
	var extents []extent
	for line := range strings.Lines(text) {
		var e extent
		if n, _ := fmt.Sscan(line, &e.inside, &e.outside, &e.count); n == 3 {
			extents = append(extents, e)
		}
	}
	return extents
}
