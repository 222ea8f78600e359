package survey

import (
	"path"
	"slices"
	"strings"

	"unroot/internal/entrypoint"
	"unroot/internal/recipe"
	"unroot/internal/trace"
)

// UserOption is an option on the image's command line that tells a program which user or group to
// change to, such as "-u bind" or "--user=mysql".
type UserOption struct {
	Field string   // "Entrypoint" or "Cmd"
	Index int      // of its first word
	Words []string // one or two
	Value string   // the account's or group's name
	Group bool     // it names a group
}

// ScriptOption is the same in a script that starts a program. Only the one spelling "--user=NAME" counts
// there, unless runs have shown that the program changes its user: "-u" and "--username" are what clients of
// databases call the user that they log in as.
type ScriptOption struct {
	Script  string
	Content []byte
	Start   int // with the blank before it
	End     int
	Value   string
	Why     Evidence
}

var (
	userFlags  = []string{"-u", "--user", "-user", "--uid", "--username", "--runas", "--run-as-user"}
	groupFlags = []string{"-g", "--group", "-group", "--gid", "--groupname"}
)

// findUserOptions looks for them in Entrypoint and Cmd. What the options of a program mean is not
// known in general; an option of such a name whose value is an account of the image is taken at its
// word. Names only: a number may be anything.
func findUserOptions(s *Survey) []UserOption {
	var found []UserOption
	for _, field := range []struct {
		name  string
		words []string
	}{{"Entrypoint", s.View.Config.Entrypoint()}, {"Cmd", s.View.Config.Cmd()}} {
		for i := range field.words {
			if o, ok := s.userOption(field.words, i); ok {
				o.Field = field.name
				found = append(found, o)
			}
		}
	}
	return found
}

func (s *Survey) userOption(words []string, i int) (UserOption, bool) {
	flag, value, joined := strings.Cut(words[i], "=")
	size := 1
	if !joined {
		if i+1 >= len(words) {
			return UserOption{}, false
		}
		value, size = words[i+1], 2
	}
	o := UserOption{Index: i, Words: words[i : i+size], Value: value, Group: slices.Contains(groupFlags, flag)}
	switch {
	case slices.Contains(userFlags, flag):
		_, known := s.Passwd.ByName(value)
		return o, known
	case o.Group:
		_, known := s.Group.ByName(value)
		return o, known
	}
	return o, false
}

// findScriptOptions looks at the commands with which scripts start programs.
func findScriptOptions(s *Survey) []ScriptOption {
	var found []ScriptOption
	for _, step := range s.Story.Steps {
		c, ok := s.commandOf(step)
		if !ok || step.Path == "" || step.Guard == entrypoint.RootOnly {
			continue
		}
		why := Evidence{"script", place(c.script, step.Line), strings.TrimSpace(c.text)}
		for _, o := range s.optionsIn(c.text, s.changesUser(step.Path)) {
			o.Script, o.Content, o.Start, o.End, o.Why = c.script, c.content, c.start+o.Start, c.start+o.End, why
			found = append(found, o)
		}
	}
	return found
}

// optionsIn finds the options in the text of one command; in every spelling where it is known that the
// program changes its user.
func (s *Survey) optionsIn(text string, changes bool) []ScriptOption {
	at := wordPattern.FindAllStringIndex(text, -1)
	words := make([]string, len(at))
	for i, w := range at {
		words[i] = text[w[0]:w[1]]
	}
	var found []ScriptOption
	for i := range words {
		o, ok := s.userOption(words, i)
		first, last := at[i], at[min(i+max(len(o.Words), 1)-1, len(at)-1)]
		if !ok || first[0] == 0 || text[first[0]-1] != ' ' || !changes && !strings.HasPrefix(words[i], "--user=") {
			continue
		}
		found = append(found, ScriptOption{Start: first[0] - 1, End: last[1], Value: o.Value})
	}
	return found
}

// changesUser reports whether runs have shown that the program changes its user or groups itself.
func (s *Survey) changesUser(program string) bool {
	node, err := s.View.Tree.Resolve(program)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.Seen.Needs, func(n trace.Need) bool { return n.Kind == trace.Identity && n.Exe == node.Path() }) ||
		slices.ContainsFunc(s.Seen.Denials, func(d SeenDenial) bool { return d.Kind == trace.Identity && d.Exe == node.Path() })
}

// commandsOf is what the commands in configuration files start, as a supervisor does: the programs, and
// the tasks of their scripts. The text of such a command is edited as configuration, not as a script.
func commandsOf(s *Survey) entrypoint.Story {
	var out entrypoint.Story
	for _, f := range s.Configs {
		for _, d := range f.Directives {
			if d.Role != recipe.Command {
				continue
			}
			story := entrypoint.Read(tree{s.View}, entrypoint.Start{
				Entrypoint: []string{"/bin/sh", "-c", "exec " + d.Value},
				Env:        s.View.Config.Env(),
				WorkingDir: s.View.Config.WorkingDir(),
			})
			for _, step := range story.Steps {
				if !path.IsAbs(step.Script) { // started by the command itself
					step.Script, step.Line = f.Path, d.Line
				}
				if step.What == entrypoint.Shell || step.What == entrypoint.ELF || step.What == entrypoint.Script {
					out.Steps = append(out.Steps, step)
				}
			}
			out.Programs = append(out.Programs, story.Programs...)
			out.Tasks = append(out.Tasks, slices.DeleteFunc(story.Tasks, func(t entrypoint.Task) bool { return !path.IsAbs(t.Script) })...)
		}
	}
	return out
}
