package entrypoint

import (
	"path"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/pattern"
	"mvdan.cc/sh/v3/syntax"
)

const (
	maxTurns = 16  // turns of a while loop that are followed one by one
	maxItems = 256 // words of a for loop that are followed one by one
	maxFound = 512 // files of one find or glob
)

func (r *run) whileClause(cmd *syntax.WhileClause, c context) verdict {
	left := false
	body := func(c context) verdict {
		v := r.list(cmd.Do, c)
		left = r.st.end == broken
		r.settle(broken)
		return v
	}
	nothing := func(context) verdict { return surely }
	for range maxTurns {
		v := r.list(cmd.Cond, c.inCondition())
		if cmd.Until {
			v = v.not()
		}
		if r.st.end != running {
			return perhaps
		}
		if v.is != right || !v.shaky {
			if v.is != no {
				r.forget(cmd, cmd.Do)
			}
			r.branch(v, c, body, nothing)
			return executed
		}
		r.branch(v, c, body, nothing)
		if left || r.st.end != running {
			return executed
		}
	}
	r.forget(cmd, cmd.Do)
	return executed
}

// forget makes everything unknown that the statements may set, for what follows a number of turns that is not known.
func (r *run) forget(key syntax.Node, stmts []*syntax.Stmt) {
	names, ok := r.assigned[key]
	if !ok {
		names = assignedIn(stmts)
		r.assigned[key] = names
	}
	for _, name := range names {
		switch name {
		case "shift", "set":
			r.st.args, r.st.argsOpen = nil, true
		case "cd":
			r.st.cwd = unknown()
		default:
			r.st.vars.set(name, variable{})
		}
	}
}

