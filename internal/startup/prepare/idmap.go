package prepare

import (
	"strconv"
	"strings"
)

// idMap is a user namespace's map (user_namespaces(7)), of at most 340 lines.
type idMap [][3]uint32

func parseIDMap(b []byte) (m idMap) {
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		var n [3]uint32
		for i := range f {
			v, err := strconv.ParseUint(f[i], 10, 32)
			if err != nil {
				return nil
			}
			n[i] = uint32(v)
		}
		m = append(m, n)
	}
	return m
}

// outside is what the parent namespace calls an id.
func (m idMap) outside(id uint32) (uint32, bool) {
	for _, r := range m {
		if id >= r[0] && uint64(id) < uint64(r[0])+uint64(r[2]) {
			return r[1] + (id - r[0]), true
		}
	}
	return 0, false
}
