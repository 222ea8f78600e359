package survey

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"unroot/internal/account"
	"unroot/internal/entrypoint"
	"unroot/internal/recipe"
	"unroot/internal/rootfs"
)

// findService looks for the account that the image's own files mean its program to run as. The
// order is that of how plainly it is said: the user that an entrypoint steps down to, that an option of
// the command names, that a configuration names, that a chown in the entrypoint hands files to, that owns the program's state
// folders, that has the program's name, and the one person's account that the image's author made.
func findService(s *Survey) *Service {
	for _, look := range []func(*Survey) *Service{
		serviceOfStepDown, serviceOfOption, serviceOfDirective, serviceOfChown, serviceOfOwner, serviceOfMention, serviceOfName, serviceOfPerson,
	} {
		if found := look(s); found != nil {
			return found
		}
	}
	return nil
}

// account finds a usable account by name or number: one that exists and is neither root nor nobody,
// whose uid (65534) is also the one of what cannot be mapped, so nothing should be owned by it.
func (s *Survey) account(name string, why Evidence) *Service {
	name, _, _ = strings.Cut(name, ":")
	user, err := account.ParseUser(name)
	if name == "" || err != nil {
		return nil
	}
	id, err := account.Resolve(user, s.Passwd, s.Group)
	if err != nil || id.UID == 0 || id.UID == 65534 {
		return nil
	}
	entry, ok := s.Passwd.ByUID(id.UID)
	if !ok {
		return nil
	}
	return &Service{Account: entry, Why: why}
}

func serviceOfStepDown(s *Survey) *Service {
	argv := slices.Concat(s.View.Config.Entrypoint(), s.View.Config.Cmd())
	if _, user, _, ok := entrypoint.WithoutStepDown(argv); ok {
		if found := s.account(user, Evidence{"config", "config.Entrypoint", strings.Join(argv, " ")}); found != nil {
			return found
		}
	}
	for _, t := range s.Story.Tasks {
		if t.Kind == entrypoint.StepDown {
			if found := s.account(t.User, scriptEvidence(t)); found != nil {
				return found
			}
		}
	}
	return nil
}

// serviceOfOption takes the account that the command line tells the program to change to.
func serviceOfOption(s *Survey) *Service {
	for _, o := range s.UserOptions {
		if o.Group {
			continue
		}
		if found := s.account(o.Value, Evidence{"config", "config." + o.Field, strings.Join(o.Words, " ")}); found != nil {
			return found
		}
	}
	return nil
}

func serviceOfChown(s *Survey) *Service {
	for _, t := range s.Story.Tasks {
		if t.Kind == entrypoint.Chown {
			if found := s.account(t.User, scriptEvidence(t)); found != nil {
				return found
			}
		}
	}
	return nil
}

func serviceOfDirective(s *Survey) *Service {
	for _, f := range s.Configs {
		for _, d := range f.Directives {
			if d.Role != recipe.User || d.Absent {
				continue
			}
			name := s.expand(strings.Fields(d.Value + " ")[:1], f)
			if found := s.account(name, Evidence{"directive", place(f.Path, d.Line), text(f, d)}); found != nil {
				return found
			}
		}
	}
	return nil
}

// expand replaces a value that is one variable, such as ${RUN_USER}, by what the image's
// environment or an environment file among its configuration sets it to.
func (s *Survey) expand(words []string, _ ConfigFile) string {
	if len(words) == 0 {
		return ""
	}
	word := words[0]
	name := strings.Trim(word, "${}")
	if !strings.HasPrefix(word, "$") || name == "" {
		return word
	}
	if v, ok := s.View.Config.Getenv(name); ok {
		return v
	}
	for _, f := range s.Configs {
		for line := range strings.Lines(string(f.Content)) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "export ")
			if k, v, ok := strings.Cut(line, "="); ok && k == name {
				return strings.Trim(v, `"'`)
			}
		}
	}
	return ""
}

