package entrypoint

import (
	"path"
	"slices"
	"strings"
)

// wrapper is a program that starts the program that its words name, under the same user.
type wrapper struct {
	grammar
	skip    int  // operands before the command, such as timeout's duration
	assigns bool // NAME=value words may come before the command
}

// wrappers are looked through: what counts is the command that they start.
var wrappers = map[string]wrapper{
	"tini": {grammar: grammar{short: "pe"}}, "tini-static": {grammar: grammar{short: "pe"}}, "docker-init": {grammar: grammar{short: "pe"}},
	"dumb-init": {grammar: grammar{short: "r", long: []string{"rewrite"}}}, "catatonit": {}, "pid1": {grammar: grammar{short: "eguw"}},
	"unroot-init": {}, // its options are all of the form --name=value
	"env":         {grammar: grammar{short: "uCa", long: []string{"unset", "chdir", "argv0"}}, assigns: true},
	"nice":        {grammar: grammar{short: "n", long: []string{"adjustment"}}}, "ionice": {grammar: grammar{short: "cn", long: []string{"class", "classdata"}}},
	"stdbuf": {grammar: grammar{short: "ioe", long: []string{"input", "output", "error"}}}, "timeout": {grammar: grammar{short: "ks", long: []string{"kill-after", "signal"}}, skip: 1},
	"nohup": {}, "setsid": {}, "time": {grammar: grammar{short: "fo"}}, "chrt": {skip: 1}, "taskset": {skip: 1},
	"numactl": {grammar: grammar{short: "ipPCmNl"}}, "prlimit": {}, "flock": {grammar: grammar{short: "wE", long: []string{"wait", "timeout"}}, skip: 1},
	"setarch": {skip: 1}, "linux32": {}, "linux64": {}, "strace": {grammar: grammar{short: "oepsuEaSP"}}, "catchsegv": {}, "unbuffer": {},
	"with-contenv": {}, "softlimit": {grammar: grammar{short: "adfmlrcstpno"}}, "envdir": {skip: 1}, "s6-envdir": {skip: 1}, "eatmydata": {}, "authbind": {},
	"xvfb-run": {grammar: grammar{short: "efnpsw", long: []string{"error-file", "auth-file", "server-num", "server-args"}}}, "dbus-run-session": {},
}

// style is how a step-down tool names the command that it starts.
type style uint8

const (
	dropAll  style = iota // TOOL options [USER] COMMAND: the tool and its options go
	dropSome              // the tool does other things too: only the options that change the user go
	toShell               // su: the command is given to a shell with -c
	afterEnd              // capsh: what follows "--" are words for bash
	newRoot               // chroot: the first operand is the root directory
)

// stepTool is the grammar of one step-down tool. Source: the manual page of each.
type stepTool struct {
	grammar
	style   style
	user    []string // options whose value is USER or USER:GROUP
	group   []string // options whose value is the group
	others  []string // further options that need privilege and go with them
	operand bool     // the first operand is USER[:GROUP]
	root    bool     // the user is root where no option names one
}

var suGrammar = grammar{short: "cgGsw", permute: true,
	long: []string{"command", "session-command", "group", "supp-group", "shell", "whitelist-environment"}}

// stepTools are the programs that change the user and start a program. As a regular user all of them
// fail, even where the target is the present user, since setgroups(2) needs CAP_SETGID.
var stepTools = map[string]stepTool{
	"gosu": {operand: true}, "su-exec": {operand: true}, "setuidgid": {operand: true}, "s6-setuidgid": {operand: true},
	"s6-applyuidgid": {grammar: grammar{short: "ugG"}, user: []string{"u", "U"}, group: []string{"g"}, others: []string{"G", "z"}},
	"setpriv": {
		grammar: grammar{long: []string{"reuid", "ruid", "euid", "regid", "rgid", "egid", "groups", "bounding-set",
			"inh-caps", "ambient-caps", "securebits", "pdeathsig", "selinux-label", "apparmor-profile", "landlock-access", "landlock-rule"}},
		user: []string{"reuid", "ruid", "euid"}, group: []string{"regid", "rgid", "egid"},
		others: []string{"init-groups", "clear-groups", "keep-groups", "groups", "bounding-set"},
	},
	"chpst":   {grammar: grammar{short: "uUbe/mdofpctrnlL"}, style: dropSome, user: []string{"u"}, others: []string{"U"}},
	"su":      {grammar: suGrammar, style: toShell, root: true},
	"runuser": {grammar: suGrammar, style: toShell, root: true},
	"start-stop-daemon": {
		grammar: grammar{short: "anpxucgsNPIkdrRO", permute: true, long: []string{"startas", "name", "pidfile", "exec", "user", "chuid", "group",
			"signal", "nicelevel", "procsched", "iosched", "umask", "chdir", "chroot", "retry", "output", "pid", "ppid"}},
		style: dropSome, user: []string{"c", "chuid"}, group: []string{"g", "group"},
	},
	"sudo": {grammar: grammar{short: "CDgpRrTtUu", long: []string{"close-from", "chdir", "group", "host", "prompt", "chroot", "role", "type", "command-timeout", "other-user", "user"}},
		user: []string{"u", "user"}, group: []string{"g", "group"}, root: true},
	"doas":   {grammar: grammar{short: "uC"}, user: []string{"u"}, root: true},
	"capsh":  {style: afterEnd, user: []string{"user", "uid"}, group: []string{"gid"}, others: []string{"groups"}},
	"chroot": {grammar: grammar{long: []string{"userspec", "groups"}}, style: newRoot, user: []string{"userspec"}, others: []string{"groups"}},
}

