package learn

import (
	"slices"
	"strings"

	"unroot/internal/verify"
)

// How programs say what no refused call shows, in lower case: words of C libraries and languages, and of several
// programs each (failure classes A5 and D4).
var (
	// nameless: no account has the uid.
	nameless = []string{"look up effective user", "cannot find name for user", "no user exists for uid", "getpwuid", "uv_os_get_passwd", "invalid null input: name",
		"look up current user", "no passwd entry", "no such user", "unknown uid", "unknown user id", "user does not exist", "i have no name"}
	// owned: something belongs to somebody else, though the program may have given it away or go on without.
	owned = []string{"not owned by", "wrong owner", "bad owner", "wrong ownership", "bad ownership", "must be owned by", "unsafe owner"}
	// complaints: a file belongs to somebody else, or others may read or write it.
	complaints = []string{"must be owned by", "should be owned by", "not owned by", "wrong owner", "bad owner", "unsafe owner", "insecure owner", "too open", "unprotected",
		"by owner only", "invalid permissions", "bad permissions", "wrong permissions", "insecure permissions", "unsafe permissions", "permissions on", "permissions are",
		"insecure file", "accessible by others", "or world access", "world readable", "world-readable", "world writable", "world-writable",
		"group readable", "group-readable", "group writable", "group-writable"}
)

// says gives the last line that a run wrote with one of the words; "" for none.
func says(o verify.Outcome, words []string) string {
	found := ""
	for line := range strings.Lines(o.Stdout + "\n" + o.Stderr) {
		lower := strings.ToLower(line)
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(lower, w) }) {
			found = strings.TrimSpace(line)
		}
	}
	return found
}
