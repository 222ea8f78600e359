package recipe

import "strings"

// span is a value within a statement.
type span struct {
	start, end int
	partial    bool
	from, to   int // where only a part of the statement is the directive; to is 0 otherwise
}

// apply gives what one rule finds in one statement.
func (r *reading) apply(doc *document, st *statement, rule *rule) []Directive {
	base := Directive{
		Role: rule.Role, Key: doc.text(st.words[0]), Line: doc.lineAt(st.start),
		Section: doc.sections[st.section].label, Start: st.start, End: st.end,
		Dir:  rule.Dir || rule.Role == StateDir || rule.Role == Chroot || rule.Role == Document,
		Drop: rule.Drop, Fatal: rule.Fatal, Instead: rule.Instead,
	}
	values := rule.values(doc, st)
	if rule.Kind == "flag" {
		if len(values) == 0 { // a bare word: its presence is its value
			base.ValueStart, base.ValueEnd = st.words[0].end, st.words[0].end
			return []Directive{base}
		}
	}
	var out []Directive
	for _, v := range values {
		v, ok := rule.narrow(doc, v)
		if !ok {
			continue
		}
		d := base
		d.Value, d.ValueStart, d.ValueEnd, d.Partial = string(doc.content[v.start:v.end]), v.start, v.end, v.partial
		if v.to != 0 {
			d.Start, d.End = v.from, v.to
		}
		if d, ok = rule.interpret(doc, st, d); ok {
			out = append(out, d)
		}
	}
	return out
}

// values gives the words of a statement that a rule means.
func (r *rule) values(doc *document, st *statement) []span {
	args := st.words[1:]
	var out []span
	take := func(w word) { out = append(out, r.split(doc, w)...) }
	switch {
	case r.After != "":
		return r.valuesAfter(doc, st)
	case r.Arg < 0:
		take(st.words[0])
	case len(args) == 0:
	case r.Rest:
		out = append(out, span{start: args[0].start, end: args[len(args)-1].end})
	case r.Each:
		for _, w := range args {
			take(w)
		}
	case r.Arg < len(st.words):
		take(st.words[max(r.Arg, 1)])
	}
	return out
}

// valuesAfter gives the words that follow a certain word. Where that is absent and a port implied,
// the value is empty and stands after the key, where it would be written.
func (r *rule) valuesAfter(doc *document, st *statement) []span {
	var out []span
	args := st.words[1:]
	for i := 0; i+1 < len(args); i++ {
		if args[i].quoted || doc.text(args[i]) != r.After {
			continue
		}
		for _, v := range r.split(doc, args[i+1]) {
			if r.Pair {
				v.from, v.to = args[i].rawStart, args[i+1].rawEnd
			}
			out = append(out, v)
		}
	}
	if r.Implied != 0 && len(out) == 0 {
		at := st.words[0].rawEnd
		return []span{{start: at, end: at}}
	}
	return out
}

// split cuts a word at the rule's separator, and trims each part.
func (r *rule) split(doc *document, w word) []span {
	if r.Split == "" {
		return []span{{start: w.start, end: w.end, partial: w.partial}}
	}
	var out []span
	at := w.start
	for _, part := range strings.Split(doc.text(w), r.Split) {
		trimmed := strings.TrimSpace(part)
		start := at + strings.Index(part, trimmed)
		if trimmed != "" {
			out = append(out, span{start: start, end: start + len(trimmed), partial: w.partial})
		}
		at += len(part) + len(r.Split)
	}
	return out
}

// narrow applies the rule's patterns to a value.
func (r *rule) narrow(doc *document, v span) (span, bool) {
	if r.not != nil && r.not.Match(doc.content[v.start:v.end]) {
		return v, false
	}
	if r.match == nil {
		return v, true
	}
	m := r.match.FindSubmatchIndex(doc.content[v.start:v.end])
	if m == nil || m[2] < 0 {
		return v, false
	}
	v.start, v.end = v.start+m[2], v.start+m[3]
	return v, true
}

// interpret reads a value by the rule's kind.
func (r *rule) interpret(doc *document, st *statement, d Directive) (Directive, bool) {
	switch r.Kind {
	case "flag":
		switch strings.ToLower(d.Value) {
		case "no", "false", "off", "0":
			return d, false
		}
		return d, true
	case "path", "text":
		return d, d.Value != "" || d.Partial
	case "host":
		d.Host, d.Proto = d.Value, r.proto(doc, st)
		return d, d.Value != "" && hostShaped(d.Value) || strings.HasPrefix(d.Value, "[")
	case "port":
		return r.portOnly(doc, st, d)
	case "url":
		return r.url(doc, st, d)
	}
	return r.listen(doc, st, d, d.Value, d.ValueStart)
}

