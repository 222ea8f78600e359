package plan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/imagetest"
	"unroot/internal/plan"
)

// make plans the image of a text with options in the form of imagetest.Options.
func makePlan(t *testing.T, text, options string) plan.Plan {
	t.Helper()
	opts, err := imagetest.Options(options)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(imagetest.Survey(t, text), opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// effects is the operations of some kinds, as words.
func effects(p plan.Plan, kinds ...string) []string {
	var out []string
	for _, o := range p.Operations {
		if strings.Contains(" "+strings.Join(kinds, " ")+" ", " "+o.Effect.Kind()+" ") {
			out = append(out, o.Effect.String())
		}
	}
	return out
}

// TestIdentity: who the image will run as, by the order of the evidence. Each row takes away what
// decided the row above.
func TestIdentity(t *testing.T) {
	t.Parallel()
	const (
		base = `-- layer --
d 0755 0:0 /etc
d 0755 0:0 /var/lib
d 0700 %s /var/lib/stated
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534::/:/bin/sh
stepped:x:101:101::/:/bin/sh
directed:x:102:102::/:/bin/sh
chowned:x:103:103::/:/bin/sh
owner:x:104:104::/:/bin/sh
%s
-- /etc/group --
root:x:0:
-- /bin/sh 0755 elf --
-- /usr/bin/stated 0755 elf --
-- /etc/stated/stated.conf --
%s
http {
	server { listen 8080; }
}
-- /entrypoint.sh 0755 --
#!/bin/sh
%s
if [ "$(id -u)" = 0 ]; then
	%s
fi
exec "$@"
`
		named  = "stated:x:105:105::/:/bin/sh"
		person = "someone:x:1000:1000::/home/someone:/bin/sh"
		config = `{"User":%q,"Entrypoint":["/entrypoint.sh"],"Cmd":["stated"],"Env":["PATH=/usr/bin:/bin"]}`
	)
	tests := []struct {
		name, user, owner, accounts, directive, chown, step, options string
		want                                                         string
	}{
		{"--uid", "4242:7", "104:104", named, "user directed;", "chown chowned /x", `exec gosu stepped "$@"`, "uid=9000", "9000:0 nonroot"},
		{"--uid of an account", "", "104:104", named, "user directed;", "chown chowned /x", `exec gosu stepped "$@"`, "uid=103", "103:0 chowned"},
		{"the image's own number", "4242:7", "104:104", named, "user directed;", "chown chowned /x", `exec gosu stepped "$@"`, "", "4242:7 nonroot"},
		{"the image's own name", "owner", "104:104", named, "user directed;", "chown chowned /x", `exec gosu stepped "$@"`, "", "104:104 owner"},
		{"step-down", "", "104:104", named, "user directed;", "chown chowned /x", `exec gosu stepped "$@"`, "", "101:0 stepped"},
		{"step-down to a number", "", "104:104", named, "user directed;", "chown chowned /x", `exec su-exec 102:5 "$@"`, "", "102:0 directed"},
		{"step-down to root or nobody says nothing", "", "104:104", named, "user directed;", "", `exec gosu nobody "$@"`, "", "102:0 directed"},
		{"directive", "0", "104:104", named, "user directed;", "chown chowned /x", "true", "", "102:0 directed"},
		{"a directive of an unknown name says nothing", "root", "104:104", named, "user ghost;", "chown chowned /x", "true", "", "103:0 chowned"},
		{"chown", "", "104:104", named, "", "chown -R chowned:chowned /x", "true", "", "103:0 chowned"},
		{"owner of state", "", "104:104", named, "", "", "true", "", "104:0 owner"},
		{"group of state", "", "0:0", named, "", "", "true", "", "105:0 stated"},
		{"name", "", "0:0", named, "", "", "true", "", "105:0 stated"},
		{"person", "", "0:0", person, "", "", "true", "", "1000:0 someone"},
		{"two persons say nothing", "", "0:0", person + "\nother:x:1001:1001::/:/bin/sh", "", "", "true", "", "65532:0 nonroot"},
		{"nobody's", "", "0:0", "", "", "", "true", "", "65532:0 nonroot"},
		{"65532 is there already", "", "0:0", "app:x:65532:65532::/app:/bin/sh", "", "", "true", "", "65532:0 app"},
		{"the name nonroot is taken", "", "0:0", "nonroot:x:500:500::/:/bin/sh", "", "", "true", "", "65532:0 unroot"},
		{"dedicated group of an account", "", "104:104", named, "", "", "true", "group=dedicated", "104:104 owner"},
		{"dedicated group of nobody's", "", "0:0", "", "", "", "true", "group=dedicated", "65532:65532 nonroot"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := "-- config --\n" + fmt.Sprintf(config, tt.user) + "\n" + fmt.Sprintf(base, tt.owner, tt.accounts, tt.directive, tt.chown, tt.step)
			p := makePlan(t, text, tt.options)
			if got := p.Identity.User() + " " + p.Identity.Name; got != tt.want {
				t.Errorf("got %s, because %s; want %s", got, p.Why, tt.want)
			}
			if p.Why.Text == "" {
				t.Error("no evidence")
			}
		})
	}
}

func TestMakeRefusesRoot(t *testing.T) {
	t.Parallel()
	root := uint32(0)
	if _, err := plan.Make(imagetest.Survey(t, "-- config --\n{}\n"), plan.Options{UID: &root}); err == nil {
		t.Error("no error for uid 0")
	}
}

// TestHome: which home the image gets. Directories are those that the plan makes or opens.
func TestHome(t *testing.T) {
	t.Parallel()
	const image = `-- config --
{"User":%q,"Cmd":["/app"],"Env":[%s]}
-- layer --
d 0755 0:0 /etc
d 0755 0:0 /home
%s
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
app:x:1000:1000::%s:/bin/sh
-- /etc/group --
root:x:0:
-- /app 0755 elf --
`
	tests := []struct {
		name, user, env, home, dirs, options string
		want                                 []string
	}{
		{"of the account, missing", "", "", "/home/app", "", "", []string{"Env HOME=/home/app added", "/home/app/ made, 1000:0 0775"}},
		{"of the account, its own", "", "", "/home/app", "d 0700 1000:1000 /home/app", "", []string{"Env HOME=/home/app added", "/home/app/ 1000:1000 0700 → 1000:0 0770"}},
		{"state of the account", "", "", "/var/lib/app", "d 0750 1000:1000 /var/lib/app", "", []string{"Env HOME=/var/lib/app added", "/var/lib/app/ 1000:1000 0750 → 1000:0 0770"}},
		{"served content", "", "", "/srv/www", "d 0755 0:0 /srv/www", "", []string{"Env HOME=/home/app added", "/home/app/ made, 1000:0 0775"}},
		{"a system directory", "", "", "/bin", "d 0755 0:0 /bin", "", []string{"Env HOME=/home/app added", "/home/app/ made, 1000:0 0775"}},
		{"shared directory", "", "", "/tmp", "d 1777 0:0 /tmp", "", []string{"Env HOME=/home/app added", "/home/app/ made, 1000:0 0775"}},
		{"the root", "", "", "/", "", "", []string{"Env HOME=/home/app added", "/home/app/ made, 1000:0 0775"}},
		{"empty", "", "", "", "", "", []string{"Env HOME=/home/app added", "/home/app/ made, 1000:0 0775"}},
		{"/nonexistent", "", "", "/nonexistent", "", "", []string{"Env HOME=/home/app added", "/home/app/ made, 1000:0 0775"}},
		{"the name is taken by others' files", "", "", "/nonexistent", "d 0700 5:5 /home/app", "", []string{"Env HOME=/home/nonroot added", "/home/nonroot/ made, 1000:0 0775"}},
		{"set and writable", "", `"HOME=/data"`, "/home/app", "d 0775 1000:0 /data", "", nil},
		{"set and root's", "", `"HOME=/root"`, "/home/app", "d 0700 0:0 /root", "", []string{"Env HOME=/root → /home/app", "/home/app/ made, 1000:0 0775"}},
		{"set to the account's own, closed", "", `"HOME=/home/app"`, "/home/app", "d 0700 1000:1000 /home/app", "", []string{"/home/app/ 1000:1000 0700 → 1000:0 0770"}},
		{"set, parent closed", "", `"HOME=/x/y"`, "/home/app", "d 0700 1000:1000 /x\nd 0775 1000:0 /x/y", "", []string{"Env HOME=/x/y → /home/app", "/home/app/ made, 1000:0 0775"}},
		{"dedicated", "", "", "/home/app", "", "group=dedicated", []string{"Env HOME=/home/app added", "/home/app/ made, 1000:1000 0755"}},
		{"the user says which", "", `"HOME=/root"`, "/home/app", "", "env=HOME=/mine", []string{"Env HOME=/root → /mine"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := makePlan(t, fmt.Sprintf(image, tt.user, tt.env, tt.dirs, tt.home), tt.options)
			if diff := cmp.Diff(tt.want, effects(p, "set-env", "make-dir", "grant")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestGrants: what may be opened, and how far.
func TestGrants(t *testing.T) {
	t.Parallel()
	const image = `-- config --
{"User":%q,"Cmd":["/app"],"Env":["HOME=/home/nonroot"]}
-- layer --
d 0755 0:0 /etc
d 0777 0:0 /home/nonroot
%s
-- /etc/passwd --
root:x:0:0:root:/root:/bin/sh
nonroot:x:65532:0:nonroot:/home/nonroot:/sbin/nologin
-- /etc/group --
root:x:0:
-- /app 0755 elf --
`
	tests := []struct {
		name, tree, options string
		want, open          []string
	}{
		{"own directory", "d 0755 0:0 /d", "writable=/d", []string{"/d/ 0:0 0755 → 65532:0 0775"}, nil},
		{"open to everyone", "d 1777 0:0 /d", "writable=/d", nil, nil},
		{"group 0 may write, the owner may not", "d 0570 7:0 /d", "writable=/d", nil, nil},
		{"sticky and setgid stay", "d 3755 7:7 /d", "writable=/d", []string{"/d/ 7:7 3755 → 65532:0 3775"}, nil},
		{"shared gets group bits only", "d 0755 0:0 /var/log\nd 0755 0:0 /run", "writable=/var/log writable=/run", []string{"/run/ 0:0 0755 → 0:0 0775", "/var/log/ 0:0 0755 → 0:0 0775"}, nil},
		{"what lies in a shared one stays", "d 0755 0:0 /var/log\nf 0640 0:0 3 /var/log/btmp\nd 0700 0:0 /var/log/private", "writable=/var/log", []string{"/var/log/ 0:0 0755 → 0:0 0775"}, nil},
		{"closed is never opened", "d 0755 0:0 /usr/bin", "writable=/etc writable=/usr/bin writable=/ writable=/proc/x writable=/dev", nil,
			[]string{"closed-directory /etc", "closed-directory /usr/bin", "closed-directory /", "closed-directory /proc/x", "closed-directory /dev"}},
		{"missing is made", "", "writable=/srv/a/b", []string{"/srv/ made, 0:0 0755", "/srv/a/ made, 0:0 0755", "/srv/a/b/ made, 65532:0 0775"}, nil},
		{"what is above is searched", "d 0700 0:0 /p\nd 0750 5:5 /p/q\nd 0700 0:0 /p/q/d", "writable=/p/q/d", []string{"/p/ 0:0 0700 → 0:0 0710", "/p/q/ 5:5 0750 → 5:0 0750", "/p/q/d/ 0:0 0700 → 65532:0 0770"}, nil},
		{"what is below is opened", "d 0755 0:0 /d\nd 0700 3:3 /d/s\nf 0600 3:3 9 /d/s/f\nl /d/l f\np 0600 0:0 /d/p", "writable=/d",
			[]string{"/d/ 0:0 0755 → 65532:0 0775", "/d/s/ 3:3 0700 → 65532:0 0770", "/d/s/f 3:3 0600 → 65532:0 0660, its 9 bytes repeated"}, nil},
		{"executable stays executable", "d 0755 0:0 /d\nf 0744 0:0 9 /d/x", "writable=/d", []string{"/d/ 0:0 0755 → 65532:0 0775", "/d/x 0:0 0744 → 65532:0 0774, its 9 bytes repeated"}, nil},
		{"owner-strict never gets group bits", "d 0755 0:0 /d\nf 0600 0:0 9 /d/id_rsa\nf 0400 0:0 9 /d/.erlang.cookie\nd 0700 0:0 /d/.gnupg\nf 0600 0:0 9 /d/.gnupg/x", "writable=/d init=never",
			[]string{"/d/ 0:0 0755 → 65532:0 0775"}, []string{"owner-strict /d/.erlang.cookie", "owner-strict /d/.gnupg", "owner-strict /d/id_rsa"}},
		{"a database in use stays its owner's", "d 0700 9:9 /d\nf 0600 9:9 3 /d/PG_VERSION\nf 0600 9:9 3 /d/base", "writable=/d", nil, []string{"strict-directory /d"}},
		{"beyond the limit", "d 0755 0:0 /d\nf 0600 0:0 90 /d/a\nf 0600 0:0 9 /d/b", "writable=/d repeat=50", []string{"/d/ 0:0 0755 → 65532:0 0775"}, []string{"files-not-repeated /d"}},
		{"dedicated group", "d 0755 0:0 /d\nd 0755 0:0 /run", "group=dedicated writable=/d writable=/run", []string{"/d/ 0:0 0755 → 65532:65532 0755", "/run/ 0:0 0755 → 0:65532 0775"}, nil},
		{"through a link", "d 0755 0:0 /real\nl /d real", "writable=/d", []string{"/real/ 0:0 0755 → 65532:0 0775"}, nil},
		{"through a dangling link", "l /d /real/deep", "writable=/d", []string{"/real/ made, 0:0 0755", "/real/deep/ made, 65532:0 0775"}, nil},
		{"a relative dangling link in a linked directory", "d 0755 0:0 /a/b\nl /x /a/b\nl /a/b/d ../real", "writable=/x/d", []string{"/a/real/ made, 65532:0 0775"}, nil},
		{"a file", "f 0600 0:0 9 /d", "writable=/d", []string{"/d 0:0 0600 → 65532:0 0660, its 9 bytes repeated"}, nil},
		{"below a file leads nowhere", "f 0600 0:0 9 /d", "writable=/d/x", nil, []string{"leads-nowhere /d/x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := makePlan(t, fmt.Sprintf(image, "", tt.tree), tt.options)
			if diff := cmp.Diff(tt.want, effects(p, "make-dir", "grant", "grant-file")); diff != "" {
				t.Error(diff)
			}
			var open []string
			for _, o := range p.Open {
				open = append(open, o.ID+" "+o.Path)
			}
			if diff := cmp.Diff(tt.open, open); diff != "" {
				t.Error(diff)
			}
		})
	}
}
