package services

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"unroot/internal/oracle"
)

// TestServices converts every service with no hint, and lets a judge that is not ours ask what came
// out: on Docker Engine and in the embedded runner. The rows are those of docs/services.md.
func TestServices(t *testing.T) {
	for _, name := range clients {
		oracle.Program(t, name)
	}
	theEngine(t)
	before, err := committed()
	if err != nil && !*update {
		t.Fatalf("%v\nwrite it: go test ./test/services -update", err)
	}
	var mu sync.Mutex
	rows := map[string]row{}
	t.Run("service", func(t *testing.T) {
		for _, s := range services {
			for _, m := range modes {
				t.Run(s.sample+"/"+s.name+"/"+m.name, func(t *testing.T) {
					t.Parallel()
					r := s.row(t, m)
					mu.Lock()
					defer mu.Unlock()
					rows[r.key()] = r
					if !*update {
						s.compare(t, before[r.key()], r)
					}
				})
			}
		}
	})
	if len(rows) == len(services)*len(modes) { // else -run picked some, or some failed and said so
		holdsBar(t, rows)
		holdDaemons(t, rows)
	}
	if *update {
		ordered := inOrder(before, rows)
		if err := os.WriteFile(document, []byte(pageOf(ordered)), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// inOrder is the rows in the order of the services; one that was not run stays as it was.
func inOrder(before, now map[string]row) (ordered []row) {
	for _, s := range services {
		for _, m := range modes {
			r := row{service: s.name, mode: m.name, class: s.class}
			if run, ok := now[r.key()]; ok {
				r = run
			} else if old, ok := before[r.key()]; ok {
				r.step, r.rounds, r.operations, r.bytes, r.verdict, r.cause = old.step, old.rounds, old.operations, old.bytes, old.verdict, old.cause
			} else {
				continue // never run
			}
			ordered = append(ordered, r)
		}
	}
	return ordered
}

// row converts one service in one mode, and has what is proven judged.
func (s service) row(t *testing.T, m mode) row {
	t.Helper()
	began := time.Now()
	c, p := convert(t, s, m)
	took := time.Since(began).Round(100 * time.Millisecond)
	r := row{service: s.name, mode: m.name, class: s.class, step: c.Plans[0].step(), rounds: len(p.Rounds), operations: len(c.Plans[0].Operations),
		bytes: c.Plans[0].Bytes, verdict: p.Verdict, cause: p.cause()}
	if c.Plans[0].Layer > 0 {
		r.bytes = c.Plans[0].Layer
	}
	r.known = slices.Contains(p.Except, "arbitrary")
	if len(p.Except) > 0 {
		r.verdict += ", but not for " + strings.Join(p.Except, ", ")
	}
	t.Logf("%s after %d rounds in %s, emulation %s, %d operations, %d bytes: %s", r.verdict, r.rounds, took, r.step, r.operations, r.bytes, r.cause)
	for _, scenario := range p.Scenarios {
		if len(scenario.Reasons) > 0 {
			t.Logf("  %s: %s: %s", scenario.Scenario, scenario.Verdict, scenario.Reasons[0].sentence())
		}
	}
	if s.class == bound && m.name == modes[0].name && p.Verdict == "proven" {
		t.Errorf("%s is proven, and it cannot do its work without root", s.name)
	}
	if p.Verdict != "proven" || r.known {
		if s.cause == "" || !s.causes().MatchString(r.cause) {
			t.Errorf("%s: the cause %q is not of the class that the table names, %q", r.verdict, r.cause, s.cause)
		}
	}
	if p.Verdict != "proven" {
		s.servesAsRoot(t)
	} else if err := s.judged(t, c, p); err != nil {
		tell := t.Errorf
		if s.unseen {
			tell = t.Logf // and the row is not one that holds
		}
		tell("unroot says proven, and the service's own client says: %v", err)
		r.verdict = wronglyProven
		r.cause, _, _ = strings.Cut(err.Error(), "\n")
		r.cause = passing.ReplaceAllString(r.cause, "FILE")
	}
	return r
}

// passing is a file of the test: it has another name each time.
var passing = regexp.MustCompile(`/tmp/[^\s,;]+`)

// judged asks what was written, where it runs as nobody and, where that is excepted, as it says itself.
func (s service) judged(t *testing.T, c conversion, p proof) error {
	t.Helper()
	options, as := s.hardened(), []string{"--as", arbitrary}
	if slices.Contains(p.Except, "arbitrary") {
		options, as = asItSays(s.hardened()), nil
	}
	if s.judge == nil {
		t.Fatalf("%s is proven, and nobody has said how to ask it", s.name)
	}
	if err := judgeOnEngine(t, s, c, options); err != nil {
		return err
	}
	moved, err := movedPorts(t.Context(), theEngine(t), c.image)
	if err != nil {
		t.Fatal(err)
	}
	return judgeEmbedded(t, s, c, moved, as...)
}

// asItSays is the options without the user.
func asItSays(options []string) []string {
	at := slices.Index(options, "--user")
	return slices.Delete(slices.Clone(options), at, at+2)
}

// compare holds what came out against the committed table: the verdict, for an unknown uid too, and
// the class of the cause where it does not hold: what a proven row has there is of a scenario that only tells. Rounds, operations, bytes and advisory scenarios are told, and may differ.
func (s service) compare(t *testing.T, before, now row) {
	t.Helper()
	if now.verdict != wronglyProven && word(before.verdict) == "proven" && before.step != now.step {
		t.Errorf("docs/services.md says emulation %s, and it is %s: if that is meant, go test ./test/services -update", before.step, now.step)
	}
	if now.verdict != wronglyProven && word(before.verdict) != word(now.verdict) {
		t.Errorf("docs/services.md says %q, and it is %q (%s): if that is meant, go test ./test/services -update", before.verdict, now.verdict, now.cause)
	}
	if word(before.verdict) != "proven" && before.verdict != wronglyProven && before.cause != "" && s.cause != "" && !s.causes().MatchString(before.cause) {
		t.Errorf("docs/services.md has the cause %q, which is not of the class %q", before.cause, s.cause)
	}
}

// word is a verdict without the scenarios that are only advice.
func word(verdict string) string {
	first, except, _ := strings.Cut(verdict, ",")
	if slices.Contains(strings.Fields(strings.ReplaceAll(except, ",", " ")), "arbitrary") {
		first += ", but not for arbitrary"
	}
	return first
}

// holdsBar counts the named services that are proven, under an unknown uid too.
func holdsBar(t *testing.T, rows map[string]row) {
	t.Helper()
	proven, all := 0, 0
	for _, r := range rows {
		if r.class != named || r.mode != modes[0].name {
			continue
		}
		all++
		if strings.HasPrefix(r.verdict, "proven") && !r.known {
			proven++
		}
	}
	t.Logf("%d of %d named services are proven", proven, all)
	if proven < namedBar {
		t.Errorf("%d of %d named services are proven with no hint, want at least %d", proven, all, namedBar)
	}
}

// holds reports whether a row is proven under a uid that the image does not know, and judged.
func (r row) holds() bool { return word(r.verdict) == "proven" }

// holdDaemons counts the twenty-five daemons that serve, and says of the others why not.
func holdDaemons(t *testing.T, rows map[string]row) {
	t.Helper()
	all, holding := daemons(rows)
	t.Logf("%d of the %d daemons serve", holding, len(all))
	for _, d := range all {
		if !d.row.holds() {
			t.Logf("  %s: %s: %s", d.name, d.row.verdict, d.row.cause)
		}
	}
	if holding < daemonBar {
		t.Errorf("%d of the %d daemons serve, want at least %d", holding, len(all), daemonBar)
	}
}

// TestTwentyFive holds the committed table to its own bar, where no engine is there to make a new one.
func TestTwentyFive(t *testing.T) {
	rows, err := committed()
	if err != nil {
		t.Fatal(err)
	}
	all, _ := daemons(rows)
	if len(all) != 25 {
		t.Errorf("the table has %d daemons, want 25", len(all))
	}
	if !*update {
		holdDaemons(t, rows)
	}
}
