package verify

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"unroot/internal/account"
)

// The scenarios. All run without capabilities and with no_new_privs.
const (
	Fixed          = "fixed"           // as the config says
	ArbitraryUser  = "arbitrary"       // a uid that no account file knows, with group 0
	ArbitraryAgain = "arbitrary-again" // another such uid over the volumes that the first has left
	ReadOnly       = "read-only"       // a read-only root file system, with tmpfs and volumes where the image needs them
	VolumeNew      = "volume-new"      // a fresh named volume, which engines fill from the image
	VolumeRoot     = "volume-root"     // an empty volume that belongs to root
	VolumeLeft     = "volume-left"     // a volume that the original image, as root, has filled before
)

// ScenarioNames is all scenarios, in the order in which they run.
var ScenarioNames = []string{Fixed, ArbitraryUser, ArbitraryAgain, ReadOnly, VolumeNew, VolumeRoot, VolumeLeft}

// Targets is what Options.Target may be, besides nothing.
var Targets = []string{"docker", "kubernetes", "openshift"}

// AgainUID is the second arbitrary uid. It is the next one, so that both lie in one small range of a
// user namespace.
const AgainUID = account.ArbitraryUID + 1

// Options is how images are to be run.
type Options struct {
	Target    string        // one of Targets, or empty: the scenarios that the target will bring about
	Pick      []string      // names of scenarios, instead
	Args      []string      // instead of the config's Cmd; nil: that
	Env       []string      // NAME=value, set in every run over what the image sets
	Probes    []Probe       // as the candidate is to be asked; none: a generic one
	PortStart int           // net.ipv4.ip_unprivileged_port_start of candidates; 0: DefaultPortStart; negative: 0
	Settle    time.Duration // 0: DefaultSettle
	Timeout   time.Duration // of each run; 0: DefaultTimeout
	Limits    Limits
	Prefix    string // of the names of volumes: runs of one runner that name a volume share it
}

func (o Options) portStart() int {
	switch {
	case o.PortStart == 0:
		return DefaultPortStart
	case o.PortStart < 0:
		return 0
	}
	return o.PortStart
}

// Scenario is one way to run a candidate.
type Scenario struct {
	Name     string   `json:"name"`
	Covers   []string `json:"covers"`             // the scenarios that its runs serve, itself among them
	Fill     []Volume `json:"fill,omitempty"`     // volumes that a run of the baseline fills before
	Runs     []Run    `json:"runs"`               // one after the other; all must hold
	Advisory bool     `json:"advisory,omitempty"` // it fails by what the platform hands over, not by the image: told, and only a root process counts
}

// Scenarios gives the ways in which a candidate is to be run, in order: those that are picked, else
// those that the target brings about, else all. A run that serves two scenarios is made once. It
// fails for an unknown target or name, for a picked volume where the image has none, and where the
// image names no command.
func Scenarios(f Facts, e Expect, o Options) ([]Scenario, error) {
	m := scenarioMaker{facts: f, expect: e, options: o, persistent: volumePaths(f, e)}
	if err := m.choose(); err != nil {
		return nil, err
	}
	id, err := f.Identity()
	if err != nil {
		return nil, err
	}
	m.fixed = id
	m.plain()
	m.arbitrary()
	m.readOnly()
	m.volumes()
	return m.made, m.err
}

type scenarioMaker struct {
	facts      Facts
	expect     Expect
	options    Options
	persistent []string
	wanted     []string
	fixed      account.Identity
	made       []Scenario
	err        error
}

