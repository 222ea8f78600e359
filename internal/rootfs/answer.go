package rootfs

import (
	"fmt"
	"strings"
)

var classNames = [...]string{"nobody", "owner", "group", "other"}

// String is "owner", "group" or "other".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// String gives the words for a file, such as "read and write", and "see it" for 0.
func (a Access) String() string { return a.words("execute") }

// words gives the rights in words; what exec means depends on the file.
func (a Access) words(exec string) string {
	var words []string
	if a&Read != 0 {
		words = append(words, "read")
	}
	if a&Write != 0 {
		words = append(words, "write")
	}
	if a&Exec != 0 {
		words = append(words, exec)
	}
	switch len(words) {
	case 0:
		return "see it"
	case 3:
		return words[0] + ", " + words[1] + " and " + words[2]
	}
	return strings.Join(words, " and ")
}

// String is the answer in one sentence, such as
// `"/var/lib/redis" is 0750 999:999: other may not search`.
func (a Answer) String() string {
	if a.Err != nil {
		return fmt.Sprintf("%q: %v", a.Path, a.Err)
	}
	what := fmt.Sprintf("%q is %04o %d:%d", a.Path, a.Mode, a.UID, a.GID)
	switch a.Rule {
	case ByMode:
		return what + ": " + a.byMode()
	case ByOwner:
		if a.OK {
			return what + ": the owner may change the mode"
		}
		return what + ": only the owner may change the mode"
	case BySticky:
		return fmt.Sprintf("%s: sticky, and %q belongs to %d: only an owner may remove it", what, a.File, a.Owner)
	case ByProtectedLink:
		return fmt.Sprintf("%s: sticky, and the link %q belongs to %d: fs.protected_symlinks lets only its owner follow it", what, a.File, a.Owner)
	case ByProtectedFile:
		return fmt.Sprintf("%s: sticky, and %q belongs to %d: fs.protected_regular lets only its owner open it with O_CREAT", what, a.File, a.Owner)
	}
	return what
}

func (a Answer) byMode() string {
	exec := "execute"
	if a.IsDir {
		exec = "search"
	}
	if a.OK {
		return a.Class.String() + " may " + a.Want.words(exec)
	}
	return a.Class.String() + " may not " + a.Need.words(exec)
}
