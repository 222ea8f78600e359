package account

import (
	"bufio"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Resolve gives the identity that Docker, containerd and runc start a process with: the rules of
// GetExecUser in github.com/moby/sys/user, which all three use. The runtimes read the account files
// more loosely than a libc (a field that is no number is 0, "#" is no comment in passwd), so this
// does not use ByName. An empty user is uid 0; supplementary groups come from the group file only
// where no group is named; the group of a number without an account is 0.
//
// It fails with a *NoEntryError for a name that is not there, with ErrRange for a number that
// runtimes refuse, and where a line is too long for them (64 KiB in passwd, 1 MiB in group).
func Resolve(u User, passwd Passwd, group Group) (Identity, error) {
	user, err := parseArg(u.User)
	if err != nil {
		return Identity{}, fmt.Errorf("resolving user %q: %w", u, err)
	}
	wanted, err := parseArg(u.Group)
	if err != nil {
		return Identity{}, fmt.Errorf("resolving user %q: %w", u, err)
	}
	who, err := findUser(user, passwd)
	if err != nil {
		return Identity{}, err
	}
	groups := []int64{}
	switch {
	case wanted.text != "":
		who.group, err = findGroup(wanted, group)
	case who.name != "":
		groups, err = groupsOf(who.name, group)
	}
	if err != nil {
		return Identity{}, err
	}
	return who.identity(u, groups)
}

// IsRoot reports whether runtimes start the process with uid 0, however that is written: not at
// all, "0", "00", "+0", "root:x", or a name whose account has uid 0. A name that has no account is
// not root: nothing is started.
func IsRoot(u User, passwd Passwd) bool {
	user, err := parseArg(u.User)
	if err != nil {
		return false
	}
	who, err := findUser(user, passwd)
	return err == nil && uint32(who.id) == 0
}

// runtimeLine is what runtimes read of one line of passwd or group.
type runtimeLine struct {
	name    string
	id      int64    // uid or gid
	group   int64    // passwd: the primary group
	home    string   // passwd
	members []string // group
}

// identity turns the numbers into the kernel's. Runtimes cut what an account file says to 32 bits
// without a look, so 4294967296 is root; only "no id" is refused, by the kernel itself.
func (l runtimeLine) identity(u User, groups []int64) (Identity, error) {
	id := Identity{UID: uint32(l.id), GID: uint32(l.group), Name: l.name, Home: l.home}
	for _, gid := range groups {
		if uint32(gid) != id.GID {
			id.Groups = append(id.Groups, uint32(gid))
		}
	}
	for _, n := range append(slices.Clone(id.Groups), id.UID, id.GID) {
		if n > MaxID {
			return Identity{}, fmt.Errorf("resolving user %q: the account files give id %d, which the kernel refuses", u, n)
		}
	}
	return id, nil
}

func findUser(user arg, passwd Passwd) (runtimeLine, error) {
	wanted := user
	if user.text == "" {
		wanted = arg{text: "0", numeric: true}
	}
	found, err := runtimeLines(passwd.t.text, bufio.MaxScanTokenSize, parsePasswdLoosely, wanted.fits)
	switch {
	case err != nil:
		return runtimeLine{}, fmt.Errorf("unable to find user %s: %w", wanted.text, err)
	case len(found) > 0:
		return found[0], nil
	case !wanted.numeric:
		return runtimeLine{}, &NoEntryError{Kind: "user", Name: user.text}
	}
	return runtimeLine{id: wanted.id}, nil
}

// maxGroupLine is how long a line of the group file may be for runtimes.
const maxGroupLine = 1 << 20

func findGroup(wanted arg, group Group) (int64, error) {
	found, err := runtimeLines(group.t.text, maxGroupLine, parseGroupLoosely, wanted.fits)
	switch {
	case err != nil:
		return 0, fmt.Errorf("unable to find group %s: %w", wanted.text, err)
	case len(found) > 0:
		return found[0].id, nil
	case !wanted.numeric:
		return 0, &NoEntryError{Kind: "group", Name: wanted.text}
	}
	return wanted.id, nil
}

func groupsOf(name string, group Group) ([]int64, error) {
	member := func(l runtimeLine) bool { return slices.Contains(l.members, name) }
	found, err := runtimeLines(group.t.text, maxGroupLine, parseGroupLoosely, member)
	if err != nil {
		return nil, fmt.Errorf("unable to find groups of %s: %w", name, err)
	}
	gids := make([]int64, len(found))
	for i, l := range found {
		gids[i] = l.id
	}
	return gids, nil
}

// runtimeLines gives the lines that fit. It goes through the file with the same scanner as runtimes
// do, so that it fails on the same lines, even behind the one that is looked for.
func runtimeLines(text string, longest int, parse func(string) (runtimeLine, bool), fits func(runtimeLine) bool) ([]runtimeLine, error) {
	scanner := bufio.NewScanner(strings.NewReader(text))
	scanner.Buffer(nil, longest)
	var found []runtimeLine
	for scanner.Scan() {
		line := strings.TrimSpace(scanner.Text())
		if line == "" {
			continue
		}
		if l, ok := parse(line); ok && fits(l) {
			found = append(found, l)
		}
	}
	return found, scanner.Err()
}

func parsePasswdLoosely(line string) (runtimeLine, bool) {
	f := append(strings.Split(line, ":"), "", "", "", "", "")
	return runtimeLine{name: f[0], id: looseNumber(f[2]), group: looseNumber(f[3]), home: f[5]}, true
}

func parseGroupLoosely(line string) (runtimeLine, bool) {
	if line[0] == '#' {
		return runtimeLine{}, false
	}
	f := append(strings.Split(line, ":"), "", "", "")
	l := runtimeLine{name: f[0], id: looseNumber(f[2])}
	if f[3] != "" {
		l.members = strings.Split(f[3], ",")
	}
	return l, true
}

// looseNumber is 0 for what is no number, and the nearest 64-bit number for what is too large.
func looseNumber(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