// serviceOfOwner takes the one account that owns folders of the program's name in the state roots.
func serviceOfOwner(s *Survey) *Service {
	for _, dir := range programStateDirs(s) {
		for _, id := range []uint32{dir.Entry().UID, s.ownGroups[dir.Entry().GID]} {
			entry, ok := s.Passwd.ByUID(id)
			if !ok || id == 0 || id == 65534 {
				continue
			}
			return &Service{Account: entry, Why: Evidence{"file", dir.Path(), "belongs to " + entry.Name}}
		}
	}
	return nil
}

// serviceOfMention takes the one account that owns state folders which the program's own strings
// name, whatever the folders are called.
func serviceOfMention(s *Survey) *Service {
	var found *Service
	for _, p := range s.Story.Programs {
		node, err := s.View.Tree.Resolve(p.Path)
		if err != nil || node.Entry().Facts == nil {
			continue
		}
		for _, mention := range node.Entry().Facts.Mentions {
			owner := s.ownerOfMention(mention)
			switch {
			case owner == nil || found != nil && found.Account.UID == owner.Account.UID:
			case found != nil:
				return nil
			default:
				found = owner
			}
		}
	}
	return found
}

func (s *Survey) ownerOfMention(mention string) *Service {
	root, _, ok := stateRoot(mention)
	if !ok || mention == root {
		return nil
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(mention, root+"/"), "/")
	dir, err := s.View.Tree.Resolve(path.Join(root, first))
	if err != nil || !dir.IsDir() || dir.Entry().UID == 0 {
		return nil
	}
	return s.account(strconv.Itoa(int(dir.Entry().UID)), Evidence{"file", dir.Path(), "the program's own strings name it"})
}

// uidsOfGroups is, by group id, the uid of the account that has the group's name, as Debian makes a
// group for every service account.
func uidsOfGroups(passwd account.Passwd, group account.Group) map[uint32]uint32 {
	uids := map[string]uint32{}
	for entry := range passwd.All() {
		if _, seen := uids[entry.Name]; !seen {
			uids[entry.Name] = entry.UID
		}
	}
	out := map[uint32]uint32{}
	for g := range group.All() {
		if _, seen := out[g.GID]; seen {
			continue
		}
		if uid, ok := uids[g.Name]; ok {
			out[g.GID] = uid
		}
	}
	return out
}

func serviceOfName(s *Survey) *Service {
	for _, p := range s.Story.Programs {
		names := stems(p.Path)
		for entry := range s.Passwd.All() {
			if entry.UID != 0 && entry.UID != 65534 && related(entry.Name, names) {
				return &Service{Account: entry, Why: Evidence{"account", "/etc/passwd", entry.Name + " has the name of " + p.Path}}
			}
		}
	}
	return nil
}

// serviceOfPerson takes the one account with a uid of a person's (login.defs: UID_MIN 1000 to
// UID_MAX 60000): a base image has none, so the image's author made it.
func serviceOfPerson(s *Survey) *Service {
	var found *Service
	for entry := range s.Passwd.All() {
		if entry.UID < 1000 || entry.UID > 60000 {
			continue
		}
		if found != nil {
			return nil
		}
		found = &Service{Account: entry, Why: Evidence{"account", "/etc/passwd", "the only account that was added: " + entry.Name}}
	}
	return found
}

// names is what a program's folders may be called: by the program, or by its account where the
// command line says which that is.
func (s *Survey) names(program string) []string {
	names := stems(program)
	for _, look := range []func(*Survey) *Service{serviceOfStepDown, serviceOfOption} {
		if service := look(s); service != nil {
			names = append(names, service.Account.Name)
		}
	}
	return names
}

// programStateDirs are the folders in the state roots that have the name of a program that starts.
func programStateDirs(s *Survey) []*rootfs.Node {
	var found []*rootfs.Node
	for _, p := range s.Story.Programs {
		names := s.names(p.Path)
		for _, root := range stateRoots {
			node, err := s.View.Tree.Resolve(root.path)
			if err != nil || node.Path() != root.path {
				continue
			}
			for child := range node.Children() {
				if child.IsDir() && related(path.Base(child.Path()), names) {
					found = append(found, child)
				}
			}
		}
	}
	return found
}

func scriptEvidence(t entrypoint.Task) Evidence {
	return Evidence{"script", place(t.Script, t.Line), t.Text}
}
