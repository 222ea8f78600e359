package plan

import (
	"fmt"
	"slices"
	"strings"

	"unroot/internal/finding"
	"unroot/internal/survey"
)

// trustDirs names the working directory to programs that distrust one of another owner: an unknown uid
// owns no directory of the image.
func (m *maker) trustDirs() {
	at, ok := survey.Locate(m.survey.View.Tree, m.survey.View.Config.WorkingDir())
	if !ok || m.opts.Group != GroupZero || !slices.Contains(slices.Concat(m.plan.Ephemeral, m.plan.Persistent), at.Path) {
		return
	}
	for _, trust := range survey.Trusts {
		if m.installed(trust.Program) {
			m.trust(trust, at.Path)
		}
	}
}

func (m *maker) trust(trust survey.Trust, dir string) {
	text := fmt.Sprintf(trust.Text, dir)
	why := survey.Evidence{Source: "program", Where: trust.Program, Text: trust.Why}
	file, ok := survey.Locate(m.survey.View.Tree, trust.File)
	if !ok {
		return
	}
	if !file.Exists {
		m.do(WriteFile{Path: file.Path, Attr: Attr{Mode: 0o644}, Content: []byte(text)}, "owner-strict", why)
		return
	}
	before, err := m.survey.View.Content(file.Path)
	if err != nil || strings.Contains(string(before), text) {
		return
	}
	if len(before) > 0 && before[len(before)-1] != '\n' {
		text = "\n" + text
	}
	m.edit(file.Path, before, "owner-strict", why, finding.Edit{Start: len(before), End: len(before), New: text})
}
