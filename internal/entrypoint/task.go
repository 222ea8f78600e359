package entrypoint

import (
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

const (
	maxTasks = 4000 // tasks of one story
	maxPaths = 64   // paths of one task
	maxLine  = 240  // bytes of a task's text
)

// taskKey is one command and what it does.
type taskKey struct {
	script string
	start  int
	kind   Kind
	text   string // of a task in the image config
}

// sight is a task as one run saw it.
type sight struct {
	task  Task
	maybe bool // every visit was under a condition that is not about the user
}

func (r *run) unlikely(c context) bool { return c.unlikely || r.st.unlikely }

// guard is what one run knows; the other run says who else gets here.
func (r *run) guard(c context) Guard {
	if c.maybe {
		return Maybe
	}
	return Always
}

// newTask gives a task at a place in a script.
func (r *run) newTask(k Kind, at site) Task {
	t := Task{Kind: k, Fatal: r.fatal(r.st, at), Unlikely: r.unlikely(at.context)}
	if at.in != nil {
		t.Script, t.Line, t.Start, t.End = at.in.path, at.in.line(at.at.start), at.at.start, at.at.end
		t.Text = oneLine(at.in.raw(at.at))
	}
	return t
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ReplaceAll(s[:min(len(s), 4*maxLine)], "\\\n", " ")), " ")
	if len(s) > maxLine {
		s = s[:maxLine]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// see adds what the run sees to what it saw at the same place before.
func (r *run) see(t Task, at site) {
	for _, p := range t.Paths {
		if p.Known {
			r.written[p.Value] = true
		}
	}
	if t.Edits != nil && r.asRoot {
		t.Edits, t.EditNote = nil, ""
	}
	key := taskKey{t.Script, t.Start, t.Kind, ""}
	if t.Script == "" {
		key.text = t.Text
	}
	old, ok := r.tasks[key]
	if !ok {
		if len(r.tasks) >= maxTasks {
			r.cut = true
		} else {
			t.Paths = slices.Clip(t.Paths[:min(len(t.Paths), maxPaths)])
			r.tasks[key] = &sight{task: t, maybe: at.maybe}
		}
		return
	}
	old.maybe = old.maybe && at.maybe
	old.task.merge(t)
}

// merge adds another visit of the same command.
func (t *Task) merge(u Task) {
	switch {
	case t.Unlikely == u.Unlikely:
		t.Fatal = t.Fatal || u.Fatal
	case t.Unlikely: // what the image's own start does counts
		t.Fatal, t.Unlikely = u.Fatal, false
	}
	for _, p := range u.Paths {
		if !slices.Contains(t.Paths, p) && len(t.Paths) < maxPaths {
			t.Paths = append(t.Paths, p)
		}
	}
	for _, e := range u.Edits {
		if !slices.Contains(t.Edits, e) {
			t.Edits = append(t.Edits, e)
		}
	}
	if t.EditNote == "" {
		t.EditNote = u.EditNote
	}
	if t.User == "" {
		t.User = u.User
	}
	if t.Group == "" {
		t.Group = u.Group
	}
}

// pathOf is the path that a word means.
func (r *run) pathOf(v value, deep bool) Path {
	p := Path{Recursive: deep, Glob: v.glob}
	if full, ok := r.absolute(v); ok {
		p.Value, p.Known = full, true
		return p
	}
	switch {
	case v.nature != plain:
	case strings.HasPrefix(v.text, "/"):
		p.Prefix = v.text
	case v.text != "" && r.st.cwd.static():
		p.Prefix = strings.TrimSuffix(r.st.cwd.text, "/") + "/" + strings.TrimPrefix(v.text, "./")
	}
	return p
}

// commandTasks notes what a command of the table does.
func (r *run) commandTasks(u use, argv []string, list []word, at site) {
	t := r.newTask(u.kind, at)
	if t.Script == "" {
		t.Text = oneLine(strings.Join(argv, " "))
	}
	deep := u.deep || at.deep
	for _, i := range u.paths {
		if list[i].text != "-" {
			t.Paths = append(t.Paths, r.pathOf(list[i].value, deep))
		}
	}
	for _, text := range u.extra {
		v := known(strings.TrimSuffix(text, hole))
		v.whole = !strings.HasSuffix(text, hole)
		t.Paths = append(t.Paths, r.pathOf(v, deep))
	}
	if argv[0] == "mv" && len(t.Paths) > 1 {
		made := t
		made.Kind, made.Paths = Write, t.Paths[len(t.Paths)-1:]
		t.Paths = t.Paths[:len(t.Paths)-1]
		r.see(made, at)
	}
	user, group := u.owner(argv)
	if u.kind == Chown {
		t.User, t.Group = user, group
	}
	if t.Fatal {
		t.Edits, t.EditNote = neutral(u.kind, list, at)
	}
	r.see(t, at)
	if argv[0] == "install" && (user != "" || group != "") {
		t.Kind, t.User, t.Group, t.Edits, t.EditNote = Chown, user, group, nil, ""
		if t.Fatal {
			t.Edits, t.EditNote = withoutOwner(u, list, at)
		}
		r.see(t, at)
	}
}

// redirects notes the files that redirections write.
func (r *run) redirects(s *syntax.Stmt, list []*syntax.Redirect, c context) {
	for _, redir := range list {
		switch redir.Op {
		case syntax.RdrOut, syntax.AppOut, syntax.RdrClob, syntax.RdrAll, syntax.AppAll, syntax.RdrInOut:
			r.redirect(s, redir, c)
		case syntax.RdrIn:
			r.single(redir.Word, c)
		}
	}
}

func (r *run) redirect(s *syntax.Stmt, redir *syntax.Redirect, c context) {
	v := r.single(redir.Word, c)
	if _, process := redir.Word.Parts[0].(*syntax.ProcSubst); process {
		return // > >(command) writes into a pipe
	}
	p := r.pathOf(v, false)
	if p.Known && isStream(p.Value) || !p.Known && isStream(p.Prefix) || isStream(v.text) {
		return
	}
	at := site{context: c, whole: true}
	at.at = c.in.between(redir.Pos(), redir.Word.End())
	switch s.Cmd.(type) {
	case *syntax.CallExpr, *syntax.DeclClause:
		at.at = simpleSpan(c.in, s)
	}
	kind := Write
	if full := p.Value + p.Prefix; strings.HasPrefix(full, "/proc/sys/") || strings.HasPrefix(full, "/sys/") {
		kind = Sysctl
	}
	t := r.newTask(kind, at)
	t.Paths = []Path{p}
	if _, simple := s.Cmd.(*syntax.CallExpr); simple && kind == Sysctl && t.Fatal {
		t.Edits, t.EditNote = orTrue(at)
	}
	r.see(t, at)
}

// isStream reports whether the path is one of the devices that every process may write.
func isStream(p string) bool {
	switch p {
	case "/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/zero", "/dev/full", "/dev/console":
		return true
	}
	dir := path.Dir(p)
	return dir == "/dev/fd" || strings.HasPrefix(p, "/proc/self/fd/") || strings.HasPrefix(p, "/proc/1/fd/") || strings.HasPrefix(p, "/dev/tcp/") || strings.HasPrefix(p, "/dev/udp/")
}

// stepDownTask notes a change of user.
func (r *run) stepDownTask(s stepped, list []word, more bool, at site) {
	kind := StepDown
	if s.name == "sudo" || s.name == "doas" {
		kind = Sudo
	}
	t := r.newTask(kind, at)
	t.User, t.Group = s.user, s.group
	if t.Script == "" {
		t.Text = oneLine(strings.ReplaceAll(strings.Join(texts(list), " "), hole, "?"))
	}
	t.Edits, t.EditNote = withoutStepDown(s, list, more, at)
	r.see(t, at)
}
