package entrypoint

import (
	"cmp"
	"slices"
	"strings"

	"unroot/internal/finding"
)

// What the edits do, in words.
const (
	noteStepDown = "the program starts as the user that the container has, without changing it"
	noteNothing  = "the command does nothing and succeeds: true ignores its arguments"
	noteTried    = "the command is tried, and its failure does not end the start"
	noteOwner    = "the file gets the owner that creates it"
)

// neutral makes a command that needs root harmless. chmod and ulimit are still tried: on files that the
// script made itself, and below the hard limit, they work for everyone. true is used and not ":",
// since assignments before the special builtin ":" would stay (POSIX 2.9.1).
func neutral(k Kind, list []word, at site) ([]finding.Edit, string) {
	switch k {
	case Chmod, Ulimit:
		if edits, note := orTrue(at); edits != nil {
			return edits, note
		}
	case Chown, Setcap, Account, Package, Mount, Network, Kernel, Clock, Mknod, Sysctl:
	default:
		return nil, ""
	}
	first := list[0]
	if !editable(first, at) {
		return nil, ""
	}
	return []finding.Edit{{Start: first.at.start, End: first.at.start, New: "true "}}, noteNothing
}

// editable reports whether the word is written in the command itself, as one word.
func editable(w word, at site) bool {
	return at.in != nil && at.in.fixed == nil && w.in != nil && w.in.path == at.in.path && w.in.fixed == nil && !w.part &&
		w.at.start >= at.at.start && w.at.end <= at.at.end && w.at.end > w.at.start
}

// orTrue puts "|| true" behind a command.
func orTrue(at site) ([]finding.Edit, string) {
	if at.in == nil || at.in.fixed != nil || !at.whole || at.piped || at.exec {
		return nil, ""
	}
	return []finding.Edit{{Start: at.at.end, End: at.at.end, New: " || true"}}, noteTried
}

// withoutOwner deletes the -o and -g words of install(1).
func withoutOwner(u use, list []word, at site) ([]finding.Edit, string) {
	var spans []span
	for _, o := range u.opts {
		if o.name != "o" && o.name != "owner" && o.name != "g" && o.name != "group" {
			continue
		}
		if !o.alone {
			return nil, ""
		}
		for i := range o.words {
			w := list[o.at+i]
			if !editable(w, at) {
				return nil, ""
			}
			spans = append(spans, w.at)
		}
	}
	return deletions(at.in.host, spans), noteOwner
}

// withoutStepDown deletes the words of a step-down tool where they are written, which may be in an
// earlier "set --"; for su it writes the shell that su would start.
func withoutStepDown(s stepped, list []word, more bool, at site) ([]finding.Edit, string) {
	if at.in == nil || at.in.fixed != nil || len(s.rest) == 0 && !more {
		return nil, ""
	}
	keep := make([]bool, len(list))
	last, ordered := -1, true
	for _, p := range s.rest {
		ordered = ordered && p.index > last
		last = p.index
		if p.index >= 0 {
			keep[p.index] = true
		}
	}
	if !ordered {
		return rewritten(s, list, at)
	}
	var spans []span
	for i, w := range list {
		if keep[i] {
			continue
		}
		if w.in == nil || w.in.path != at.in.path || w.in.fixed != nil || w.at.end <= w.at.start {
			return nil, ""
		}
		for j, other := range list {
			if keep[j] && other.in != nil && other.in.path == w.in.path && other.at == w.at {
				return nil, "" // one written word gives both
			}
		}
		spans = append(spans, w.at)
	}
	return deletions(at.in.host, spans), noteStepDown
}

// rewritten replaces the words up to those that stay at the end.
func rewritten(s stepped, list []word, at site) ([]finding.Edit, string) {
	same := 0
	for same < len(s.rest) && s.rest[len(s.rest)-1-same].index == len(list)-1-same {
		same++
	}
	var text []string
	for _, p := range s.rest[:len(s.rest)-same] {
		switch {
		case p.taken:
			return nil, ""
		case p.index < 0:
			text = append(text, p.text)
		case p.index < s.at: // a wrapper in front stays where it is
		case !editable(list[p.index], at):
			return nil, ""
		default:
			text = append(text, at.in.raw(list[p.index].at))
		}
	}
	first, end := list[s.at], at.at
	if !editable(first, at) {
		return nil, ""
	}
	cut := span{first.at.start, list[len(list)-1].here.end}
	if same > 0 {
		next := list[len(list)-same]
		if next.here.start <= first.at.start || len(list) > same && list[len(list)-same-1].here == next.here {
			return nil, ""
		}
		cut.end = next.here.start
		text = append(text, "")
	}
	if cut.end > end.end || cut.end < cut.start || strings.ContainsAny(at.in.host[cut.start:cut.end], "<>") {
		return nil, "" // a redirection stands between the words
	}
	return []finding.Edit{{Start: cut.start, End: cut.end, New: strings.Join(text, " ")}}, noteStepDown
}

// deletions takes words away with the blanks behind them, or before them at the end of a command.
func deletions(host string, spans []span) []finding.Edit {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	spans = slices.Compact(spans)
	var edits []finding.Edit
	for _, s := range spans {
		e := finding.Edit{Start: s.start, End: s.end + blanks(host[s.end:])}
		if n := len(edits); n > 0 && edits[n-1].End >= e.Start {
			edits[n-1].End = e.End
			continue
		}
		edits = append(edits, e)
	}
	for i, e := range edits {
		if e.End == len(host) || strings.IndexByte("\n;&|)", host[e.End]) >= 0 {
			edits[i].Start -= len(host[:e.Start]) - len(strings.TrimRight(host[:e.Start], " \t"))
		}
	}
	return edits
}

// blanks counts the bytes of blanks and continued lines at the start.
func blanks(s string) int {
	n := 0
	for n < len(s) {
		switch {
		case s[n] == ' ' || s[n] == '\t':
			n++
		case strings.HasPrefix(s[n:], "\\\n"):
			n += 2
		default:
			return n
		}
	}
	return n
}

// checkEdits keeps the edits only where every edited script still parses with all of them.
func (r *reader) checkEdits(tasks []Task) {
	byScript := map[string][]*Task{}
	for i := range tasks {
		if len(tasks[i].Edits) > 0 {
			byScript[tasks[i].Script] = append(byScript[tasks[i].Script], &tasks[i])
		}
	}
	for script, list := range byScript {
		host, ok := r.hosts[script]
		if !ok || !host.parsesWith(list) {
			r.checkOneByOne(host, list)
		}
	}
}

// checkOneByOne drops the edits that do not go together with those before them.
func (r *reader) checkOneByOne(host host, list []*Task) {
	var good []*Task
	for i, t := range list {
		if host.text != "" && i < maxItems && host.parsesWith(append(good[:len(good):len(good)], t)) {
			good = append(good, t)
		} else {
			t.Edits, t.EditNote = nil, ""
		}
	}
}

// host is a script with its shell.
type host struct {
	text    string
	dialect dialect
}

func (h host) parsesWith(tasks []*Task) bool {
	var edits []finding.Edit
	for _, t := range tasks {
		edits = append(edits, t.Edits...)
	}
	out, err := finding.Apply([]byte(h.text), edits)
	if err != nil {
		return false
	}
	_, err = parse(string(out), h.dialect)
	return err == nil
}