// part is one word of what is left of an argv: a word of the old one, or new text.
type part struct {
	index int // of the old word, or -1
	text  string
	taken bool // text was cut out of an old word, so a script needs quotes for it
}

// stepped is an argv without its step-down tool.
type stepped struct {
	rest        []part
	name        string // base name of the tool
	at          int    // index of the tool
	user, group string
}

// WithoutStepDown takes the program that changes the user out of argv, where one is, also behind programs
// that only start others (tini, env, nice …). rest starts the same program under the present user;
// user and group are the target as written, "" if unknown. It follows the manual pages of gosu,
// su-exec, setpriv, su, runuser, chpst, s6-setuidgid, s6-applyuidgid, setuidgid, start-stop-daemon,
// sudo, doas, capsh and chroot --userspec. argv is not changed.
func WithoutStepDown(argv []string) (rest []string, user, group string, ok bool) {
	rest = slices.Clone(argv)
	for range len(argv) {
		s, found := strip(rest)
		if !found {
			break
		}
		ok = true
		user, group = s.user, s.group
		rest = s.words(rest)
	}
	return rest, user, group, ok
}

func (s stepped) words(argv []string) []string {
	out := make([]string, 0, len(s.rest))
	for _, p := range s.rest {
		if p.index >= 0 {
			out = append(out, argv[p.index])
		} else {
			out = append(out, p.text)
		}
	}
	return out
}

// strip takes the first step-down tool out of argv. Words that are not known are given as hole.
func strip(argv []string) (stepped, bool) {
	at := 0
	for at < len(argv) {
		name := path.Base(argv[at])
		if tool, found := stepTools[name]; found {
			s, ok := tool.strip(argv, at)
			s.name, s.at = name, at
			if ok || tool.permute || tool.style != dropAll {
				return s, ok
			}
			// setpriv --no-new-privs COMMAND changes no user: it is looked through.
			at = wrapper{grammar: tool.grammar}.command(argv, at)
			continue
		}
		w, found := wrappers[name]
		if !found {
			break
		}
		at = w.command(argv, at)
	}
	return stepped{}, false
}

// command is the index of the command that the wrapper at argv[at] starts, or len(argv).
func (w wrapper) command(argv []string, at int) int {
	_, operands := w.getopt(argv, at+1)
	for w.assigns && len(operands) > 0 && isAssignment(argv[operands[0]]) {
		operands = operands[1:]
	}
	if len(operands) <= w.skip {
		return len(argv)
	}
	return operands[w.skip]
}

func (t stepTool) strip(argv []string, at int) (stepped, bool) {
	if t.style == afterEnd {
		return t.stripCapsh(argv, at)
	}
	opts, operands := t.getopt(argv, at+1)
	s := stepped{rest: parts(0, at)}
	identity := t.identity(&s, opts)
	switch t.style {
	case toShell:
		return t.stripShell(s, argv, opts, operands)
	case dropSome:
		return t.stripSome(s, argv, at, opts, operands)
	case newRoot:
		if !identity || len(operands) < 2 || argv[operands[0]] != "/" {
			return s, false
		}
		operands = operands[1:]
	}
	if t.operand {
		if len(operands) == 0 {
			return s, false
		}
		s.target(argv[operands[0]])
		operands, identity = operands[1:], true
	}
	if t.root && len(operands) > 0 {
		if s.user == "" && !has(opts, t.user) {
			s.user = "root"
		}
		identity = true
		if isAssignment(argv[operands[0]]) {
			s.rest = append(s.rest, part{index: -1, text: "env"})
		}
	}
	s.rest = append(s.rest, refs(operands)...)
	return s, identity
}

