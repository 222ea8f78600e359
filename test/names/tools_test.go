package names

import (
	"strings"
	"testing"
)

// tool is a program that looks up who runs it.
type tool struct {
	name   string
	script string   // for sh; it fails where the tool fails
	says   []string // NAME and HOME stand for what the user is called and where the home is
	never  []string
}

// tools are what the promise names. None of them knows of unroot.
var tools = []tool{
	{name: "whoami", script: `whoami`, says: []string{"NAME\n"}},
	{name: "id", script: `id -un; id`, says: []string{"NAME\n", "(NAME)"}},
	{name: "home", script: `cd && pwd && touch written && echo "$USER $LOGNAME"`, says: []string{"HOME\n", "NAME NAME\n"}},
	{name: "git", script: `git init -q "$HOME/work" && cd "$HOME/work" && git config --global init.defaultBranch main && echo x >x && git add x && git commit -q -m first && git log --format=%an:%ae`,
		says: []string{"@", ".org"}},
	{name: "ssh", script: `ssh -V; ssh -F none -p 1 -o ConnectTimeout=2 127.0.0.1 true; true`, says: []string{"OpenSSH", "refused"}, never: []string{"No user exists"}},
	{name: "ssh-keygen", script: `ssh-keygen -q -t ed25519 -N '' -f "$HOME/key" && cat "$HOME/key.pub"`, says: []string{"ssh-ed25519 ", " NAME@"}},
	{name: "postgres", script: `initdb -D "$HOME/data" >/dev/null && pg_ctl -D "$HOME/data" -w -s -o "-k /tmp -c listen_addresses=" start >/dev/null && psql -h /tmp -d postgres -At -c "select 'user ' || current_user" && pg_ctl -D "$HOME/data" -s -m immediate stop`,
		says: []string{"user NAME\n"}},
	{name: "python", script: `python3 -c 'import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())'`, says: []string{"NAME HOME\n"}},
	{name: "python, without variables", script: `env -u HOME -u USER -u LOGNAME python3 -c 'import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())'`, says: []string{"NAME HOME\n"}},
	{name: "node", script: `node -e 'const u = os.userInfo(); console.log(u.username, u.homedir, os.homedir())'`, says: []string{"NAME HOME HOME\n"}},
	{name: "npm", script: `mkdir -p "$HOME/package" && cd "$HOME/package" && npm init -y --silent >/dev/null && npm pack --offline --silent && npm config get cache`, says: []string{"package-1.0.0.tgz\n", "HOME/.npm\n"}},
	{name: "java", script: `java -Xshare:off -XshowSettings:properties -version 2>&1 | grep '    user'`, says: []string{"user.home = HOME\n", "user.name = NAME\n"}},
	{name: "perl", script: `perl -e '@u = getpwuid($<); print "$u[0] $u[7]\n"'`, says: []string{"NAME HOME\n"}},
	{name: "ls", script: `touch "$HOME/mine" && ls -l "$HOME/mine"`, says: []string{" NAME "}},
	{name: "static musl", script: `/probes/musl`, says: []string{"name=NAME uid=1000700000 home=HOME\n"}},
	{name: "static glibc", script: `/probes/glibc`, says: []string{"name=NAME uid=1000700000 home=HOME\n"}},
}

// user is who somebody is told to be, and where the home is.
type user struct{ name, home string }

// asked runs every one of the tools by a shell of the container, and holds what it says against who runs it.
func asked(t *testing.T, tools []tool, u user, shell func(t *testing.T, script string) (code int, out string)) {
	t.Helper()
	replace := strings.NewReplacer("NAME", u.name, "HOME", u.home)
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			t.Parallel()
			code, out := shell(t, tool.script)
			if code != 0 {
				t.Errorf("exit code %d:\n%s", code, out)
			}
			for _, text := range tool.says {
				if !strings.Contains(out, replace.Replace(text)) {
					t.Errorf("it does not say %q:\n%s", replace.Replace(text), out)
				}
			}
			for _, text := range tool.never {
				if strings.Contains(out, text) {
					t.Errorf("it says %q:\n%s", text, out)
				}
			}
		})
	}
}
