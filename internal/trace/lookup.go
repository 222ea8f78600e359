package trace

import (
	"path"
	"slices"
	"strings"
)

// accountFiles are what a C library reads to find a user, and whom it asks before (getpwuid(3), nscd(8)).
var accountFiles = map[string]bool{"/etc/passwd": true, "unix /var/run/nscd/socket": true, "unix /run/nscd/socket": true}

// Lookups gives the programs that looked a user up in a run, by reading the account file or by asking a name
// service cache daemon, one for each program, ordered by Seq. Whether it was their own user the kernel does not see.
func Lookups(l Log) []Need {
	found := folder[Need]{}
	for _, e := range l.Events {
		looks := e.Kind == Open && e.Errno == "" && strings.Contains(e.Want, "r") && accountFiles[e.Path] ||
			e.Kind == Connect && accountFiles[e.Addr]
		if !looks || e.Exe == "" || e.Exe == l.Aside {
			continue
		}
		found.at(e.Exe, func() *Need {
			return &Need{Kind: e.Kind, Call: e.Call, Path: e.Path, Addr: e.Addr, Want: e.Want, Exe: e.Exe, PID: e.PID, Seq: e.Seq}
		}).Count++
	}
	return found.list()
}

// Accounts is the file in which a C library finds users (passwd(5)).
const Accounts = "/etc/passwd"

// Telling leaves out of what LastRead gives what a C library reads by itself: messages, clocks, libraries (locale(7),
// tzset(3), ld.so(8)). A check that a program makes is not about it.
func Telling(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		for _, part := range []string{"/locale", "/gconv", "/zoneinfo", "/etc/localtime", "/etc/ld.so", "/charset.alias"} {
			if strings.Contains(name, part) {
				return true
			}
		}
		return strings.Contains(path.Base(name), ".so")
	})
}
