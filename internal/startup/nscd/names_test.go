//go:build linux

package nscd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"unroot/internal/oracle"
	"unroot/internal/startup/libc"
)

func TestAddedAccount(t *testing.T) {
	t.Parallel()
	_, f := serve(t, testPasswd, testGroup)
	want := "user\x00x\x00container user\x00/home/app\x00/bin/sh\x00"
	for k, key := range map[kind]string{getpwbyuid: "1000700000", getpwbyname: "user"} {
		if says, answer := lookUp(t, f.Socket, k, key); says != found || !strings.HasSuffix(answer, want) {
			t.Errorf("kind %d, key %q: %d, %q", k, key, says, answer)
		}
	}
	if _, answer := lookUp(t, f.Socket, initgroups, "user"); answer != string(appendGroups(nil, []uint32{0, 0, 5, 4000000000})) {
		t.Errorf("groups of the added account: %q", answer)
	}
	for k, key := range map[kind]string{getpwbyuid: "1000700001", getpwbyname: "container", getgrbygid: "1000700000", getgrbyname: "user"} {
		if says, _ := lookUp(t, f.Socket, k, key); says != none {
			t.Errorf("kind %d, key %q: %d, want none", k, key, says)
		}
	}
}

func TestAddedNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		passwd, wanted, name string
	}{
		{"", "", "user"},
		{"", "alice", "alice"},
		{"alice:x:5:5:::\n", "alice", "user"},
		{"user:x:5:5:::\nalice:x:6:6:::\n", "alice", "container"},
		{"user:x:5:5:::\ncontainer:x:6:6:::\n", "", "user1000700000"},
		{"", "1000", "user"},
		{"", "a:b", "user"},
		{"", "-a", "user"},
		{"", strings.Repeat("a", 33), "user"},
		{"app:x:1000700000:0:::\n", "alice", ""},
	} {
		path := filepath.Join(t.TempDir(), "passwd")
		put(t, path, test.passwd)
		if got := Name(Facts{UID: testUID, Passwd: path, Name: test.wanted}); got != test.name {
			t.Errorf("passwd %q, wanted %q: name %q, want %q", test.passwd, test.wanted, got, test.name)
		}
	}
}

func TestAddedGroup(t *testing.T) {
	t.Parallel()
	_, f := serve(t, "", "user:x:7:\n")
	if says, answer := lookUp(t, f.Socket, getgrbygid, "0"); says != found || !strings.HasSuffix(answer, "container\x00x\x00") {
		t.Errorf("group 0, which the file lacks: %d, %q", says, answer)
	}
	if says, answer := lookUp(t, f.Socket, getgrbyname, "user"); says != found || number([]byte(answer)[16:]) != 7 {
		t.Errorf("group user of the file: %d, %q", says, answer)
	}
}

// TestFilesChange changes files under a responder, several times within a tick of the clock.
func TestFilesChange(t *testing.T) {
	t.Parallel()
	_, f := serve(t, "root:x:0:0:::\n", "")
	for i, test := range []struct{ passwd, name string }{
		{"root:x:0:0:::\n", "user"},
		{"a001:x:1000700000:0:::\n", "a001"}, // as CRI-O and Podman add it
		{"a002:x:1000700000:0:::\n", "a002"},
		{"", "user"},
		{"user:x:0:0:::\n", "container"},
		{strings.Repeat("x:x:9:9:::\n", keepLen/8) + "big1:x:1000700000:0:::\n", "big1"},
		{strings.Repeat("x:x:9:9:::\n", keepLen/8) + "big2:x:1000700000:0:::", "big2"},
	} {
		put(t, f.Passwd, test.passwd)
		if says, answer := lookUp(t, f.Socket, getpwbyuid, "1000700000"); says != found || !strings.Contains(answer, test.name+"\x00") {
			t.Errorf("change %d: %d, %q, want name %s", i, says, answer, test.name)
		}
	}
	if err := os.Remove(f.Passwd); err != nil {
		t.Fatal(err)
	}
	if says, answer := lookUp(t, f.Socket, getpwbyuid, "1000700000"); says != found || !strings.Contains(answer, "user\x00") {
		t.Errorf("without a file: %d, %q", says, answer)
	}
}

// TestUnsure asks where a file may have more than is seen: the client must look by itself.
func TestUnsure(t *testing.T) {
	t.Parallel()
	long := "long:x:3000:" + strings.Repeat("m,", maxLine/2) + "\n"
	_, f := serve(t, testPasswd, long+"after:x:3001:\n")
	for key, want := range map[string]int32{"after": found, "long": ask, "nobody": ask} {
		if says, _ := lookUp(t, f.Socket, getgrbyname, key); says != want {
			t.Errorf("group %s beside a line that is too long: %d, want %d", key, says, want)
		}
	}
	if err := os.Remove(f.Passwd); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(f.Passwd, 0o755); err != nil {
		t.Fatal(err)
	}
	if says, _ := lookUp(t, f.Socket, getpwbyname, "root"); says != ask {
		t.Errorf("passwd is a directory: %d, want %d", says, ask)
	}
	if says, _ := lookUp(t, f.Socket, getpwbyuid, "1000700000"); says != found {
		t.Errorf("the added account where passwd is a directory: %d", says)
	}
}

func TestSwitchLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"passwd: files systemd":                           "passwd ",
		"passwd:\tfiles [!UNAVAIL=return] sss # and ldap": "passwd sss",
		"group: ldap [NOTFOUND = return SUCCESS=x] files": "group ldap",
		"group: [x sss] winbind":                          "group winbind",
		"initgroups: sss":                                 "initgroups sss",
		"hosts: files dns":                                " ",
		"# passwd: sss":                                   " ",
		"":                                                " ",
	} {
		database, sources := switchLine([]byte(line))
		if got := database + " " + strings.Join(sources, " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// TestOtherSources asks for what the files do not have, where nsswitch.conf names a source that
// clients can ask, and one that is not installed.
func TestOtherSources(t *testing.T) {
	t.Parallel()
	module := ""
	for _, path := range libc.ModulePaths("hesiod") {
		if _, err := os.Stat(path); err == nil {
			module = path
		}
	}
	if module == "" {
		oracle.Missing(t, "libnss_hesiod.so.2, which comes with glibc")
	}
	_, f := serve(t, testPasswd, testGroup)
	for _, test := range []struct {
		conf                  string
		account, group, users int32
	}{
		{"", none, none, none},
		{"passwd: files nobody-has-it\ngroup: files sss\n", none, none, none},
		{"passwd: files hesiod\n", ask, none, none},
		{"group: hesiod files\n", none, ask, ask},
		{"initgroups: [SUCCESS=merge] hesiod\n", none, none, ask},
	} {
		put(t, f.Switch, test.conf)
		for k, want := range map[kind]int32{getpwbyname: test.account, getgrbyname: test.group, initgroups: test.users} {
			if says, _ := lookUp(t, f.Socket, k, "nobody-has-it"); says != want {
				t.Errorf("%q: kind %d: %d, want %d", test.conf, k, says, want)
			}
		}
		for k, key := range map[kind]string{getpwbyname: "root", getpwbyuid: "1000700000", getgrbyname: "daemon", initgroups: "user"} {
			if says, _ := lookUp(t, f.Socket, k, key); says != found {
				t.Errorf("%q: kind %d, key %s: %d, want it", test.conf, k, key, says)
			}
		}
	}
}