func (r *rule) portOnly(doc *document, st *statement, d Directive) (Directive, bool) {
	d.Proto = r.proto(doc, st)
	if d.Value == "" && r.Implied != 0 {
		d.Implied, d.Insert, d.PortStart, d.PortEnd = r.Implied, r.Insert, d.ValueEnd, d.ValueEnd
		return d, true
	}
	first, last, start, end, ok := readPort(d.Value)
	if !ok || d.Partial {
		return d, false
	}
	d.Port, d.PortLast = first, last
	if first != 0 {
		d.PortStart, d.PortEnd = d.ValueStart+start, d.ValueStart+end
	}
	return d, true
}

// url reads "scheme://host:port/…", or an address without a scheme.
func (r *rule) url(doc *document, st *statement, d Directive) (Directive, bool) {
	text, at := d.Value, d.ValueStart
	if i := strings.Index(text, "://"); i >= 0 {
		text, at = text[i+3:], at+i+3
	}
	if i := strings.IndexAny(text, "/?#"); i >= 0 && i > 0 {
		text = text[:i]
	}
	return r.listen(doc, st, d, text, at)
}

// listen reads an address into d. text stands at offset at.
func (r *rule) listen(doc *document, st *statement, d Directive, text string, at int) (Directive, bool) {
	a, ok := readAddress(text, r.Rule)
	if !ok || d.Partial {
		return d, false
	}
	if a.socket != "" {
		d.Role, d.Value, d.ValueStart = Socket, a.socket, at+a.socketStart
		d.ValueEnd = d.ValueStart + len(a.socket)
		return d, r.Role == Listen && !r.Wildcard
	}
	if r.NeedPort && a.port == 0 {
		return d, false
	}
	if r.Loopback && !loopbackHost(a.host) || r.Wildcard && !anyHost(a.host) {
		return d, false
	}
	d.Host, d.Port, d.PortLast = a.host, a.port, a.last
	if d.Proto = a.proto; d.Proto == "" {
		d.Proto = r.proto(doc, st)
	}
	switch {
	case a.portStart >= 0:
		d.PortStart, d.PortEnd = at+a.portStart, at+a.portEnd
	case a.insertAt > 0 && r.Implied != 0 && takesPort(a.host):
		d.Implied, d.Insert = r.Implied, r.Insert
		d.PortStart, d.PortEnd = at+a.insertAt, at+a.insertAt
	}
	return d, true
}

// takesPort tells whether a port can be written behind a host: not behind a variable, which may
// hold one, and not behind IPv6 without brackets.
func takesPort(host string) bool {
	return !strings.HasSuffix(host, "}") && (strings.HasPrefix(host, "[") || !strings.Contains(host, ":"))
}

// proto gives the protocol of a statement: a word of it may say so.
func (r *rule) proto(doc *document, st *statement) string {
	for _, w := range st.words[1:] {
		if p := r.Protos[doc.text(w)]; p != "" {
			return p
		}
	}
	if r.Proto != "" {
		return r.Proto
	}
	return "tcp"
}

// missing gives the directives that have an effect by their absence from a section. Another file
// of the same program may still name them; who reads several files has to look.
func (r *reading) missing(doc *document, d *dialect) []Directive {
	var out []Directive
	for _, m := range d.Missing {
		s := doc.sectionNamed(m.In)
		if s == nil || doc.hasAny(m.Unless, m.Section) {
			continue
		}
		label := s.label
		if m.Section != "" {
			label = m.Section
		}
		out = append(out, Directive{
			Role: m.Role, Key: m.Unless[0], Line: doc.lineAt(s.bodyAt), Section: label, Proto: m.proto(),
			Start: s.bodyAt, End: s.bodyAt, ValueStart: s.bodyAt, ValueEnd: s.bodyAt,
			PortStart: s.bodyAt, PortEnd: s.bodyAt, Implied: m.Implied, Insert: m.Insert, Drop: m.Drop, Fatal: m.Fatal, Absent: true, Hint: m.Hint,
		})
	}
	return out
}

// proto gives the protocol of what is listened on, "" for what is no port.
func (m *Absent) proto() string {
	if m.Proto == "" && m.Role == Listen {
		return "tcp"
	}
	return m.Proto
}

// sectionNamed gives the first outermost section of a name, nil without one; the file itself for "".
func (d *document) sectionNamed(name string) *section {
	if name == "" {
		return &d.sections[0]
	}
	name = d.grammar.fold(name)
	for i := 1; i < len(d.sections); i++ {
		if s := &d.sections[i]; s.name == name && s.parent == 0 {
			return s
		}
	}
	return nil
}

// hasAny tells whether the document has one of the keys: anywhere, or in or as the header of the sections
// with a label.
func (d *document) hasAny(keys []string, label string) bool {
	for i := range d.statements {
		st := &d.statements[i]
		if label != "" && d.sections[st.section].label != label && (st.opens == 0 || d.sections[st.opens].label != label) {
			continue
		}
		for _, key := range keys {
			if d.key(st) == d.grammar.fold(key) {
				return true
			}
		}
	}
	return false
}