// assignedIn gives the variables that statements set, and "shift", "set" and "cd" where these are called.
func assignedIn(stmts []*syntax.Stmt) []string {
	seen := map[string]bool{}
	depth := 0
	visit := func(n syntax.Node) bool {
		if n == nil {
			depth--
			return true
		}
		if depth > 4*maxDepth {
			return false
		}
		depth++
		switch n := n.(type) {
		case *syntax.Assign:
			if n.Name != nil {
				seen[n.Name.Value] = true
			}
		case *syntax.WordIter:
			seen[n.Name.Value] = true
		case *syntax.ParamExp:
			if n.Exp != nil && (n.Exp.Op == syntax.AssignUnset || n.Exp.Op == syntax.AssignUnsetOrNull) && n.Param != nil {
				seen[n.Param.Value] = true
			}
		case *syntax.CallExpr:
			noteCall(n, seen)
		}
		return true
	}
	for _, s := range stmts {
		syntax.Walk(s, visit)
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	return names
}

func noteCall(n *syntax.CallExpr, seen map[string]bool) {
	if len(n.Args) == 0 {
		return
	}
	switch name := n.Args[0].Lit(); name {
	case "shift", "set", "cd":
		seen[name] = true
	case "read", "getopts", "unset", "mapfile", "readarray":
		for _, w := range n.Args[1:] {
			if isName(w.Lit()) {
				seen[w.Lit()] = true
			}
		}
	}
}

func (r *run) forClause(cmd *syntax.ForClause, c context) verdict {
	iter, ok := cmd.Loop.(*syntax.WordIter)
	if !ok || cmd.Select {
		return r.unknownLoop(cmd, "", c)
	}
	list, more := r.st.args, r.st.argsOpen
	if iter.InPos.IsValid() {
		list, more = r.words(iter.Items, c)
		list = r.globbed(list)
	}
	if len(list) > maxItems {
		list, more = list[:maxItems], true
	}
	for _, w := range list {
		if !w.whole {
			more = true
		}
	}
	if more {
		r.forget(cmd, cmd.Do)
	}
	v := surely
	for _, w := range list {
		each := c
		if w.glob { // matched nothing in the image
			each.maybe, each.unlikely = true, true
		}
		r.st.vars.set(iter.Name.Value, variable{value: w.value})
		v = r.list(cmd.Do, each)
		gone := r.st.end != running
		r.settle(broken)
		if gone {
			return perhaps
		}
	}
	if more || len(list) == 0 {
		c.unlikely = c.unlikely || !more
		return r.unknownLoop(cmd, iter.Name.Value, c)
	}
	return v
}

// unknownLoop runs the body once for any number of turns with words that are not known.
func (r *run) unknownLoop(cmd *syntax.ForClause, name string, c context) verdict {
	r.forget(cmd, cmd.Do)
	r.branch(perhaps, c, func(c context) verdict {
		if name != "" {
			r.st.vars.set(name, variable{})
		}
		v := r.list(cmd.Do, c)
		r.settle(broken)
		return v
	}, func(context) verdict { return surely })
	return executed
}

// globbed replaces words with pattern characters by the files of the image that match. A pattern that
// matches nothing stays, as in a shell.
func (r *run) globbed(list []word) []word {
	var out []word
	for _, w := range list {
		files := []string(nil)
		if full, ok := r.absolute(w.value); ok && w.glob {
			files = r.match(full)
		}
		if len(files) == 0 {
			out = append(out, w)
			continue
		}
		for _, f := range files {
			each := w
			each.value, each.part = known(f), true
			out = append(out, each)
		}
	}
	return out
}

// match gives the paths that match an absolute pattern.
func (r *run) match(full string) []string {
	found := []string{"/"}
	for _, seg := range strings.Split(strings.Trim(full, "/"), "/") {
		re := segment(seg)
		var next []string
		for _, dir := range found {
			if re == nil {
				next = append(next, path.Join(dir, seg))
				continue
			}
			for _, name := range r.fs.List(dir) {
				if re.MatchString(name) && (name[0] != '.' || seg[0] == '.') && len(next) < maxFound {
					next = append(next, path.Join(dir, name))
				}
			}
		}
		found = next
	}
	out := found[:0]
	for _, f := range found {
		if _, ok := r.fs.File(f); ok {
			out = append(out, f)
		}
	}
	return out
}

// segment compiles one part of a path with pattern characters; nil if it has none.
func segment(seg string) *regexp.Regexp {
	if !pattern.HasMeta(seg, 0) || len(seg) > maxPattern {
		return nil
	}
	expr, err := pattern.Regexp(seg, pattern.EntireString|pattern.ExtendedOperators)
	if err != nil {
		return nil
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil
	}
	return re
}

// listing gives the files that a statement such as "find DIR -name '*.sh' | sort" prints. ok is false
// where the statement is no such listing, or its words are not known.
func (r *run) listing(s *syntax.Stmt, c context) (files []string, ok bool) {
	if s.Negated || s.Background || r.spent(c) {
		return nil, false
	}
	c = c.deeper()
	switch cmd := s.Cmd.(type) {
	case *syntax.BinaryCmd:
		if call, simple := cmd.Y.Cmd.(*syntax.CallExpr); simple && cmd.Op == syntax.Pipe && len(call.Args) > 0 {
			switch call.Args[0].Lit() {
			case "sort", "cat", "head", "tail", "uniq":
				return r.listing(cmd.X, c)
			}
		}
	case *syntax.CallExpr:
		if len(cmd.Args) < 2 {
			return nil, false
		}
		switch cmd.Args[0].Lit() {
		case "find", "ls", "run-parts":
		default:
			return nil, false
		}
		list, open := r.words(cmd.Args, c)
		if !open {
			return r.listed(list)
		}
	}
	return nil, false
}

func (r *run) listed(list []word) ([]string, bool) {
	for _, w := range list {
		if !w.static() {
			return nil, false
		}
	}
	switch argv := texts(list); argv[0] {
	case "find":
		return r.findFiles(list)
	case "run-parts":
		if dir, ok := r.absolute(list[len(list)-1].value); ok && strings.HasPrefix(argv[1], "--list") {
			return r.entries(dir), true
		}
	case "ls":
		if full, ok := r.absolute(list[len(list)-1].value); ok && len(list) <= 3 {
			if list[len(list)-1].glob {
				return r.match(full), true
			}
			return r.fs.List(full), true
		}
	}
	return nil, false
}

func (r *run) entries(dir string) []string {
	var out []string
	for _, name := range r.fs.List(dir) {
		out = append(out, path.Join(dir, name))
	}
	return out
}

// findFiles evaluates a find(1) of a few plain predicates.
func (r *run) findFiles(list []word) ([]string, bool) {
	var roots []string
	i := 1
	for ; i < len(list) && !strings.HasPrefix(list[i].text, "-"); i++ {
		root, ok := r.absolute(list[i].value)
		if !ok {
			return nil, false
		}
		roots = append(roots, root)
	}
	q := finder{r: r, levels: maxFiles}
	for ; i < len(list); i++ {
		next := ""
		if i+1 < len(list) {
			next = list[i+1].text
		}
		switch list[i].text {
		case "-follow", "-print", "-print0", "-executable", "-depth", "-xdev", "-L", "-H":
			continue
		case "-name", "-iname":
			q.name = segment(next)
			q.exact = next
		case "-type":
			q.files = next == "f"
		case "-maxdepth":
			if n := numberOf(known(next)); n.whole {
				q.levels = int(max(0, min(n.n, maxFiles)))
			}
		case "-mindepth":
		default:
			return nil, false
		}
		i++
	}
	for _, root := range roots {
		q.walk(root, 0)
	}
	return q.found, true
}

type finder struct {
	r      *run
	name   *regexp.Regexp
	exact  string
	files  bool
	levels int
	found  []string
	looked int
}

func (q *finder) walk(at string, level int) {
	q.looked++
	f, ok := q.r.fs.File(at)
	if !ok || len(q.found) >= maxFound || q.looked > 8*maxFound {
		return
	}
	base := path.Base(at)
	named := q.exact == "" || q.name != nil && q.name.MatchString(base) || q.name == nil && base == q.exact
	if named && !(q.files && f.Dir) && level > 0 {
		q.found = append(q.found, at)
	}
	if f.Dir && level < q.levels {
		for _, name := range q.r.fs.List(at) {
			q.walk(path.Join(at, name), level+1)
		}
	}
}

// readLoop runs "while read f" for every file of a listing.
func (r *run) readLoop(loop *syntax.WhileClause, files []string, c context) verdict {
	names := readNames(loop.Cond)
	if len(names) != 1 {
		return r.whileClause(loop, c)
	}
	if len(files) == 0 {
		c.unlikely = true
		return r.whileClause(loop, c)
	}
	for _, f := range files {
		r.st.vars.set(names[0], variable{value: known(f)})
		r.list(loop.Do, c)
		gone := r.st.end != running
		r.settle(broken)
		if gone {
			break
		}
	}
	return executed
}

// readNames gives the variables of "read -r a b", where that is all of a condition.
func readNames(cond []*syntax.Stmt) []string {
	if len(cond) != 1 {
		return nil
	}
	call, ok := cond[0].Cmd.(*syntax.CallExpr)
	if !ok || len(call.Args) < 2 || call.Args[0].Lit() != "read" {
		return nil
	}
	var names []string
	for _, w := range call.Args[1:] {
		if isName(w.Lit()) {
			names = append(names, w.Lit())
		}
	}
	return names
}

// inputListing reads "while read f; do …; done < <(find DIR)".
func (r *run) inputListing(s *syntax.Stmt, c context) (*syntax.WhileClause, []string, bool) {
	loop, ok := s.Cmd.(*syntax.WhileClause)
	if !ok {
		return nil, nil, false
	}
	for _, redir := range s.Redirs {
		if redir.Op != syntax.RdrIn || len(redir.Word.Parts) != 1 {
			continue
		}
		if from, ok := redir.Word.Parts[0].(*syntax.ProcSubst); ok && len(from.Stmts) == 1 {
			files, ok := r.listing(from.Stmts[0], c)
			return loop, files, ok
		}
	}
	return nil, nil, false
}