// choose fills wanted.
func (m *scenarioMaker) choose() error {
	for _, name := range m.options.Pick {
		if !slices.Contains(ScenarioNames, name) {
			return fmt.Errorf("no scenario %q; there are %s", name, strings.Join(ScenarioNames, ", "))
		}
		if strings.HasPrefix(name, "volume-") && len(m.persistent) == 0 {
			return fmt.Errorf("scenario %q: the image has no volume, and none is recorded", name)
		}
	}
	m.wanted = m.options.Pick
	if len(m.wanted) > 0 {
		return nil
	}
	meant := m.expect.Arbitrary
	switch m.options.Target {
	case "docker":
		m.want(true, Fixed, ReadOnly, VolumeNew, VolumeLeft)
		m.want(meant, ArbitraryUser)
	case "kubernetes":
		m.want(true, Fixed, ReadOnly)
		m.want(meant, ArbitraryUser)
	case "openshift":
		m.want(true, ArbitraryUser, ArbitraryAgain, ReadOnly)
	case "":
		m.want(true, Fixed, ReadOnly, VolumeNew, VolumeRoot, VolumeLeft)
		m.want(meant || !m.expect.Recorded, ArbitraryUser, ArbitraryAgain)
	default:
		return fmt.Errorf("no target %q; there are %s", m.options.Target, strings.Join(Targets, ", "))
	}
	return nil
}

func (m *scenarioMaker) want(yes bool, names ...string) {
	for _, name := range names {
		if yes && (len(m.persistent) > 0 || !strings.HasPrefix(name, "volume-")) {
			m.wanted = append(m.wanted, name)
		}
	}
}

func (m *scenarioMaker) wants(name string) bool  { return slices.Contains(m.wanted, name) }
func (m *scenarioMaker) picked(name string) bool { return slices.Contains(m.options.Pick, name) }

// run makes a run over volumes that start with that seed; the name tells them from others.
func (m *scenarioMaker) run(name string, id account.Identity, volumes string, seed Seed) Run {
	r, err := Candidate(m.facts, name, id, m.options)
	if err != nil {
		m.err = err
	}
	r.Volumes = m.volumesAt(volumes, seed)
	return r
}

func (m *scenarioMaker) volumesAt(name string, seed Seed) []Volume {
	var volumes []Volume
	for i, p := range m.persistent {
		volumes = append(volumes, Volume{Name: fmt.Sprintf("%s%s-%d", m.options.Prefix, name, i+1), Path: p, Seed: seed})
	}
	return volumes
}

// plain is the run as the config says. Engines put a fresh volume on every path that is declared as
// one, so that a fresh volume needs no run of its own.
func (m *scenarioMaker) plain() {
	if !m.wants(Fixed) {
		return
	}
	m.made = append(m.made, Scenario{Name: Fixed, Covers: m.covering(Fixed), Runs: []Run{m.run(Fixed, m.fixed, Fixed, SeedImage)}})
}

// covering gives the names that a run over fresh volumes serves: its own, and that of fresh volumes
// where no run before did.
func (m *scenarioMaker) covering(name string) []string {
	served := slices.ContainsFunc(m.made, func(s Scenario) bool { return slices.Contains(s.Covers, VolumeNew) })
	if m.wants(VolumeNew) && !served {
		return []string{name, VolumeNew}
	}
	return []string{name}
}

// arbitrary is one uid, and another one over the volumes that the first has left. Without volumes
// nothing outlives the first run, and the second would be the first again.
func (m *scenarioMaker) arbitrary() {
	one, again := m.wants(ArbitraryUser), m.wants(ArbitraryAgain)
	if !one && !again {
		return
	}
	first := m.run(ArbitraryUser, m.facts.as(account.ArbitraryUID), ArbitraryUser, SeedImage)
	second := withFSGroup(m.run(ArbitraryAgain, m.facts.as(AgainUID), ArbitraryUser, SeedImage))
	bound := m.expect.bound() && !m.picked(ArbitraryAgain)
	switch {
	case len(m.persistent) == 0 && one && again:
		m.made = append(m.made, Scenario{Name: ArbitraryUser, Covers: []string{ArbitraryUser, ArbitraryAgain}, Runs: []Run{first}})
	case len(m.persistent) == 0 && again:
		m.made = append(m.made, Scenario{Name: ArbitraryAgain, Covers: []string{ArbitraryAgain}, Runs: []Run{second}})
	case one:
		m.made = append(m.made, Scenario{Name: ArbitraryUser, Covers: m.covering(ArbitraryUser), Runs: []Run{first}})
		if again {
			m.made = append(m.made, Scenario{Name: ArbitraryAgain, Covers: []string{ArbitraryAgain}, Runs: []Run{second}, Advisory: bound})
		}
	default:
		m.made = append(m.made, Scenario{Name: ArbitraryAgain, Covers: m.covering(ArbitraryAgain), Runs: []Run{first, second}, Advisory: bound})
	}
}

