// Package explain is what the words mean that unroot prints: the ids of checks and of what plans leave open, and topics with a page each.
package explain

import (
	"cmp"
	_ "embed"
	"slices"
	"strings"

	"unroot/internal/check"
)

// Kind is where a word comes from.
type Kind string

// The kinds. No two pages have the same id, whatever their kinds.
const (
	Topic Kind = "topic" // what happens, and what unroot does, on every platform
	Check Kind = "check" // a finding of check; some are left open by plans too
	Open  Kind = "open"  // what a plan leaves open, and no check finds
	Start Kind = "start" // why a plan leaves something to the start
)

// Page explains one word.
type Page struct {
	ID       string   `json:"id"`
	Kind     Kind     `json:"kind"`
	Title    string   `json:"title"`
	Severity string   `json:"severity,omitempty"` // of a check's findings
	Text     string   `json:"text,omitempty"`     // lines of at most 100 columns
	Twins    []string `json:"twins,omitempty"`    // what other tools call a check
}

// Pages is every page, topics first and then by id. It is the only list: the command, its completion,
// the documentation and the tests are made from it.
func Pages() []Page {
	pages := slices.Concat(topics(), checks(), items)
	for i := range pages {
		if pages[i].Kind != Topic {
			pages[i].Text = wrap(pages[i].Text)
		}
	}
	slices.SortStableFunc(pages[len(topicTexts):], func(a, b Page) int { return cmp.Compare(a.ID, b.ID) })
	return pages
}

// Find is the page with the id.
func Find(id string) (Page, bool) {
	for _, p := range Pages() {
		if p.ID == id {
			return p, true
		}
	}
	return Page{}, false
}

// Near gives the ids that a word was perhaps meant to be, nearest first, at most four.
func Near(word string) []string {
	type candidate struct {
		id  string
		far int
	}
	const farthest, most = 3, 4
	word = strings.ToLower(word)
	var near []candidate
	for _, p := range Pages() {
		far := distance(word, p.ID)
		if len(word) > 2 && (strings.Contains(p.ID, word) || strings.Contains(word, p.ID)) {
			far = min(far, 1)
		}
		if far <= min(farthest, len(word)/3) {
			near = append(near, candidate{p.ID, far})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.far, b.far) })
	var ids []string
	for _, c := range near[:min(most, len(near))] {
		ids = append(ids, c.id)
	}
	return ids
}

// distance is how many letters have to be changed, taken out or put in: Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

var (
	//go:embed pages/passwd.txt
	passwdText string
	//go:embed pages/volumes.txt
	volumesText string
	//go:embed pages/compat.txt
	compatText string
)

// topicTexts is the topics, by the order in which people meet them. The first line of a text is its title.
var topicTexts = []struct {
	id   string
	text *string
}{{"passwd", &passwdText}, {"volumes", &volumesText}, {"compat", &compatText}}

func topics() []Page {
	var pages []Page
	for _, t := range topicTexts {
		title, text, _ := strings.Cut(*t.text, "\n")
		pages = append(pages, Page{ID: t.id, Kind: Topic, Title: title, Text: strings.TrimSpace(text)})
	}
	return pages
}

func checks() []Page {
	var pages []Page
	for _, c := range check.All() {
		p := Page{ID: c.ID, Kind: Check, Title: c.Title, Severity: c.Severity.String(), Text: c.Doc}
		for _, twin := range c.Twins {
			p.Twins = append(p.Twins, twin.Tool+" "+twin.ID)
		}
		pages = append(pages, p)
	}
	return pages
}

// columns is how wide texts are.
const columns = 100

// wrap breaks paragraphs into lines.
func wrap(text string) string {
	var out strings.Builder
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			out.WriteString("\n\n")
		}
		at := 0
		for _, word := range strings.Fields(paragraph) {
			length := len([]rune(word))
			switch {
			case at > 0 && at+1+length > columns:
				out.WriteByte('\n')
				at = 0
			case at > 0:
				out.WriteByte(' ')
				at++
			}
			out.WriteString(word)
			at += length
		}
	}
	return out.String()
}
