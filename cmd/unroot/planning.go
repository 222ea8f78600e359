package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"unroot/internal/plan"
	"unroot/internal/startup"
)

// planning is what the user wants of a plan: the flags that plan and convert share.
type planning struct {
	uid       uidFlag
	group     string
	ports     []string
	keepPorts bool
	writable  []string
	env       []string
	setuid    string
	repeat    byteSize
	init      string
	compat    string
}

func (p *planning) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(&p.uid, "uid", "run as this uid (default: the image's own service user, else 65532)")
	f.StringVar(&p.group, "group", string(plan.GroupZero), "let this group write beside the user: 0, so that any uid of the platform works, or dedicated, the user's own")
	f.StringArrayVar(&p.ports, "port", nil, "move a port, such as 80=8080 (default: ports below 1024 move by themselves)")
	f.BoolVar(&p.keepPorts, "keep-ports", false, "leave ports below 1024 where they are: the platform lowers net.ipv4.ip_unprivileged_port_start")
	f.StringArrayVar(&p.writable, "writable", nil, "make this directory writable too")
	f.StringArrayVar(&p.env, "env", nil, "set a variable in the image, NAME=value")
	f.StringVar(&p.setuid, "setuid", string(plan.SetUIDAuto), "setuid-root programs: auto takes out those that nothing in the start names and strips the others, strip strips all, keep leaves all")
	f.StringVar(&p.init, "init", string(plan.InitAuto), "put unroot-init before the image's command: auto where something can only be done at start, always, or never; see unroot explain passwd, volumes, compat")
	f.StringVar(&p.compat, "compat", "auto", "answer calls that only root may make: off, simple, identities, consistent, or auto, the least that runs show to be needed; see unroot explain compat")
	f.Var(&p.repeat, "repeat-limit", "repeat at most this much of files to change owner or mode (default 1M)")
}

// options reads the flags. Every error says which flag is wrong and what it takes.
func (p *planning) options() (plan.Options, error) {
	opts := plan.Options{
		UID: p.uid.uid, Group: plan.GroupMode(p.group), SetUID: plan.SetUIDPolicy(p.setuid), KeepPort: p.keepPorts,
		Repeat: int64(p.repeat), Ports: map[uint16]uint16{}, Env: p.env,
	}
	if opts.Group != plan.GroupZero && opts.Group != plan.GroupDedicated {
		return opts, badFlag("--group %q: not known", "--group takes 0 or dedicated", p.group)
	}
	switch opts.SetUID {
	case plan.SetUIDAuto, plan.SetUIDStrip, plan.SetUIDKeep:
	default:
		return opts, badFlag("--setuid %q: not known", "--setuid takes auto, strip or keep", p.setuid)
	}
	if err := p.readStart(&opts); err != nil {
		return opts, err
	}
	for _, e := range p.env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return opts, badFlag("--env %q: not an assignment", "write --env NAME=value", e)
		}
	}
	for _, dir := range p.writable {
		if !strings.HasPrefix(dir, "/") {
			return opts, badFlag("--writable %q: not an absolute path", "name a directory of the image, such as --writable /srv/cache", dir)
		}
	}
	opts.Writable = p.writable
	return opts, p.readPorts(opts.Ports)
}

// readStart reads what is to be left to the moment of start.
func (p *planning) readStart(opts *plan.Options) error {
	switch opts.Init = plan.InitPolicy(p.init); opts.Init {
	case plan.InitAuto, plan.InitAlways, plan.InitNever:
	default:
		return badFlag("--init %q: not known", "--init takes auto, always or never", p.init)
	}
	switch step := startup.Compat(p.compat); {
	case p.compat == "auto":
	case p.compat == "off":
		opts.NoCompat = true
	case !slices.Contains(startup.Compats, step):
		return badFlag("--compat %q: not known", "--compat takes auto, off, simple, identities or consistent", p.compat)
	case opts.Init == plan.InitNever:
		return badFlag("--compat %s needs unroot-init, and --init is never", "leave --init out", p.compat)
	default:
		opts.Compat = step
	}
	return nil
}

func (p *planning) readPorts(into map[uint16]uint16) error {
	for _, s := range p.ports {
		from, to, ok := strings.Cut(s, "=")
		f, errFrom := strconv.ParseUint(from, 10, 16)
		t, errTo := strconv.ParseUint(to, 10, 16)
		if !ok || errFrom != nil || errTo != nil || f == 0 || t == 0 || f == t {
			return badFlag("--port %q: not a move of a port", "write --port 80=8080", s)
		}
		into[uint16(f)] = uint16(t)
	}
	return nil
}

// uidFlag is the uid of a regular user as a flag; the zero value is none.
type uidFlag struct{ uid *uint32 }

// String is the uid; empty where none was given.
func (u *uidFlag) String() string {
	if u.uid == nil {
		return ""
	}
	return strconv.FormatUint(uint64(*u.uid), 10)
}

// Set reads a uid. The last of the numbers is no uid: chown(2) takes it as "leave it".
func (u *uidFlag) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 || n == 1<<32-1 {
		return badFlag("not the uid of a regular user", "a regular user has a uid from 1 to 4294967294")
	}
	uid := uint32(n)
	u.uid = &uid
	return nil
}

// Type is the word that help shows.
func (u *uidFlag) Type() string { return "uid" }
