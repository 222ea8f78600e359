package account

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode"
)

// GroupEntry is one group of a group file, group(5).
type GroupEntry struct {
	Name     string
	Password string   // "x" or empty in practice
	GID      uint32   //
	Members  []string // names of the users that have it as a supplementary group
}

// NewGroupEntry gives a group without a password. It fails on a name that the file cannot hold.
func NewGroupEntry(name string, gid uint32, members ...string) (GroupEntry, error) {
	e := GroupEntry{Name: name, Password: "x", GID: gid, Members: members}
	return e, e.check()
}

func (e GroupEntry) check() error {
	errs := []error{checkName("group", e.Name), checkField("password", e.Password), checkID("gid", e.GID)}
	for _, member := range e.Members {
		errs = append(errs, checkName("member", member))
	}
	return errors.Join(errs...)
}

// String is the entry as a line of the file, without the newline.
func (e GroupEntry) String() string {
	return fmt.Sprintf("%s:%s:%d:%s", e.Name, e.Password, e.GID, strings.Join(e.Members, ","))
}

// Group is a group file: its bytes as they came and the groups in them. The zero value is an empty
// (or missing) file. Values do not change; With and WithMember give a new one.
type Group struct{ t table[GroupEntry] }

// ParseGroup reads a group file, as leniently as ParsePasswd; the list of members may be missing.
func ParseGroup(b []byte) Group { return Group{parseTable(b, parseGroupLine)} }

func parseGroupLine(line string) (GroupEntry, error) {
	fields := strings.SplitN(line, ":", 4)
	if len(fields) < 3 {
		return GroupEntry{}, fmt.Errorf("%d fields, want 4", len(fields))
	}
	if fields[0] == "" {
		return GroupEntry{}, errors.New("group name is empty")
	}
	gid, err := parseID("gid", fields[2])
	if err != nil {
		return GroupEntry{}, err
	}
	e := GroupEntry{Name: fields[0], Password: fields[1], GID: gid}
	if len(fields) == 4 {
		for member := range strings.SplitSeq(fields[3], ",") {
			if member = strings.TrimSpace(member); member != "" {
				e.Members = append(e.Members, member)
			}
		}
	}
	return e, nil
}

// Bytes is the file: exactly the bytes that were parsed, and what With and WithMember added. The
// caller owns it.
func (g Group) Bytes() []byte { return []byte(g.t.text) }

// All gives the groups in file order.
func (g Group) All() iter.Seq[GroupEntry] { return g.t.all() }

// Malformed gives the lines that lookups skip although they are no comment; at most 100.
func (g Group) Malformed() []Malformed { return g.t.malformed }

// ByName gives the first group of that name, as getgrnam(3) does.
func (g Group) ByName(name string) (GroupEntry, bool) {
	return g.t.find(func(e GroupEntry) bool { return e.Name == name })
}

// ByGID gives the first group with that gid, as getgrgid(3) does.
func (g Group) ByGID(gid uint32) (GroupEntry, bool) {
	return g.t.find(func(e GroupEntry) bool { return e.GID == gid })
}

// Of gives the gids of all groups that name the user as a member, in file order. The user's primary
// group is not among them unless it names the user too.
func (g Group) Of(user string) []uint32 {
	var gids []uint32
	for _, e := range g.t.entries {
		if slices.Contains(e.Members, user) {
			gids = append(gids, e.GID)
		}
	}
	return gids
}

// With gives the file with one more line: at the end, but before NIS lines. A file that has a group
// of that name already is given back as it is. It fails on an entry that the file cannot hold.
func (g Group) With(e GroupEntry) (Group, error) {
	if err := e.check(); err != nil {
		return g, fmt.Errorf("adding group %q: %w", e.Name, err)
	}
	if _, ok := g.ByName(e.Name); ok {
		return g, nil
	}
	with := ParseGroup([]byte(withLine(g.t.text, e.String())))
	if _, ok := with.ByName(e.Name); !ok {
		return g, fmt.Errorf("adding group %q: %w", e.Name, errTooLarge)
	}
	return with, nil
}

// WithMember gives the file with the user added at the end of the first group of that name; every
// other byte stays. A member already there is not added twice. It fails with a *NoEntryError where
// there is no such group, and on a user name that the file cannot hold.
func (g Group) WithMember(name, user string) (Group, error) {
	if err := checkName("member", user); err != nil {
		return g, fmt.Errorf("adding to group %q: %w", name, err)
	}
	entry, ok := g.ByName(name)
	if !ok {
		return g, fmt.Errorf("adding user %q: %w", user, &NoEntryError{Kind: "group", Name: name})
	}
	if slices.Contains(entry.Members, user) {
		return g, nil
	}
	at, added := g.memberPlace(name, user)
	with := ParseGroup([]byte(g.t.text[:at] + added + g.t.text[at:]))
	if entry, _ := with.ByName(name); !slices.Contains(entry.Members, user) {
		return g, fmt.Errorf("adding user %q to group %q: %w", user, name, errTooLarge)
	}
	return with, nil
}

// memberPlace gives the offset behind the last member of the group, and the bytes to put there.
func (g Group) memberPlace(name, user string) (int, string) {
	for span := range lines(g.t.text) {
		raw := strings.TrimRightFunc(span.of(g.t.text), unicode.IsSpace)
		line := strings.TrimSpace(raw)
		if line == "" || line[0] == '#' || isCompat(line) || len(line) > MaxLine {
			continue
		}
		if entry, err := parseGroupLine(line); err != nil || entry.Name != name {
			continue
		}
		separator := ","
		switch {
		case strings.Count(line, ":") == 2: // the list of members is missing with its colon
			separator = ":"
		case strings.HasSuffix(line, ":"), strings.HasSuffix(line, ","):
			separator = ""
		}
		return span.start + len(raw), separator + user
	}
	return len(g.t.text), "" // not reached: ByName found the line by the same rules
}