// withFSGroup is a pod that mounts volumes which another one has left: OpenShift gives each an fsGroup, the
// first number of its namespace's range, so that the kubelet hands over what is there.
func withFSGroup(r Run) Run {
	if len(r.Volumes) == 0 {
		return r
	}
	r.Identity.Groups = append(slices.Clone(r.Identity.Groups), account.ArbitraryUID)
	r.Volumes = slices.Clone(r.Volumes)
	for i := range r.Volumes {
		r.Volumes[i].Group = account.ArbitraryUID
	}
	return r
}

// readOnly is the run whose root file system cannot be written: the case in which what was recorded
// to be written must be whole. Where nothing was recorded nobody can say what to mount, so that its
// failure is told only, unless it was asked for.
func (m *scenarioMaker) readOnly() {
	if !m.wants(ReadOnly) {
		return
	}
	s := Scenario{Name: ReadOnly, Covers: []string{ReadOnly}, Advisory: !m.expect.Recorded && !m.picked(ReadOnly)}
	if m.options.Target != "openshift" {
		s.Runs = append(s.Runs, m.sealed("read-only, fixed", m.fixed, "read-only-fixed"))
	}
	if m.options.Target == "openshift" || m.expect.Arbitrary {
		s.Runs = append(s.Runs, m.sealed("read-only, arbitrary", m.facts.as(account.ArbitraryUID), "read-only-arbitrary"))
	}
	m.made = append(m.made, s)
}

func (m *scenarioMaker) sealed(name string, id account.Identity, volumes string) Run {
	r := m.run(name, id, volumes, SeedImage)
	r.ReadOnly = true
	r.Tmpfs = cleanPaths(m.expect.Ephemeral)
	return r
}

// volumes is the scenarios of volumes that others have made. Whether the user may write there is
// decided by whoever made them, so that a failure is told, and counts only where it was asked for.
func (m *scenarioMaker) volumes() {
	id := m.fixed
	if m.options.Target == "openshift" {
		id = m.facts.as(account.ArbitraryUID)
	}
	served := slices.ContainsFunc(m.made, func(s Scenario) bool { return slices.Contains(s.Covers, VolumeNew) })
	if m.wants(VolumeNew) && !served {
		m.made = append(m.made, Scenario{Name: VolumeNew, Covers: []string{VolumeNew}, Runs: []Run{m.run(VolumeNew, id, VolumeNew, SeedImage)}})
	}
	if m.wants(VolumeRoot) {
		m.made = append(m.made, Scenario{Name: VolumeRoot, Covers: []string{VolumeRoot}, Advisory: !m.picked(VolumeRoot),
			Runs: []Run{m.run(VolumeRoot, id, VolumeRoot, SeedRoot)}})
	}
	if m.wants(VolumeLeft) {
		m.made = append(m.made, Scenario{Name: VolumeLeft, Covers: []string{VolumeLeft}, Advisory: !m.picked(VolumeLeft),
			Fill: m.volumesAt(VolumeLeft, SeedImage), Runs: []Run{m.run(VolumeLeft, id, VolumeLeft, SeedImage)}})
	}
}

// volumePaths is where volumes are mounted: what is recorded as to be kept, and what the config
// declares, unless it is recorded as to be lost.
func volumePaths(f Facts, e Expect) []string {
	paths := cleanPaths(e.Persistent)
	lost := cleanPaths(e.Ephemeral)
	for _, p := range cleanPaths(f.Config.Volumes()) {
		if !slices.Contains(lost, p) {
			paths = append(paths, p)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// cleanPaths makes paths absolute, as engines do, sorts them, and leaves the root directory out,
// which nothing can be mounted on.
func cleanPaths(paths []string) []string {
	var out []string
	for _, p := range paths {
		if p = path.Clean("/" + p); p != "/" {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
