package imagetest

import (
	"fmt"
	"strconv"
	"strings"

	"unroot/internal/plan"
	"unroot/internal/startup"
)

// Options reads plan options as the command line has them, without the dashes: "uid=1000
// group=dedicated port=80=8080 writable=/srv env=A=b setuid=keep keep-ports repeat=4096 init=never compat=simple target=openshift".
func Options(text string) (plan.Options, error) {
	opts := plan.Options{Ports: map[uint16]uint16{}}
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		if err := setOption(&opts, name, value); err != nil {
			return opts, fmt.Errorf("option %q: %w", word, err)
		}
	}
	return opts, nil
}

func setOption(opts *plan.Options, name, value string) error {
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0
		}
		return n
	}
	switch name {
	case "uid":
		uid := uint32(number(value))
		opts.UID = &uid
	case "group":
		opts.Group = plan.GroupMode(value)
	case "port":
		from, to, _ := strings.Cut(value, "=")
		opts.Ports[uint16(number(from))] = uint16(number(to))
	case "writable":
		opts.Writable = append(opts.Writable, value)
	case "env":
		opts.Env = append(opts.Env, value)
	case "setuid":
		opts.SetUID = plan.SetUIDPolicy(value)
	case "keep-ports":
		opts.KeepPort = true
	case "init":
		opts.Init = plan.InitPolicy(value)
	case "compat":
		opts.Compat = startup.Compat(value)
	case "target":
		opts.Target = value
	case "repeat":
		opts.Repeat = int64(number(value))
	default:
		return errForm
	}
	return nil
}
