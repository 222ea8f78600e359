package survey

import (
	"maps"
	"path"
	"slices"
	"strings"

	"unroot/internal/entrypoint"
	"unroot/internal/recipe"
	"unroot/internal/rootfs"
)

// What is read of one image's configuration at most. No program of the field comes near it; it bounds
// the work on a hostile image.
const (
	maxConfigs     = 512      // files
	maxConfigBytes = 16 << 20 // of all files together
	maxDirectives  = 10_000   // of all files together
)

// configExtensions are the endings that mark a file at the top of a configuration folder as one
// that is read at start.
var configExtensions = []string{".conf", ".cfg", ".cnf", ".ini", ".yaml", ".yml", ".toml", ".properties", ".json", ".rc", ".hcl", ".in", ".template", ".tmpl", ".tpl"}

// findConfigs collects the configuration files of what starts: those named on a command line, those
// that the program's own strings name, those in folders of the program's name, and what they
// include.
func findConfigs(s *Survey) []ConfigFile {
	c := configs{survey: s, seen: map[string]bool{}}
	for _, step := range s.Story.Steps {
		for _, word := range step.Argv {
			c.fromWord(word.Value, Evidence{"config", where(step), "started as " + argv(step)})
		}
	}
	for _, p := range s.Story.Programs {
		c.fromProgram(p.Path)
	}
	for _, step := range s.Story.Steps {
		c.fromScript(step)
	}
	c.fromRuns()
	for i := 0; i < len(c.files) && i < maxConfigs; i++ { // grows with what is included
		c.fromIncludes(c.files[i])
	}
	return s.spokenFor(c.files)
}

// spokenFor leaves out what files say by their silence where another file of the same language says it,
// or is silent before them: of several files that one program reads, one speaks for all, and before
// the others one that a run has opened.
func (s *Survey) spokenFor(files []ConfigFile) []ConfigFile {
	type setting struct{ dialect, section, key string }
	said := map[setting]bool{}
	for _, f := range files {
		for _, d := range f.Directives {
			if !d.Absent {
				said[setting{d.Dialect, d.Section, d.Key}] = true
			}
		}
	}
	for _, i := range s.openedFirst(files) {
		silent := map[setting]bool{}
		files[i].Directives = slices.DeleteFunc(files[i].Directives, func(d recipe.Directive) bool {
			if !d.Absent {
				return false
			}
			silent[setting{d.Dialect, d.Section, d.Key}] = true
			return said[setting{d.Dialect, d.Section, d.Key}]
		})
		maps.Copy(said, silent)
	}
	return files
}

// openedFirst is the indexes of the files, those that a run has opened before the others.
func (s *Survey) openedFirst(files []ConfigFile) []int {
	var opened, others []int
	for i, f := range files {
		if s.wasOpened(f.Path) {
			opened = append(opened, i)
		} else {
			others = append(others, i)
		}
	}
	return append(opened, others...)
}

type configs struct {
	survey *Survey
	files  []ConfigFile
	seen   map[string]bool

	bytes, directives int
}

// fromWord takes a word of a command line that is, or ends in, the path of a file: "/etc/x.conf",
// "-f/etc/x.conf", "--config=/etc/x.conf".
func (c *configs) fromWord(word string, why Evidence) {
	i := strings.IndexByte(word, '/')
	if i < 0 {
		return
	}
	if i > 0 && word[i-1] != '=' && !strings.HasPrefix(word, "-") {
		i = 0
	}
	c.add(c.survey.View.Abs(word[i:]), why)
}

// fromScript takes the files that a script of the start names, such as the template that it makes
// the configuration from.
func (c *configs) fromScript(step entrypoint.Step) {
	if step.What != entrypoint.Shell {
		return
	}
	content, err := c.survey.View.Content(step.Path)
	if err != nil {
		return
	}
	for n, line := range strings.Split(string(content), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, word := range wordPattern.FindAllString(line, -1) {
			if path.IsAbs(word) && isConfigName(word) {
				c.add(word, Evidence{"script", place(step.Path, n+1), strings.TrimSpace(line)})
			}
		}
	}
}

