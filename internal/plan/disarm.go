package plan

import (
	"fmt"

	"unroot/internal/rootfs"
	"unroot/internal/survey"
)

// disarm takes the rights off programs that gain them when they start. A file capability with the
// effective bit keeps the program from starting at all where capabilities are dropped; a setuid-root
// program is a way to root wherever no_new_privs is not set.
func (m *maker) disarm() {
	for _, e := range m.survey.Elevated {
		why := survey.Evidence{Source: "file", Where: e.Path, Text: fmt.Sprintf("mode %04o, owner %d:%d", e.Entry.Mode, e.Entry.UID, e.Entry.GID)}
		switch {
		case e.CapsEff:
			why.Text = "file capabilities with the effective bit"
			m.strip(e, "file-capabilities", why)
		case m.opts.SetUID == SetUIDKeep || !toRoot(e):
		case m.believes() && m.survey.Named(e.Path): // unroot-init sets no_new_privs, and the bit is believed alone
		case m.opts.SetUID == SetUIDStrip || e.Entry.Size <= smallFile || m.survey.Named(e.Path):
			m.strip(e, "setuid", why)
		default:
			why.Text += fmt.Sprintf("; nothing that starts names it (--setuid strip repeats its %d bytes instead)", e.Entry.Size)
			m.do(Remove{Path: e.Path, From: AttrOf(e.Entry)}, "setuid", why)
		}
	}
}

// smallFile is a file whose content costs little more than its header.
const smallFile = 4096

// toRoot reports whether the program becomes root, or group root.
func toRoot(e survey.Elevated) bool {
	return e.SetUID && e.Entry.UID == 0 || e.SetGID && e.Entry.GID == 0
}

func (m *maker) strip(e survey.Elevated, mends string, why survey.Evidence) {
	from := AttrOf(e.Entry)
	to := from
	if m.opts.SetUID != SetUIDKeep && toRoot(e) {
		to.Mode &^= rootfs.SetUID | rootfs.SetGID
	}
	m.do(Strip{Path: e.Path, From: from, To: to, Size: e.Entry.Size, Caps: e.CapsEff}, mends, why)
}
