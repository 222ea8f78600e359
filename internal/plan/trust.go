package plan

import (
	"fmt"
	"slices"
	"strings"

	"unroot/internal/finding"
	"unroot/internal/survey"
)

// trustDirs names directories to programs that distrust those of another owner: the working directory,
// and those in the image that the program is made for. An unknown uid owns no directory of the image.
func (m *maker) trustDirs() {
	if m.opts.Group != GroupZero {
		return
	}
	var written []string
	at, ok := survey.Locate(m.survey.View.Tree, m.survey.View.Config.WorkingDir())
	if ok && slices.Contains(slices.Concat(m.plan.Ephemeral, m.plan.Persistent), at.Path) {
		written = []string{at.Path}
	}
	for _, trust := range survey.Trusts {
		if !m.installed(trust.Program) {
			continue
		}
		dirs := append(slices.Clone(written), m.survey.Trusted(trust)...)
		slices.Sort(dirs)
		if dirs = slices.Compact(dirs); len(dirs) > 0 {
			m.trust(trust, dirs)
		}
	}
}

func (m *maker) trust(trust survey.Trust, dirs []string) {
	why := survey.Evidence{Source: "program", Where: trust.Program, Text: trust.Why}
	file, ok := survey.Locate(m.survey.View.Tree, trust.File)
	if !ok {
		return
	}
	var before []byte
	if file.Exists {
		var err error
		if before, err = m.survey.View.Content(file.Path); err != nil {
			return
		}
	}
	text := ""
	for _, dir := range dirs {
		if line := fmt.Sprintf(trust.Text, dir); !strings.Contains(string(before), line) {
			text += line
		}
	}
	switch {
	case text == "":
	case !file.Exists:
		m.do(WriteFile{Path: file.Path, Attr: Attr{Mode: 0o644}, Content: []byte(text)}, "owner-strict", why)
	default:
		if len(before) > 0 && before[len(before)-1] != '\n' {
			text = "\n" + text
		}
		m.edit(file.Path, before, "owner-strict", why, finding.Edit{Start: len(before), End: len(before), New: text})
	}
}
