package startup

import (
	"path"
	"strconv"
	"strings"
)

// Mistake is a command line that unroot-init does not understand.
type Mistake struct {
	Arg  string // what is not understood
	Says string // what is wrong with it
}

func (m Mistake) Error() string { return "reading " + strconv.Quote(m.Arg) + ": " + m.Says }

// maxPaths bounds how many paths an order names: they come from an image.
const maxPaths = 4096

// Parse reads an order from a command line without the program's own name: options, "--", then the
// program that is to be started with its arguments. "--" may be left out where no option's look-alike
// follows. Without any option the order is Default.
func Parse(args []string) (o Order, program []string, err error) {
	options, program := split(args)
	if len(options) == 0 {
		return Default(), program, nil
	}
	for _, arg := range options {
		if err := o.option(arg); err != nil {
			return Order{}, nil, err
		}
	}
	if len(o.Writable)+len(o.Private)+len(o.Fill) > maxPaths {
		return Order{}, nil, Mistake{options[0], "more than " + strconv.Itoa(maxPaths) + " paths"}
	}
	return o, program, nil
}

// Default is what unroot-init does when it is told nothing: it answers for a uid without a name, and
// gives it a home.
func Default() Order { return Order{Names: NamesAuto} }

func split(args []string) (options, program []string) {
	for i, arg := range args {
		if arg == "--" {
			return args[:i], args[i+1:]
		}
		if !strings.HasPrefix(arg, "--") {
			return args[:i], args[i:]
		}
	}
	return args, nil
}

// option reads one, in the form --name or --name=value.
func (o *Order) option(arg string) error {
	name, value, has := strings.Cut(arg, "=")
	switch name {
	case "--exec", "--java", "--stay", "--chroots":
		if has {
			return Mistake{arg, name + " takes no value"}
		}
	}
	switch name {
	case "--exec": // nothing but the program: no default
	case "--java":
		o.Java = true
	case "--stay":
		o.Stay = true
	case "--chroots":
		o.Chroots = true
	case "--names":
		return o.names(arg, Names(value))
	case "--compat":
		return o.compat(arg, Compat(value))
	case "--umask":
		return o.umask(arg, value)
	case "--home":
		return absolute(arg, value, func(p string) { o.Home = p })
	case "--writable":
		return absolute(arg, value, func(p string) { o.Writable = append(o.Writable, p) })
	case "--fill":
		return absolute(arg, value, func(p string) { o.Fill = append(o.Fill, p) })
	case "--private-file", "--private-dir":
		return o.private(arg, value, name == "--private-dir")
	default:
		return Mistake{arg, "there is no such option"}
	}
	return nil
}

func (o *Order) names(arg string, n Names) error {
	switch n {
	case NamesAuto, NamesNscd, NamesWrapper:
		o.Names = n
	case "off":
		o.Names = NamesOff
	default:
		return Mistake{arg, "--names takes auto, nscd, wrapper or off"}
	}
	return nil
}

func (o *Order) compat(arg string, c Compat) error {
	switch c {
	case CompatSimple, CompatIdentities, CompatConsistent:
		o.Compat = c
	case "off":
		o.Compat = CompatOff
	default:
		return Mistake{arg, "--compat takes simple, identities, consistent or off"}
	}
	return nil
}

func (o *Order) umask(arg, value string) error {
	n, err := strconv.ParseUint(value, 8, 16)
	if err != nil || n > 0o777 {
		return Mistake{arg, "--umask takes an octal number such as 0002"}
	}
	mask := uint16(n)
	o.Umask = &mask
	return nil
}

// private reads "MODE:PATH".
func (o *Order) private(arg, value string, dir bool) error {
	octal, p, ok := strings.Cut(value, ":")
	mode, err := strconv.ParseUint(octal, 8, 16)
	if !ok || err != nil || mode > 0o777 {
		return Mistake{arg, "a mode and a path are wanted, such as 0600:/etc/app/key"}
	}
	return absolute(arg, p, func(p string) {
		o.Private = append(o.Private, Private{Path: p, Mode: uint16(mode), Dir: dir})
	})
}

func absolute(arg, p string, use func(string)) error {
	if !path.IsAbs(p) || strings.ContainsRune(p, 0) {
		return Mistake{arg, "an absolute path is wanted"}
	}
	use(path.Clean(p))
	return nil
}

// Args is the order's spelling: what Parse reads, "--" at its end. The same order has the same
// spelling.
func (o Order) Args() []string {
	var args []string
	add := func(name, value string) { args = append(args, name+"="+value) }
	if o.Names != NamesOff {
		add("--names", string(o.Names))
	}
	if o.Home != "" {
		add("--home", o.Home)
	}
	if o.Java {
		args = append(args, "--java")
	}
	if o.Umask != nil {
		add("--umask", octal(*o.Umask))
	}
	for _, p := range o.Private {
		name := "--private-file"
		if p.Dir {
			name = "--private-dir"
		}
		add(name, octal(p.Mode)+":"+p.Path)
	}
	for _, p := range o.Fill {
		add("--fill", p)
	}
	for _, p := range o.Writable {
		add("--writable", p)
	}
	if o.Compat != CompatOff {
		add("--compat", string(o.Compat))
	}
	if o.Chroots {
		args = append(args, "--chroots")
	}
	if o.Stay {
		args = append(args, "--stay")
	}
	if len(args) == 0 {
		args = append(args, "--exec")
	}
	return append(args, "--")
}

func octal(n uint16) string {
	s := strconv.FormatUint(uint64(n), 8)
	return strings.Repeat("0", max(0, 4-len(s))) + s
}
