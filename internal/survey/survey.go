// Package survey is what an image says of itself: how it starts, as whom, what it reads, writes and binds.
package survey

import (
	"slices"
	"strings"

	"unroot/internal/account"
	"unroot/internal/entrypoint"
	"unroot/internal/image"
	"unroot/internal/recipe"
	"unroot/internal/rootfs"
	"unroot/internal/startup"
)

// Survey is what an image says of itself. It holds facts and where they stand, no decision.
type Survey struct {
	View   *image.View
	Passwd account.Passwd
	Group  account.Group

	User          account.User     // the config's USER, parsed
	UserErr       error            // why USER could not be parsed or resolved
	Current       account.Identity // who the image runs as today; uid 0 where UserErr is set
	RunsRoot      bool             // that is uid 0
	Story         entrypoint.Story // what starts
	UserOptions   []UserOption     // words of the command line that tell a program to change its user
	ScriptOptions []ScriptOption   // the same in scripts
	Service       *Service         // the account that the image means to run as; nil where it names none
	Configs       []ConfigFile     // configuration files of what starts
	Listens       []Listen         // where a port is named
	Exposed       []image.Port     // ports that the config declares
	Needs         []Need           // paths that are written
	Reads         []Read           // paths that must be readable
	Elevated      []Elevated       // setuid, setgid and file-capability files
	InsistsOn     []Insist         // programs that refuse to work without uid 0
	Seen          Seen             // what runs have shown, where there were any
	Init          *startup.Order   // what unroot-init does at start, in an image that has it

	ownGroups map[uint32]uint32 // the uid of the account that has a group\'s name, by the group\'s id
}

// Evidence is why something is believed: a place and what stands there.
type Evidence struct {
	Source string `json:"source"`          // "config", "script", "directive", "volume", "program", "account", "file", "flag"
	Where  string `json:"where,omitempty"` // such as "/entrypoint.sh:12" or "config.User"
	Text   string `json:"text"`            // what stands there, on one line
}

func (e Evidence) String() string {
	if e.Where == "" {
		return e.Text
	}
	return e.Where + ": " + e.Text
}

// ConfigFile is a configuration file of a program that starts.
type ConfigFile struct {
	Path       string // real path in the tree
	Content    []byte
	Directives []recipe.Directive
	Why        Evidence
}

// Service is an account of the image that its own files name as the one to run as.
type Service struct {
	Account account.PasswdEntry
	Why     Evidence
}

// Make reads an image. It changes nothing and runs nothing.
func Make(view *image.View) *Survey { return WithSeen(view, Seen{}) }

// WithSeen reads an image of which runs have shown something: what they show stands beside what the
// image says, as evidence of its own.
func WithSeen(view *image.View, seen Seen) *Survey {
	s := &Survey{View: view, Exposed: view.Config.ExposedPorts(), Seen: seen}
	s.Passwd, s.Group = view.Accounts()
	s.ownGroups = uidsOfGroups(s.Passwd, s.Group)
	s.readUser()
	s.Story = entrypoint.Read(tree{view}, entrypoint.Start{
		Entrypoint: view.Config.Entrypoint(),
		Cmd:        view.Config.Cmd(),
		Env:        view.Config.Env(),
		WorkingDir: view.Config.WorkingDir(),
	})
	if order, _, ok := InitOf(view.Config); ok {
		s.Init = &order
	}
	s.UserOptions = findUserOptions(s)
	s.Configs = findConfigs(s)
	if more := commandsOf(s); len(more.Steps) > 0 { // a supervisor's programs have configuration of their own
		s.Story.Steps = append(s.Story.Steps, more.Steps...)
		s.Story.Programs = append(s.Story.Programs, more.Programs...)
		s.Story.Tasks = append(s.Story.Tasks, more.Tasks...)
		s.Configs = findConfigs(s)
	}
	s.ScriptOptions = findScriptOptions(s)
	s.Service = findService(s)
	s.Listens = findListens(s)
	s.Needs = findNeeds(s)
	s.Reads = append(findReads(s), s.readsSeen()...)
	s.Elevated = findElevated(view.Tree)
	s.InsistsOn = findInsists(s)
	return s
}

func (s *Survey) readUser() {
	user, err := account.ParseUser(s.View.Config.User())
	if err == nil {
		s.User = user
		s.Current, err = account.Resolve(user, s.Passwd, s.Group)
	}
	s.UserErr = err
	s.RunsRoot = err == nil && s.Current.UID == 0
}

// Fixed is the identity that the image should run as with a fixed uid: its own user with its own
// groups where it has one that is not root, else the service account, else "nonroot", 65532, as
// distroless images and others use it. Those get group 0, the convention that serves arbitrary uids
// too.
func (s *Survey) Fixed() (account.Identity, Evidence) {
	switch {
	case s.UserErr == nil && !s.RunsRoot:
		return s.Current, Evidence{"config", "config.User", s.View.Config.User()}
	case s.Service != nil:
		a := s.Service.Account
		return account.Identity{UID: a.UID, Name: a.Name, Home: a.Home}, s.Service.Why
	}
	return Nonroot(s.Passwd), Evidence{Source: "account", Text: "the image names no service account"}
}

// NonrootUID is the uid of the user that is added where an image has none of its own.
const NonrootUID = 65532

// Nonroot is the user for an image that has none of its own: the entry that exists under its uid,
// else the one to be added.
func Nonroot(passwd account.Passwd) account.Identity {
	if e, ok := passwd.ByUID(NonrootUID); ok {
		return account.Identity{UID: NonrootUID, Name: e.Name, Home: e.Home}
	}
	name := "nonroot"
	if _, taken := passwd.ByName(name); taken {
		name = "unroot"
	}
	return account.Identity{UID: NonrootUID, Name: name, Home: "/home/" + name}
}

// tree shows an image's tree to the entrypoint reader.
type tree struct{ view *image.View }

// File is what is known of the file that the path leads to.
func (t tree) File(p string) (entrypoint.File, bool) {
	node, err := t.view.Tree.Resolve(p)
	if err != nil {
		return entrypoint.File{}, false
	}
	entry := node.Entry()
	f := entrypoint.File{
		Path:       node.Path(),
		Dir:        entry.Kind == rootfs.Dir,
		Executable: entry.Kind == rootfs.File && entry.Mode&0o111 != 0,
	}
	if entry.Facts != nil {
		f.Content, f.Interp, f.ELF = entry.Facts.Content, entry.Facts.Interp, entry.Facts.ELF
	}
	return f, true
}

// List is the names in a directory, sorted.
func (t tree) List(p string) []string {
	node, err := t.view.Tree.Resolve(p)
	if err != nil {
		return nil
	}
	var names []string
	for child := range node.Children() {
		names = append(names, child.Path()[strings.LastIndexByte(child.Path(), '/')+1:])
	}
	slices.Sort(names)
	return names
}
