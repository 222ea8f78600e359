package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/startup"
)

// Facts is what of one platform's image a run is made from.
type Facts struct {
	Image  *image.Image
	Config image.Config
	Passwd account.Passwd
	Group  account.Group
}

// FactsOf takes the facts out of a view.
func FactsOf(v *image.View) Facts {
	passwd, group := v.Accounts()
	return Facts{Image: v.Image, Config: v.Config, Passwd: passwd, Group: group}
}

// Init is what unroot-init is told to do in an image that starts with it; ok is false where it does not.
func (f Facts) Init() (o startup.Order, ok bool) {
	start := slices.Concat(f.Config.Entrypoint(), f.Config.Cmd())
	if !startsApart(start) {
		return startup.Order{}, false
	}
	o, _, err := startup.Parse(start[1:])
	return o, err == nil
}

func startsApart(args []string) bool { return len(args) > 0 && args[0] == startup.Path }

// Identity is who engines start the image's command as. It fails as they do: for a name that has
// no account, and for numbers that they refuse.
func (f Facts) Identity() (account.Identity, error) {
	u, err := account.ParseUser(f.Config.User())
	if err != nil {
		return account.Identity{}, err
	}
	return account.Resolve(u, f.Passwd, f.Group)
}

// as is who engines start uid with group 0 as: with the name and the home of the image's account
// files, where they have the uid.
func (f Facts) as(uid uint32) account.Identity {
	id, err := account.Resolve(account.User{User: strconv.Itoa(int(uid)), Group: "0", HasGroup: true}, f.Passwd, f.Group)
	if err != nil {
		return account.Identity{UID: uid}
	}
	return id
}

// Defaults of Options.
const (
	DefaultSettle    = 1500 * time.Millisecond
	DefaultTimeout   = 60 * time.Second
	DefaultPortStart = 1024 // Linux's own; container engines may lower it
)

// hostname is the same in every run: programs put it into names of files, which runs over one
// volume must find again.
const hostname = "unroot"

// enginePath is PATH where an image sets none.
// https://github.com/moby/moby/blob/v28.0.0/oci/defaults.go and the OCI runtime tools have the same.
const enginePath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Baseline is the run of an original image as it says: as its user, with the capabilities that
// engines give, and ports below 1024 open to everybody, as Docker has it. It fails where the image
// names no command, or a user that it does not know.
func Baseline(f Facts, o Options) (Run, error) {
	id, err := f.Identity()
	if err != nil {
		return Run{}, err
	}
	r, err := f.run("baseline", id, o)
	r.Caps, r.PortStart = slices.Clone(EngineCaps), 0
	return r, err
}

// Candidate is a run of an image as a regular user: no capability, no_new_privs, ports below 1024
// closed unless the options say otherwise. It fails where the image names no command.
func Candidate(f Facts, name string, id account.Identity, o Options) (Run, error) {
	r, err := f.run(name, id, o)
	r.NoNewPrivs = true
	return r, err
}

func (f Facts) run(name string, id account.Identity, o Options) (Run, error) {
	args := append(slices.Clone(f.Config.Entrypoint()), f.Config.Cmd()...)
	if o.Args != nil {
		args = append(slices.Clone(f.Config.Entrypoint()), o.Args...)
	}
	if len(args) == 0 {
		return Run{}, errors.New("the image names no command")
	}
	r := Run{
		Name: name, Image: f.Image, Identity: id, Args: args, Env: withEnv(f.env(id), o.Env), Dir: f.Config.WorkingDir(), Hostname: hostname,
		PortStart: o.portStart(), Trace: true, Probes: slices.Clone(o.Probes), Health: f.health(), Stop: stopSignal(f.Config.Bytes()),
		Settle: orDefault(o.Settle, DefaultSettle), Timeout: orDefault(o.Timeout, DefaultTimeout), Limits: o.Limits,
	}
	if len(r.Probes) == 0 {
		r.Probes = []Probe{{Kind: "generic"}}
	}
	if f.Image != nil {
		r.Digest = f.Image.Digest.String()
	}
	return r, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// env is the environment that engines give: PATH, HOSTNAME and HOME where the image does not set
// them. HOME is that of the account file, "/" for a uid that it does not have (runc's
// libcontainer/init_linux.go, setupUser; moby's daemon/container_operations.go, CreateDaemonEnvironment).
func (f Facts) env(id account.Identity) []string {
	home := id.Home
	if home == "" {
		home = "/"
	}
	env := []string{enginePath, "HOSTNAME=" + hostname}
	for _, e := range append(slices.Clone(f.Config.Env()), "HOME="+home) {
		name, _, found := strings.Cut(e, "=")
		at := slices.IndexFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		switch {
		case !found || name == "":
			// Docker takes a name without a value as one to unset; an image's has nothing to unset.
		case at < 0:
			env = append(env, e)
		case name != "HOME": // the image's HOME stays
			env[at] = e
		}
	}
	return env
}

// withEnv sets variables over those that are there.
func withEnv(env, over []string) []string {
	for _, e := range over {
		name, _, _ := strings.Cut(e, "=")
		env = slices.DeleteFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") })
		env = append(env, e)
	}
	return env
}

// health is HEALTHCHECK's Test; nil where there is none or where it is switched off.
func (f Facts) health() []string {
	test := f.Config.Healthcheck()
	if len(test) < 2 || test[0] == "NONE" {
		return nil
	}
	return slices.Clone(test)
}

// signals is the names of Linux's signals by their numbers (signal(7), x86 and arm), for images that
// give a number as STOPSIGNAL.
var signals = [...]string{"", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV",
	"SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU",
	"SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS"}

// stopSignal is the config's StopSignal by its full name; SIGTERM where none is set or where it is
// no signal, as engines have it.
func stopSignal(config []byte) string {
	var c struct {
		Config struct{ StopSignal string }
	}
	if json.Unmarshal(config, &c) != nil {
		return "SIGTERM"
	}
	name := strings.ToUpper(strings.TrimSpace(c.Config.StopSignal))
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n < len(signals) {
		return signals[n]
	}
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if slices.Contains(signals[1:], name) || strings.HasPrefix(name, "SIGRTM") {
		return name
	}
	return "SIGTERM"
}

// RefuteConfig judges what needs no run: an image whose config says root, or names a user that
// runtimes do not find, is refuted before anything runs. ok is false where there is nothing to say.
func RefuteConfig(f Facts) (v Verdict, refuted bool) {
	user := f.Config.User()
	u, err := account.ParseUser(user)
	if err == nil {
		var id account.Identity
		if id, err = account.Resolve(u, f.Passwd, f.Group); err == nil && id.UID != 0 {
			return Verdict{}, false
		}
	}
	reason := Reason{ID: ConfigRoot, Word: Refuted, Text: fmt.Sprintf("its config says root: User is %q", user)}
	switch {
	case err != nil:
		reason = Reason{ID: NotStarted, Word: Refuted, Text: "no engine starts it: " + err.Error()}
	case user == "":
		reason.Text = "its config says root: no User is set"
	}
	return Verdict{Word: Refuted, Reasons: []Reason{reason}}, true
}
