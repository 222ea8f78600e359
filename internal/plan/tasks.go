package plan

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"unroot/internal/entrypoint"
	"unroot/internal/finding"
	"unroot/internal/survey"
)

// dropStepDown takes tools that change the user out of the image's own command line: as a regular
// user they fail, also where they would change to the same user.
func (m *maker) dropStepDown() (done bool) {
	for _, field := range []string{"Entrypoint", "Cmd"} {
		from := m.field(field)
		rest, user, _, ok := entrypoint.WithoutStepDown(from)
		if !ok {
			continue
		}
		done = true
		m.do(SetArgs{Field: field, From: from, To: rest}, "step-down",
			survey.Evidence{Source: "config", Where: "config." + field, Text: strings.Join(from, " ") + " steps down to " + user})
		if field == "Entrypoint" && len(rest) > 0 {
			break // the command is then the program's, not the wrapper's
		}
	}
	return done
}

// dropUserOptions takes options out of the command line that tell the program to change to the user
// that it now runs as from the start, or to that user's group.
func (m *maker) dropUserOptions() {
	if !m.survey.RunsRoot {
		return
	}
	gone := map[string][]int{}
	why := map[string][]survey.Evidence{}
	for _, o := range m.survey.UserOptions {
		entry, _ := m.survey.Passwd.ByName(o.Value)
		if !o.Group && entry.UID != m.plan.Identity.UID && entry.UID != 0 {
			continue
		}
		for i := range o.Words {
			gone[o.Field] = append(gone[o.Field], o.Index+i)
		}
		why[o.Field] = append(why[o.Field], survey.Evidence{Source: "config", Where: "config." + o.Field, Text: strings.Join(o.Words, " ") + " changes the user, which only root may"})
	}
	for _, field := range []string{"Entrypoint", "Cmd"} {
		if len(gone[field]) == 0 {
			continue
		}
		from := m.field(field)
		to := []string{}
		for i, word := range from {
			if !slices.Contains(gone[field], i) {
				to = append(to, word)
			}
		}
		m.do(SetArgs{Field: field, From: from, To: to}, "drops-privileges", why[field]...)
	}
}

// dropScriptOptions takes the same options out of scripts, where they name the user that now runs: an
// unknown uid cannot become that user. What another edit touches stays as that leaves it.
func (m *maker) dropScriptOptions() {
	for _, o := range m.survey.ScriptOptions {
		entry, _ := m.survey.Passwd.ByName(o.Value)
		if !m.survey.RunsRoot || entry.UID != m.plan.Identity.UID || m.edited(o.Script, o.Start, o.End) {
			continue
		}
		m.edit(o.Script, o.Content, "drops-privileges", o.Why, finding.Edit{Start: o.Start, End: o.End})
	}
}

// edited reports whether an edit touches the bytes of a file.
func (m *maker) edited(p string, start, end int) bool {
	return slices.ContainsFunc(m.plan.Operations, func(o Operation) bool {
		e, ok := o.Effect.(EditFile)
		return ok && e.Path == p && slices.ContainsFunc(e.Edits, func(edit finding.Edit) bool { return edit.Start < end && start < edit.End })
	})
}

// placement is where tasks of a kind go when nothing better is known.
type placement struct {
	reached Disposition // the start of a regular user gets there
	guarded Disposition // only root gets there
	how     string      // of reached
	field   string      // of the platform
	edit    bool        // neutralising the command is right: what it does is done elsewhere or is not needed
}

// placements is the table of where privileged tasks go.
var placements = map[entrypoint.Kind]placement{
	entrypoint.StepDown:   {ToNobody, ToNobody, "the container starts as the user already", "", true},
	entrypoint.Sudo:       {ToNobody, ToNobody, "there is nothing to be root for; sudo does nothing under no_new_privs", "", true},
	entrypoint.Chown:      {ToImage, ToImage, "the directories have the right owner in the image", "", true},
	entrypoint.Chmod:      {ToImage, ToImage, "the directories have the right mode in the image", "", true},
	entrypoint.MakeDir:    {ToStartup, ToImage, "its parent can be written", "", false},
	entrypoint.SedInPlace: {ToStartup, ToNobody, "the file's directory can be written", "", false},
	entrypoint.Write:      {ToStartup, ToNobody, "the file can be written", "", false},
	entrypoint.Remove:     {ToStartup, ToNobody, "the directory can be written", "", false},
	entrypoint.Account:    {ToImage, ToNobody, "the account is fixed in the image; PUID-like variables have no effect any more", "", true},
	entrypoint.Setcap:     {ToPlatform, ToNobody, "file capabilities cannot be set by a regular user, and do not start where capabilities are dropped", "securityContext.capabilities, or the sysctl net.ipv4.ip_unprivileged_port_start for ports", true},
	entrypoint.Sysctl:     {ToPlatform, ToPlatform, "kernel settings belong to the platform", "docker run --sysctl; securityContext.sysctls", true},
	entrypoint.Ulimit:     {ToPlatform, ToPlatform, "raising a hard limit needs a privilege; lowering one still works", "docker run --ulimit; the node's runtime configuration on Kubernetes", true},
	entrypoint.Network:    {ToPlatform, ToPlatform, "the network belongs to the platform", "NetworkPolicy, Service; capabilities.add NET_ADMIN only as root", false},
	entrypoint.Kernel:     {ToPlatform, ToPlatform, "kernel modules belong to the node", "the node's configuration", true},
	entrypoint.Clock:      {ToPlatform, ToPlatform, "the clock belongs to the node", "the node's NTP service", true},
	entrypoint.Mount:      {ToPlatform, ToPlatform, "mounts belong to the platform", "docker run -v, --tmpfs; volumes and volumeMounts", false},
	entrypoint.Mknod:      {ToPlatform, ToPlatform, "devices belong to the platform", "docker run --device; a device plugin", false},
	entrypoint.Package:    {Undecided, Undecided, "packages cannot be installed by a regular user", "", false},
	entrypoint.Cron:       {Undecided, Undecided, "cron changes to each job's user", "a CronJob, or a single-user scheduler", false},
	entrypoint.Chroot:     {Undecided, Undecided, "only root may change the root directory", "", false},
}

