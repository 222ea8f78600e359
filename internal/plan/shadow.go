package plan

import (
	"fmt"
	"strings"

	"unroot/internal/rootfs"
	"unroot/internal/startup"
	"unroot/internal/survey"
)

// openShadow lets who runs read /etc/shadow where calls of root are answered, and only where no password is in it:
// a program that believes to be root asks PAM whether an account may be used, and PAM reads that file itself then,
// and refuses everybody where it cannot (pam_unix(8), account).
func (m *maker) openShadow() {
	const shadow = "/etc/shadow"
	node, err := m.survey.View.Tree.Resolve(shadow)
	if err != nil || m.compat() == startup.CompatOff {
		return
	}
	content, err := m.survey.View.Content(shadow)
	from := AttrOf(node.Entry())
	if err != nil || hasPassword(content) || m.allowed(from, rootfs.Read) || node.Entry().Kind != rootfs.File {
		return
	}
	to := m.readableAttr(from, rootfs.Read, true)
	why := survey.Evidence{Source: "account", Where: shadow, Text: "has no password in it, and PAM asks it whether an account may be used"}
	m.attrs[node.Path()] = to
	m.do(GrantFile{Path: node.Path(), From: from, To: to, Size: node.Entry().Size, Want: rootfs.Read}, "", why)
	if !m.allowed(to, rootfs.Read) {
		m.note("%s stays unreadable for %s", shadow, fmt.Sprint(m.plan.Identity))
	}
}

// hasPassword reports whether an account has a password that could be tried: not "*", not "!", not behind "!"
// without one (shadow(5)).
func hasPassword(shadow []byte) bool {
	for line := range strings.Lines(string(shadow)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) > 1 && strings.Trim(fields[1], "!*x") != "" {
			return true
		}
	}
	return false
}