// isConfigName reports whether a file's place or ending says that it is configuration, or a template
// of one.
func isConfigName(p string) bool {
	return below(p, "/etc") || below(p, "/usr/local/etc") || slices.Contains(configExtensions, path.Ext(p))
}

func (c *configs) fromProgram(program string) {
	t := c.survey.View.Tree
	names := c.survey.names(program)
	if node, err := t.Resolve(program); err == nil && node.Entry().Facts != nil {
		for _, mention := range node.Entry().Facts.Mentions {
			if below(mention, "/etc") {
				c.fromMention(mention, program, names)
			}
		}
	}
	for _, dir := range []string{"/etc", "/usr/local/etc"} {
		node, err := t.Resolve(dir)
		if err != nil {
			continue
		}
		for child := range node.Children() {
			if name := path.Base(child.Path()); related(strings.TrimSuffix(name, path.Ext(name)), names) || related(name, names) {
				c.fromPath(child.Path(), Evidence{"program", program, "its folder is " + child.Path()})
			}
		}
	}
	if prefix := appPrefix(program); prefix != "" {
		for _, name := range []string{"conf", "etc", "config"} {
			c.fromPath(path.Join(prefix, name), Evidence{"program", program, "its folder is " + prefix})
		}
	}
}

// sharedConfigs are folders of /etc that belong to no one program: what a program's strings name in
// them is read by a library.
var sharedConfigs = []string{"ssl", "pam.d", "security", "ca-certificates", "alternatives", "default", "profile.d", "skel", "gss", "krb5.conf.d", "crypto-policies"}

// fromMention takes a path that stands in the program itself: a folder or file of its own name, or a
// file in a folder that no library reads. A mere file in /etc, such as /etc/hosts, counts only if
// it has the program's name.
func (c *configs) fromMention(mention, program string, names []string) {
	parts := strings.Split(strings.Trim(mention, "/"), "/")
	if len(parts) < 2 {
		return
	}
	own := related(strings.TrimSuffix(parts[1], path.Ext(parts[1])), names)
	node, err := c.survey.View.Tree.Resolve(mention)
	file := err == nil && !node.IsDir() && len(parts) > 2 && !slices.Contains(sharedConfigs, parts[1])
	if own || file {
		c.fromPath(mention, Evidence{"program", program, "its own strings name " + mention})
	}
}

// fromPath takes a file, or the configuration files at the top of a folder.
func (c *configs) fromPath(p string, why Evidence) {
	node, err := c.survey.View.Tree.Resolve(p)
	if err != nil {
		return
	}
	if node.Entry().Kind != rootfs.Dir {
		c.add(p, why)
		return
	}
	for child := range node.Children() {
		name := path.Base(child.Path())
		if slices.Contains(configExtensions, path.Ext(name)) || path.Ext(name) == "" && !child.IsDir() {
			c.add(child.Path(), why)
		}
	}
}

func (c *configs) fromIncludes(f ConfigFile) {
	for _, d := range f.Directives {
		if d.Role != recipe.Include {
			continue
		}
		why := Evidence{"directive", place(f.Path, d.Line), "includes " + d.Value}
		for _, pattern := range strings.Fields(d.Value) {
			c.glob(pattern, f.Path, why)
		}
	}
}

// glob adds the files that an include names: relative to the including file's folder, or to the
// folder above (Apache's ServerRoot, nginx's prefix).
func (c *configs) glob(pattern, from string, why Evidence) {
	bases := []string{path.Dir(from), path.Dir(path.Dir(from))}
	if path.IsAbs(pattern) {
		bases = []string{"/"}
	}
	for _, base := range bases {
		matches := Glob(c.survey.View.Tree, path.Join(base, pattern))
		for _, m := range matches {
			if node, err := c.survey.View.Tree.Resolve(m); err == nil && node.IsDir() {
				c.everyFile(m, why)
				continue
			}
			c.add(m, why)
		}
		if len(matches) > 0 {
			return
		}
	}
}

