package plan

import (
	"strings"

	"unroot/internal/survey"
)

// decided reports whether the user gave the variable a value, which then is not touched.
func (m *maker) decided(name string) bool {
	for _, e := range m.opts.Env {
		if k, _, _ := strings.Cut(e, "="); k == name {
			return true
		}
	}
	return false
}

// setVariable sets a variable of the image's environment, in its place where it has one.
func (m *maker) setVariable(name, to, mends string, why survey.Evidence) {
	effect := SetEnv{Name: name, To: to, Index: -1}
	for i, e := range m.survey.View.Config.Env() {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			effect.Index, effect.From = i, v
		}
	}
	if effect.Index >= 0 && effect.From == to {
		return
	}
	m.do(effect, mends, why)
}

// setEnv sets what the user asked for.
func (m *maker) setEnv() {
	for _, e := range m.opts.Env {
		name, value, _ := strings.Cut(e, "=")
		m.setVariable(name, value, "", survey.Evidence{Source: "flag", Text: "--env " + e})
	}
}