// identity reads the options that name the target and reports whether any needs privilege.
func (t stepTool) identity(s *stepped, opts []option) bool {
	found := false
	for _, o := range opts {
		switch {
		case slices.Contains(t.user, o.name):
			s.target(o.value)
		case slices.Contains(t.group, o.name):
			s.group = clearText(o.value)
		case !slices.Contains(t.others, o.name):
			continue
		}
		found = true
	}
	return found
}

// target reads USER, USER:GROUP or chpst's :UID:GID.
func (s *stepped) target(word string) {
	user, group, _ := strings.Cut(strings.TrimPrefix(clearText(word), ":"), ":")
	s.user = user
	if group, _, _ = strings.Cut(group, ":"); group != "" {
		s.group = group
	}
}

// stripShell reads su(1) and runuser(1): su [options] [-] [USER [ARG…]], runuser -u USER [--] COMMAND.
func (t stepTool) stripShell(s stepped, argv []string, opts []option, operands []int) (stepped, bool) {
	if direct, ok := t.runuserCommand(s, argv); ok {
		return direct, true
	}
	shell, command := part{index: -1, text: "/bin/sh"}, []part(nil)
	for _, o := range opts {
		p := part{index: o.valueAt(), text: o.value, taken: o.words == 1}
		switch o.name {
		case "s", "shell":
			shell = p
		case "c", "command", "session-command":
			command = []part{{index: -1, text: "-c"}, p}
		case "g", "group":
			s.group = clearText(o.value)
		}
	}
	if len(operands) > 0 && argv[operands[0]] == "-" {
		operands = operands[1:]
	}
	s.user = "root"
	if len(operands) > 0 {
		s.target(argv[operands[0]])
		operands = operands[1:]
	}
	s.rest = append(append(append(s.rest, shell), command...), refs(operands)...)
	return s, true
}

// runuserCommand reads the form of runuser(1) that starts a command without a shell.
func (t stepTool) runuserCommand(s stepped, argv []string) (stepped, bool) {
	g := grammar{short: t.short + "u", long: append([]string{"user"}, t.long...)}
	opts, operands := g.getopt(argv, len(s.rest)+1)
	i := slices.IndexFunc(opts, func(o option) bool { return o.name == "u" || o.name == "user" })
	if i < 0 || path.Base(argv[len(s.rest)]) != "runuser" || len(operands) == 0 {
		return s, false
	}
	s.target(opts[i].value)
	s.rest = append(s.rest, refs(operands)...)
	return s, true
}

// stripSome takes only the options that change the user out, and the whole tool where nothing else is asked of it.
func (t stepTool) stripSome(s stepped, argv []string, at int, opts []option, operands []int) (stepped, bool) {
	gone := map[int]bool{}
	found, kept := false, 0
	for _, o := range opts {
		identity := slices.Contains(t.user, o.name) || slices.Contains(t.group, o.name) || slices.Contains(t.others, o.name)
		if !identity {
			kept++
			continue
		}
		if !o.alone {
			return s, false
		}
		found = found || !slices.Contains(t.group, o.name)
		for i := range o.words {
			gone[o.at+i] = true
		}
	}
	if kept == 0 && !t.permute {
		s.rest = append(s.rest, refs(operands)...)
		return s, found
	}
	for i := at; i < len(argv); i++ {
		if !gone[i] {
			s.rest = append(s.rest, part{index: i})
		}
	}
	return s, found
}

// stripCapsh reads capsh --user=USER … -- WORDS, which runs /bin/bash WORDS.
func (t stepTool) stripCapsh(argv []string, at int) (stepped, bool) {
	s := stepped{rest: parts(0, at)}
	end := slices.Index(argv[at:], "--")
	if end < 0 {
		return s, false
	}
	opts, _ := t.getopt(argv[:at+end], at+1)
	ok := t.identity(&s, opts)
	s.rest = append(append(s.rest, part{index: -1, text: "/bin/bash"}), parts(at+end+1, len(argv))...)
	return s, ok
}

func has(opts []option, names []string) bool {
	return slices.ContainsFunc(opts, func(o option) bool { return slices.Contains(names, o.name) })
}

func parts(from, to int) []part { return refs(indexes(from, to)) }

func refs(list []int) []part {
	out := make([]part, 0, len(list))
	for _, i := range list {
		out = append(out, part{index: i})
	}
	return out
}