// placeTasks says of each privileged task of the entrypoint where it goes, and edits the script
// where the task would end the start.
func (m *maker) placeTasks() {
	for _, t := range m.survey.Story.Tasks {
		p, ok := placements[t.Kind]
		if !ok {
			continue
		}
		task := Task{
			Where: finding.Location{Path: t.Script, Line: t.Line}.String(),
			Text:  t.Text, Kind: t.Kind.String(), Disposition: p.guarded, How: p.how, Field: p.field,
		}
		if t.Reached() {
			task.Disposition = p.reached
			m.placeReached(t, p, &task)
			if p.reached == ToStartup && m.leftClosed(t) {
				task.Disposition, task.How = Undecided, "what it writes is not made writable"
			}
		}
		if m.tellsTask(t) {
			m.plan.Tasks = append(m.plan.Tasks, task)
		}
	}
}

// leftClosed reports whether the task writes a path that the plan leaves closed, and says so.
func (m *maker) leftClosed(t entrypoint.Task) bool {
	return slices.ContainsFunc(t.Paths, func(p entrypoint.Path) bool {
		at, ok := survey.Locate(m.survey.View.Tree, p.Value)
		return ok && p.Known && slices.ContainsFunc(m.plan.Open, func(o Open) bool {
			return o.ID == "closed-directory" && (o.Path == at.Path || t.Kind == entrypoint.SedInPlace && o.Path == path.Dir(at.Path))
		})
	})
}

// tellsTask leaves out what is no privileged task: files written where everyone may.
func (m *maker) tellsTask(t entrypoint.Task) bool {
	switch t.Kind {
	case entrypoint.Write, entrypoint.Remove, entrypoint.MakeDir, entrypoint.SedInPlace:
		return slices.ContainsFunc(t.Paths, func(p entrypoint.Path) bool {
			where := p.Value
			if !p.Known {
				where = p.Prefix
			}
			return strings.HasPrefix(where, "/") && !strings.HasPrefix(where, "/dev/") && !strings.HasPrefix(where, "/proc/") && !strings.HasPrefix(where, "/tmp/")
		})
	}
	return true
}

func (m *maker) placeReached(t entrypoint.Task, p placement, task *Task) {
	switch {
	case m.believes() && (t.Kind == entrypoint.StepDown || t.Kind == entrypoint.Chown):
		task.Disposition, task.How = ToStartup, "answered by the emulation"
	case t.Script == "" && m.droppedStepDown(t.Kind):
	case t.Kind == entrypoint.Chmod && t.Unlikely: // of a path that the container's user names, and makes itself
	case p.edit && t.Edits != nil:
		m.editTask(t)
		if t.EditNote != "" {
			task.How += "; " + t.EditNote
		}
	case m.insisted(t):
		task.Disposition = Undecided
	case t.Fatal && (p.edit || p.reached == Undecided || p.reached == ToPlatform && !p.edit):
		task.Disposition = Undecided
		m.open(Open{ID: "privileged-task", Path: t.Script,
			What:    fmt.Sprintf("%s runs %q, which fails for a regular user and ends the start", task.Where, t.Text),
			Decides: decides(p)})
	}
}

// droppedStepDown reports whether the task is the step-down that was taken out of the image's own
// command line.
func (m *maker) droppedStepDown(kind entrypoint.Kind) bool {
	return (kind == entrypoint.StepDown || kind == entrypoint.Sudo) && slices.ContainsFunc(m.plan.Operations, func(o Operation) bool {
		_, ok := o.Effect.(SetArgs)
		return ok && o.Mends == "step-down"
	})
}

// insisted reports whether the task starts a program that is left open by itself: see leaveOpen.
func (m *maker) insisted(t entrypoint.Task) bool {
	name, _, _ := strings.Cut(t.Text, " ")
	return t.Kind == entrypoint.Cron && slices.ContainsFunc(m.survey.InsistsOn, func(i survey.Insist) bool {
		return path.Base(i.Program) == path.Base(name)
	})
}

func decides(p placement) string {
	if p.field != "" {
		return p.field + "; then take the command out of the script"
	}
	return "do it when the image is built; then take the command out of the script"
}

// editTask edits the script, or the config's own string, in which a task stands.
func (m *maker) editTask(t entrypoint.Task) {
	why := scriptEvidence(t)
	if field, index, ok := configField(t.Script); ok {
		if index < len(m.field(field)) {
			m.setArg(field, index, t.Edits, "entrypoint-task", why)
		}
		return
	}
	content, err := m.survey.View.Content(t.Script)
	if err != nil {
		return
	}
	m.edit(t.Script, content, "entrypoint-task", why, t.Edits...)
}

func scriptEvidence(t entrypoint.Task) survey.Evidence {
	return survey.Evidence{Source: "script", Where: finding.Location{Path: t.Script, Line: t.Line}.String(), Text: t.Text}
}

// configField reads the name that the entrypoint reader gives to a string of the config, such as
// "Entrypoint[2]".
func configField(name string) (field string, index int, ok bool) {
	field, rest, found := strings.Cut(name, "[")
	if !found || field != "Entrypoint" && field != "Cmd" {
		return "", 0, false
	}
	index, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
	return field, index, err == nil
}
