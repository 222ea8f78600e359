package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"unroot/internal/plan"
	"unroot/internal/store"
)

// planning is what the user wants of a plan: the flags that plan and convert share.
type planning struct {
	uid       int64
	group     string
	ports     []string
	keepPorts bool
	writable  []string
	env       []string
	setuid    string
	repeat    byteSize
}

func (p *planning) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Int64Var(&p.uid, "uid", -1, "run as this uid (default: the image's own service user, else 65532)")
	f.StringVar(&p.group, "group", string(plan.GroupZero), "who may write besides the user: 0, so that any uid of the platform works, or dedicated, the user's own group")
	f.StringArrayVar(&p.ports, "port", nil, "move a port, such as 80=8080 (default: ports below 1024 move by themselves)")
	f.BoolVar(&p.keepPorts, "keep-ports", false, "leave ports below 1024: the platform lowers net.ipv4.ip_unprivileged_port_start")
	f.StringArrayVar(&p.writable, "writable", nil, "make this directory writable too")
	f.StringArrayVar(&p.env, "env", nil, "set a variable in the image, NAME=value")
	f.StringVar(&p.setuid, "setuid", string(plan.SetUIDAuto), "setuid-root programs: auto takes out those that nothing names and strips the others, strip repeats each without the bit, keep leaves them")
	f.Var(&p.repeat, "repeat-limit", "repeat at most this much of files to change owner or mode (default 1M)")
}

// options reads the flags. Every error says which flag is wrong and what it takes.
func (p *planning) options() (plan.Options, error) {
	opts := plan.Options{
		Group: plan.GroupMode(p.group), SetUID: plan.SetUIDPolicy(p.setuid), KeepPort: p.keepPorts,
		Repeat: int64(p.repeat), Ports: map[uint16]uint16{}, Env: p.env,
	}
	if p.uid != -1 {
		if p.uid <= 0 || p.uid >= 1<<32-1 {
			return opts, badFlag("--uid %d: not the uid of a regular user", "a regular user has a uid from 1 to 4294967294", p.uid)
		}
		uid := uint32(p.uid)
		opts.UID = &uid
	}
	if opts.Group != plan.GroupZero && opts.Group != plan.GroupDedicated {
		return opts, badFlag("--group %q is not known", "--group takes 0 or dedicated", p.group)
	}
	switch opts.SetUID {
	case plan.SetUIDAuto, plan.SetUIDStrip, plan.SetUIDKeep:
	default:
		return opts, badFlag("--setuid %q is not known", "--setuid takes auto, strip or keep", p.setuid)
	}
	for _, e := range p.env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return opts, badFlag("--env %q is no assignment", "write --env NAME=value", e)
		}
	}
	for _, dir := range p.writable {
		if !strings.HasPrefix(dir, "/") {
			return opts, badFlag("--writable %q is not an absolute path", "name a directory of the image, such as --writable /srv/cache", dir)
		}
	}
	opts.Writable = p.writable
	return opts, p.readPorts(opts.Ports)
}

func (p *planning) readPorts(into map[uint16]uint16) error {
	for _, s := range p.ports {
		from, to, ok := strings.Cut(s, "=")
		f, errFrom := strconv.ParseUint(from, 10, 16)
		t, errTo := strconv.ParseUint(to, 10, 16)
		if !ok || errFrom != nil || errTo != nil || f == 0 || t == 0 || f == t {
			return badFlag("--port %q is no move of a port", "write --port 80=8080", s)
		}
		into[uint16(f)] = uint16(t)
	}
	return nil
}

func badFlag(format, hint string, args ...any) error {
	return &store.HintError{Err: fmt.Errorf(format, args...), Hint: hint}
}
