package verify

import (
	"fmt"
	"slices"
	"strings"
)

// Against compares a proof with an older one of the same images: verdicts, identities, ends, programs,
// sockets and answers. Durations, process numbers, counts of events, the runner and the program's
// version do not count. Nothing is given where the new one says the same.
func Against(older, newer Proof) []Difference {
	d := &differences{}
	d.add("candidate", older.Candidate.Digest, newer.Candidate.Digest)
	d.add("platform", older.Candidate.Platform, newer.Candidate.Platform)
	d.add("baseline", digestOf(older.Baseline), digestOf(newer.Baseline))
	d.add("emulation", older.Expect.Compat, newer.Expect.Compat)
	d.add("verdict", string(older.Verdict), string(newer.Verdict))
	d.add("reasons", reasonsOf(older.Reasons), reasonsOf(newer.Reasons))
	if older.Original != nil && newer.Original != nil {
		d.observed("baseline", *older.Original, *newer.Original)
	}
	for _, r := range older.Results {
		at := slices.IndexFunc(newer.Results, func(n Result) bool { return n.Run == r.Run })
		if at < 0 {
			d.add(r.Run, "run", "not run")
			continue
		}
		n := newer.Results[at]
		d.add(r.Run+": verdict", string(r.Word), string(n.Word))
		d.add(r.Run+": reasons", reasonsOf(r.Reasons), reasonsOf(n.Reasons))
		d.add(r.Run+": confinement", r.confinement(), n.confinement())
		d.observed(r.Run, r.Observed, n.Observed)
	}
	for _, n := range newer.Results {
		if !slices.ContainsFunc(older.Results, func(r Result) bool { return r.Run == n.Run }) {
			d.add(n.Run, "not run", "run")
		}
	}
	return d.list
}

type differences struct{ list []Difference }

func (d *differences) add(what, before, after string) {
	if before != after {
		d.list = append(d.list, Difference{What: what, Before: before, After: after})
	}
}

func (d *differences) observed(run string, older, newer Observed) {
	d.add(run+": identity", fmt.Sprint(older.Identity.UID, older.Identity.GID, older.Identity.Groups), fmt.Sprint(newer.Identity.UID, newer.Identity.GID, newer.Identity.Groups))
	d.add(run+": end", endText(older), endText(newer))
	if older.End == EndSteady && newer.End == EndSteady { // else it is chance which were seen last
		d.add(run+": programs", strings.Join(Programs(older.Processes), ", "), strings.Join(Programs(newer.Processes), ", "))
	}
	d.add(run+": identities", identitiesOf(older), identitiesOf(newer))
	d.add(run+": sockets", socketsOf(older.Sockets), socketsOf(newer.Sockets))
	d.add(run+": answers", answersOf(older), answersOf(newer))
}

func digestOf(s *Subject) string {
	if s == nil {
		return ""
	}
	return s.Digest
}

func reasonsOf(reasons []Reason) string {
	var ids []string
	for _, r := range reasons {
		ids = append(ids, string(r.ID))
	}
	return sorted(ids)
}

// sorted is a set of words as one text.
func sorted(words []string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ", ")
}

func (r Result) confinement() string {
	var paths []string
	for _, v := range r.Volumes {
		paths = append(paths, v.Path+" ("+string(v.Seed)+")")
	}
	return fmt.Sprintf("read-only %t, ports from %d, tmpfs %s, volumes %s", r.ReadOnly, r.PortStart, sorted(slices.Clone(r.Tmpfs)), sorted(paths))
}

func endText(o Observed) string {
	if o.End == EndExited {
		return fmt.Sprintf("%s with status %d", o.End, o.Status)
	}
	return string(o.End)
}

// identitiesOf is every uid, group and capability set that was seen, without whose.
func identitiesOf(o Observed) string {
	var all []string
	for _, p := range slices.Concat(o.Processes, o.Seen) {
		c := p.Creds
		all = append(all, fmt.Sprintf("uids %v gids %v caps %x", c.UIDs, c.GIDs, c.Caps))
	}
	return sorted(all)
}

// socketsOf leaves out the numbers that may be others in each run: ports of the local range and what is
// in names of UNIX sockets.
func socketsOf(sockets []Socket) string {
	var all []string
	for _, s := range sockets {
		text := SocketText(s)
		switch {
		case s.Proto == "unix":
			text = withoutNumbers(text)
		case s.Port >= localPortFirst && s.Port <= localPortLast:
			text = strings.TrimSuffix(text, fmt.Sprint(s.Port)) + "local"
		}
		all = append(all, text+" "+s.Program)
	}
	return sorted(all)
}

func answersOf(o Observed) string {
	var all []string
	for _, a := range o.Answers {
		all = append(all, fmt.Sprintf("%s: %s", probeName(a.Probe), a.Shape))
	}
	if o.Health != nil {
		all = append(all, "health: "+o.Health.Shape)
	}
	return sorted(all)
}
