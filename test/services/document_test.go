package services

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// document is where the table is kept, seen from this package.
var document = filepath.Join("..", "..", "docs", "services.md")

// row is one line of the table.
type row struct {
	service, mode string
	class         class
	rounds        int
	operations    int
	bytes         int64
	step          string // of emulation: none, simple, identities, consistent
	verdict       string // with what it is excepted from: "proven, but not for arbitrary"; or wronglyProven
	cause         string
	known         bool // proven only for the uid of the image
}

// key is what a row is found by.
func (r row) key() string {
	if r.mode == modes[0].name {
		return r.service
	}
	return r.service + ", " + r.mode
}

// wronglyProven is the verdict on what unroot calls proven and the service's own client does not.
const wronglyProven = "wrongly proven"

const introduction = `# Services

What came of ` + "`unroot convert --verify`" + ` without a recipe, without ` + "`--probe`" + ` and without any other hint, for images of services as a
packager writes them from Debian's packages (` + "`test/images`" + `). A service that is proven was then run once more, by Docker Engine and by
` + "`unroot run`" + `, under a uid that the image does not know (` + "`" + arbitrary + "`" + `), without capabilities, with no_new_privs and with ports below 1024
closed, and a client of its own protocol got a real answer. *But not for* names scenarios that fail by what the platform hands over, such as
an empty volume that belongs to root (` + "`volume-root`" + `) or one that the original has filled (` + "`volume-left`" + `); the cause is then theirs.

This page is written by ` + "`go test ./test/services -update`" + ` and compared with what comes out by ` + "`go test ./test/services`" + `; rounds,
operations and bytes may differ from Debian's release to release.
`

var headings = map[class]string{
	named:   "## Services that must be proven",
	bound:   "## Services that cannot do their work without root\n\nEach must be refuted or unproven, with the true cause.",
	further: "## More services, to keep us honest",
}

const tableHead = "| service | rounds | operations | bytes added | emulation | verdict | cause |\n| --- | ---: | ---: | ---: | --- | --- | --- |\n"

// pageOf is the document for the rows, which are in the order of the services.
func pageOf(rows []row) string {
	var b strings.Builder
	b.WriteString(introduction)
	for _, c := range []class{named, bound, further} {
		proven, all := 0, 0
		var lines strings.Builder
		for _, r := range rows {
			if r.class != c {
				continue
			}
			all++
			if strings.HasPrefix(r.verdict, "proven") {
				proven++
			}
			fmt.Fprintf(&lines, "| %s | %d | %d | %d | %s | %s | %s |\n", cell(r.key()), r.rounds, r.operations, r.bytes, r.step, cell(r.verdict), cell(r.cause))
		}
		fmt.Fprintf(&b, "\n%s\n\n%d of %d are proven.\n\n%s%s", headings[c], proven, all, tableHead, lines.String())
	}
	b.WriteString(daemonsOf(rows))
	return b.String()
}

// daemon is one of the twenty-five, with the row of its image.
type daemon struct {
	name string
	row  row
}

// daemons are the twenty-five in the order of the table, and how many of them serve.
func daemons(rows map[string]row) (all []daemon, holding int) {
	for _, s := range services {
		if s.daemon == "" {
			continue
		}
		d := daemon{s.daemon, rows[s.name]} // no row: it was never run
		if d.row.holds() {
			holding++
		}
		all = append(all, d)
	}
	return all, holding
}

const daemonsHead = `
## The twenty-five

Daemons of Debian that are usually started as root, some of which insist on it. Each is converted at the lowest step that works: permissions and
configuration (none), then calls that only root may make are answered (simple), then what a process believes to be (identities), then owners
of files as well (consistent); ` + "`unroot explain compat`" + ` says what follows. A daemon marked \* keeps its ports below 1024
(` + "`--keep-ports`" + `), which Docker and containerd 2 leave open to everybody. Where no run shows the need of a
step, as nobody logs in during one, it was asked for (` + "`--compat`" + `), and the row says so.

`

// daemonsOf is the section of the twenty-five.
func daemonsOf(rows []row) string {
	byKey := map[string]row{}
	for _, r := range rows {
		byKey[r.key()] = r
	}
	keeps, asked := map[string]string{}, map[string]string{}
	for _, s := range services {
		if s.ports {
			keeps[s.daemon] = " \\*"
		}
		if s.compat != "" {
			asked[s.daemon] = ", asked for"
		}
	}
	all, holding := daemons(byKey)
	steps := map[string]int{}
	var lines strings.Builder
	for _, d := range all {
		if d.row.holds() {
			steps[d.row.step]++
		}
		fmt.Fprintf(&lines, "| %s%s | %s%s | %s |\n", d.name, keeps[d.name], d.row.step, asked[d.name], cell(d.row.verdict))
	}
	return fmt.Sprintf("%s%d of %d serve: %d with no emulation, %d simple, %d identities, %d consistent.\n\n| daemon | emulation | verdict |\n| --- | --- | --- |\n%s",
		daemonsHead, holding, len(all), steps["none"], steps["simple"], steps["identities"], steps["consistent"], lines.String())
}

// cell is a text inside a table: one line, no bar, nothing that would be markup.
func cell(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer(`|`, `\|`, `<`, `&lt;`, `*`, `\*`, `_`, `\_`).Replace(s)
}

// uncell is the text that cell was given.
func uncell(s string) string {
	return strings.NewReplacer(`\|`, `|`, `&lt;`, `<`, `\*`, `*`, `\_`, `_`).Replace(strings.TrimSpace(s))
}

// committed reads the rows of the document, by key.
func committed() (map[string]row, error) {
	b, err := os.ReadFile(document)
	if err != nil {
		return nil, err
	}
	rows := map[string]row{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 7 {
			continue
		}
		for i := range cells {
			cells[i] = uncell(cells[i])
		}
		rounds, err := strconv.Atoi(cells[1])
		if err != nil {
			continue // the head
		}
		operations, _ := strconv.Atoi(cells[2]) // told, never compared
		bytes, _ := strconv.ParseInt(cells[3], 10, 64)
		rows[cells[0]] = row{rounds: rounds, operations: operations, bytes: bytes, step: cells[4], verdict: cells[5], cause: cells[6]}
	}
	return rows, nil
}
