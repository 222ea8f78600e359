package recipe

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"
)

// fit is how well a dialect explains a file.
type fit struct {
	dialect *dialect
	signs   int // statements that only this dialect has
	known   int // statements that it knows, signs included
	total   int // statements and misfits
	misfits int
}

// recognise gives the dialects that fit, best first.
func (r *reading) recognise() []fit {
	if len(bytes.TrimSpace(r.content)) == 0 {
		return nil
	}
	if bare, dormant := uncommented(r.content); dormant {
		// The file of a package that sets nothing yet: what it offers tells whose it is, and the
		// defaults hold.
		return (&reading{suffix: r.suffix, content: bare, lower: asciiLower(bare), docs: map[string]*document{}}).specific()
	}
	for _, generic := range []bool{false, true} {
		if generic && bytes.HasPrefix(r.content, []byte("#!")) {
			return nil // a program: what it assigns is not a setting
		}
		var fits []fit
		for _, d := range dialects().list {
			if d.Generic != generic || !r.possible(d) {
				continue
			}
			if f := r.fit(d); f.accept() {
				fits = append(fits, f)
			}
		}
		if len(fits) > 0 {
			slices.SortStableFunc(fits, r.better)
			return fits
		}
	}
	return nil
}

// specific is recognise without the generic dialects.
func (r *reading) specific() []fit {
	return slices.DeleteFunc(r.recognise(), func(f fit) bool { return f.dialect.Generic })
}

// uncommented gives the settings that a file offers in comments, such as "#port=53". dormant is true
// where every line is a comment or empty, and some offer a setting.
func uncommented(content []byte) (bare []byte, dormant bool) {
	for line := range bytes.Lines(content) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if line[0] != '#' {
			return nil, false
		}
		if len(line) > 1 && ('a' <= line[1] && line[1] <= 'z' || 'A' <= line[1] && line[1] <= 'Z') {
			bare = append(append(bare, line[1:]...), '\n')
		}
	}
	return bare, len(bare) > 0
}

// possible tells in one cheap pass whether any sign of the dialect occurs in the bytes at all.
func (r *reading) possible(d *dialect) bool {
	if d.Generic {
		return true
	}
	for _, s := range d.signs {
		if bytes.Contains(r.lower, s.lower) {
			return true
		}
	}
	return false
}

func (r *reading) fit(d *dialect) fit {
	doc := r.lexed(d.grammarName)
	f := fit{dialect: d, total: len(doc.statements) + doc.misfits, misfits: doc.misfits}
	for i := range doc.statements {
		st := &doc.statements[i]
		key := doc.key(st)
		switch {
		case d.signed(doc, st, key):
			f.signs++
			f.known++
		case d.known[key] || len(d.rulesFor(doc, st, false)) > 0 || len(d.rulesFor(doc, st, true)) > 0:
			f.known++
			if d.Generic && r.anyPort(doc, st, d) {
				f.signs++
			}
		}
	}
	return f
}

// anyPort tells whether a generic rule finds a port in a statement: a key alone says nothing.
func (r *reading) anyPort(doc *document, st *statement, d *dialect) bool {
	for _, rule := range d.rulesFor(doc, st, false) {
		if rule.Role == Listen && len(r.apply(doc, st, rule)) > 0 {
			return true
		}
	}
	return false
}

// accept is the bar: one sign, and half of the file explained; a generic dialect, which knows few
// keys, must at least have been able to read most of the file.
func (f fit) accept() bool {
	if f.dialect.Generic {
		return f.signs > 0 && 2*f.misfits <= f.total
	}
	return f.signs > 0 && 2*f.known >= f.total
}

// better orders fits: by the share of the file that is explained, then by signs, then by suffix.
func (r *reading) better(a, b fit) int {
	return cmp.Or(
		cmp.Compare(b.known*a.total, a.known*b.total),
		cmp.Compare(b.signs, a.signs),
		-boolCompare(slices.Contains(a.dialect.Suffix, r.suffix), slices.Contains(b.dialect.Suffix, r.suffix)),
		cmp.Compare(a.dialect.order, b.dialect.order),
	)
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// signed tells whether a statement is one of the dialect's signs.
func (d *dialect) signed(doc *document, st *statement, key string) bool {
	for i := range d.signs {
		s := &d.signs[i]
		if s.Opens && st.opens == 0 || !globMatch(s.key, key) || s.In != "" && !globMatch(s.In, doc.place(st)) {
			continue
		}
		if s.value == nil || len(st.words) > 1 && s.value.Match(doc.content[st.words[1].start:st.words[len(st.words)-1].end]) {
			return true
		}
	}
	return false
}

// place gives the name of the nearest section that counts, "" for the file itself.
func (d *document) place(st *statement) string {
	return d.sections[d.sections[st.section].known].name
}

func globMatch(glob, name string) bool {
	if !strings.ContainsAny(glob, "*?") {
		return glob == name
	}
	ok, _ := path.Match(strings.ReplaceAll(glob, "[", `\[`), strings.ReplaceAll(name, "/", "."))
	return ok
}

// rulesFor gives the rules of a statement: those for references, or the others.
func (d *dialect) rulesFor(doc *document, st *statement, references bool) []*rule {
	key := doc.key(st)
	var out []*rule
	for _, r := range d.rules[key] {
		if (r.Role == Reference) == references && r.holds(doc, st) {
			out = append(out, r)
		}
	}
	for _, g := range d.globs {
		if (g.rule.Role == Reference) != references {
			continue
		}
		if ok, _ := path.Match(g.glob, strings.ReplaceAll(key, "/", ".")); ok && g.rule.holds(doc, st) {
			out = append(out, g.rule)
		}
	}
	return out
}

// holds tells whether a rule is meant for the place where a statement stands.
func (r *rule) holds(doc *document, st *statement) bool {
	if r.Header && st.opens == 0 {
		return false
	}
	if len(r.In) > 0 {
		place := doc.place(st)
		if !slices.ContainsFunc(r.In, func(in string) bool { return globMatch(doc.grammar.fold(in), place) }) {
			return false
		}
	}
	if len(r.NotIn) == 0 {
		return true
	}
	at := strings.ToLower(doc.path(st))
	return !slices.ContainsFunc(r.NotIn, func(no string) bool { return strings.Contains(at, no) })
}