func (c *configs) everyFile(dir string, why Evidence) {
	node, err := c.survey.View.Tree.Resolve(dir)
	if err != nil {
		return
	}
	for child := range node.Children() {
		c.add(child.Path(), why)
	}
}

func (c *configs) add(p string, why Evidence) {
	t := c.survey.View.Tree
	node, err := t.Resolve(p)
	if err != nil || node.Entry().Kind != rootfs.File || len(c.files) >= maxConfigs {
		return
	}
	real := node.Path()
	content := c.content(node)
	if c.seen[real] || content == nil || c.bytes+len(content) > maxConfigBytes || c.directives > maxDirectives {
		return
	}
	c.seen[real] = true
	found := c.survey.heeded(recipe.Read(real, content))
	c.bytes, c.directives = c.bytes+len(content), c.directives+len(found)
	c.files = append(c.files, ConfigFile{
		Path:       real,
		Content:    content,
		Directives: found,
		Why:        why,
	})
}

// content is what is known of a file that is no program; nil where nothing is.
func (c *configs) content(node *rootfs.Node) []byte {
	facts := node.Entry().Facts
	if facts == nil || facts.Content == nil {
		return c.survey.Seen.Contents[node.Path()]
	}
	if facts.ELF || isProgram(facts) {
		return nil
	}
	return facts.Content
}

// heeded leaves out what a generic key calls a user or a group and the image does not know as one:
// it is then a name of something else, such as a database's.
func (s *Survey) heeded(found []recipe.Directive) []recipe.Directive {
	return slices.DeleteFunc(found, func(d recipe.Directive) bool {
		switch {
		case !d.Generic:
		case d.Role == recipe.User:
			_, known := s.Passwd.ByName(d.Value)
			return !known
		case d.Role == recipe.Group:
			_, known := s.Group.ByName(d.Value)
			return !known
		}
		return false
	})
}

// isProgram tells scripts, which the entrypoint reader reads, from configuration.
func isProgram(f *rootfs.Facts) bool { return f.Interp != "" }

// Glob is the paths in the tree that match a shell pattern, sorted. Only the components with
// metacharacters are searched.
func Glob(t *rootfs.Tree, pattern string) []string {
	found := []string{"/"}
	for _, part := range strings.Split(strings.Trim(path.Clean("/"+pattern), "/"), "/") {
		var next []string
		for _, dir := range found {
			next = append(next, globIn(t, dir, part)...)
		}
		found = next
	}
	return found
}

func globIn(t *rootfs.Tree, dir, part string) []string {
	if !strings.ContainsAny(part, `*?[\`) {
		p := path.Join(dir, part)
		if _, err := t.Resolve(p); err != nil {
			return nil
		}
		return []string{p}
	}
	node, err := t.Resolve(dir)
	if err != nil {
		return nil
	}
	var found []string
	for child := range node.Children() {
		name := path.Base(child.Path())
		if ok, err := path.Match(part, name); err == nil && ok && (name[0] != '.' || part[0] == '.') {
			found = append(found, path.Join(dir, name))
		}
	}
	return found
}

// appPrefix is the folder of an application that does not live in the system's own: for
// /usr/local/apache2/bin/httpd it is /usr/local/apache2. Empty for programs of the system, and for one
// whose path is not known.
func appPrefix(program string) string {
	if !path.IsAbs(program) {
		return ""
	}
	dir := path.Dir(program)
	switch path.Base(dir) {
	case "bin", "sbin":
		dir = path.Dir(dir)
	}
	if Closed(dir) || below(dir, "/usr/lib") || below(dir, "/usr/libexec") || below(dir, "/usr/share") || below(dir, "/lib") {
		return ""
	}
	return dir
}
