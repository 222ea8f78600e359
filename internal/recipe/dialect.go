package recipe

import (
	"bytes"
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

//go:embed dialects.yaml
var dialectData []byte

// Dialect is how one family of configuration files names what matters for a regular user. The
// fields are the schema of dialects.yaml, which documents each.
type Dialect struct {
	Name    string   `yaml:"name" json:"name"`
	Doc     string   `yaml:"doc" json:"doc"`
	Grammar string   `yaml:"grammar" json:"grammar"`
	Generic bool     `yaml:"generic" json:"generic,omitempty"`
	Suffix  []string `yaml:"suffix" json:"suffix,omitempty"`
	Signs   []Sign   `yaml:"signs" json:"signs,omitempty"`
	Known   []string `yaml:"known" json:"known,omitempty"`
	Rules   []Rule   `yaml:"rules" json:"rules"`
	Missing []Absent `yaml:"missing" json:"missing,omitempty"`
}

// Sign is a statement that tells a dialect from others.
type Sign struct {
	Key   string `yaml:"key" json:"key"`
	In    string `yaml:"in" json:"in,omitempty"`
	Value string `yaml:"value" json:"value,omitempty"`
	Opens bool   `yaml:"opens" json:"opens,omitempty"`
}

// Rule is what one key means.
type Rule struct {
	Key      []string          `yaml:"key" json:"key"`
	In       []string          `yaml:"in" json:"in,omitempty"`
	NotIn    []string          `yaml:"notIn" json:"notIn,omitempty"`
	Role     Role              `yaml:"role" json:"role"`
	Kind     string            `yaml:"kind" json:"kind"`
	Dir      bool              `yaml:"dir" json:"dir,omitempty"`
	Arg      int               `yaml:"arg" json:"arg,omitempty"`
	After    string            `yaml:"after" json:"after,omitempty"`
	Pair     bool              `yaml:"pair" json:"pair,omitempty"`
	Each     bool              `yaml:"each" json:"each,omitempty"`
	Rest     bool              `yaml:"rest" json:"rest,omitempty"`
	Split    string            `yaml:"split" json:"split,omitempty"`
	Match    string            `yaml:"match" json:"match,omitempty"`
	Not      string            `yaml:"not" json:"not,omitempty"`
	Header   bool              `yaml:"header" json:"header,omitempty"`
	Loopback bool              `yaml:"loopback" json:"loopback,omitempty"`
	Wildcard bool              `yaml:"wildcard" json:"wildcard,omitempty"`
	NeedPort bool              `yaml:"needPort" json:"needPort,omitempty"`
	Sep      string            `yaml:"sep" json:"sep,omitempty"`
	Bare     string            `yaml:"bare" json:"bare,omitempty"`
	LastSep  bool              `yaml:"lastSep" json:"lastSep,omitempty"`
	Prefixes map[string]string `yaml:"prefixes" json:"prefixes,omitempty"`
	Proto    string            `yaml:"proto" json:"proto,omitempty"`
	Protos   map[string]string `yaml:"protos" json:"protos,omitempty"`
	Implied  uint16            `yaml:"implied" json:"implied,omitempty"`
	Insert   string            `yaml:"insert" json:"insert,omitempty"`
	Drop     bool              `yaml:"drop" json:"drop,omitempty"`
	Fatal    bool              `yaml:"fatal" json:"fatal,omitempty"`
	Instead  string            `yaml:"instead" json:"instead,omitempty"`
}

// Absent is a directive that has an effect by not being there.
type Absent struct {
	In      string   `yaml:"in" json:"in"`
	Unless  []string `yaml:"unless" json:"unless"`
	Section string   `yaml:"section" json:"section,omitempty"`
	Hint    bool     `yaml:"hint" json:"hint,omitempty"`
	Role    Role     `yaml:"role" json:"role"`
	Proto   string   `yaml:"proto" json:"proto,omitempty"`
	Implied uint16   `yaml:"implied" json:"implied,omitempty"`
	Insert  string   `yaml:"insert" json:"insert"`
	Drop    bool     `yaml:"drop" json:"drop,omitempty"`
	Fatal   bool     `yaml:"fatal" json:"fatal,omitempty"`
}

// Grammar is the syntax that dialects share.
type Grammar struct {
	Form           string   `yaml:"form" json:"form"`
	Comments       []string `yaml:"comments" json:"comments,omitempty"`
	CommentLines   []string `yaml:"commentLines" json:"commentLines,omitempty"`
	BlockComments  bool     `yaml:"blockComments" json:"blockComments,omitempty"`
	BlockSemicolon bool     `yaml:"blockSemicolon" json:"blockSemicolon,omitempty"`
	Quotes         string   `yaml:"quotes" json:"quotes,omitempty"`
	InnerQuotes    bool     `yaml:"innerQuotes" json:"innerQuotes,omitempty"`
	Operators      []string `yaml:"operators" json:"operators,omitempty"`
	NeedOperator   bool     `yaml:"needOperator" json:"needOperator,omitempty"`
	Whole          bool     `yaml:"whole" json:"whole,omitempty"`
	Brackets       bool     `yaml:"brackets" json:"brackets,omitempty"`
	Angles         bool     `yaml:"angles" json:"angles,omitempty"`
	Braces         bool     `yaml:"braces" json:"braces,omitempty"`
	Parens         bool     `yaml:"parens" json:"parens,omitempty"`
	Join           string   `yaml:"join" json:"join,omitempty"`
	SectionWords   []string `yaml:"sectionWords" json:"sectionWords,omitempty"`
	OpensBare      bool     `yaml:"opensBare" json:"opensBare,omitempty"`
	Continuation   bool     `yaml:"continuation" json:"continuation,omitempty"`
	Fold           bool     `yaml:"fold" json:"fold,omitempty"`
	Dashes         bool     `yaml:"dashes" json:"dashes,omitempty"`
	Transparent    []string `yaml:"transparent" json:"transparent,omitempty"`
	Raw            []string `yaml:"raw" json:"raw,omitempty"`
	Multiline      []string `yaml:"multiline" json:"multiline,omitempty"`

	sectionWords map[string]bool
	transparent  map[string]bool
}

// fold gives a key as it is compared.
func (g *Grammar) fold(key string) string {
	if g.Fold {
		key = strings.ToLower(key)
	}
	if g.Dashes {
		key = strings.ReplaceAll(key, "-", "_")
	}
	return key
}

// file is dialects.yaml.
type file struct {
	Grammars map[string]*Grammar `yaml:"grammars"`
	Shared   map[string][]Rule   `yaml:"shared"` // rule lists that dialects repeat by YAML alias
	Dialects []Dialect           `yaml:"dialects"`
}

// rule is a Rule with its patterns compiled and its keys folded.
type rule struct {
	*Rule
	match, not *regexp.Regexp
}

// dialect is a Dialect ready for use.
type dialect struct {
	*Dialect
	grammarName string
	order       int
	rules       map[string][]*rule // by folded key
	globs       []globRule
	known       map[string]bool
	signs       []sign
}

type globRule struct {
	glob string
	rule *rule
}

type sign struct {
	Sign
	key   string // folded
	lower []byte // lower-case fixed part of the key, which must occur in the file
	value *regexp.Regexp
}

type catalogue struct {
	grammars map[string]*Grammar
	list     []*dialect
	byName   map[string]*dialect
}

// dialects decodes the data once, at first use: it costs milliseconds that most commands never pay.
var dialects = sync.OnceValue(func() *catalogue {
	c, err := load(dialectData)
	if err != nil {
		panic("[internal error] reading embedded dialects: " + err.Error()) // a test loads the same bytes
	}
	return c
})

// Dialects gives the data of all dialects, in the order of the file, for documentation. Treat it
// as read-only.
func Dialects() []Dialect {
	out := make([]Dialect, len(dialects().list))
	for i, d := range dialects().list {
		out[i] = *d.Dialect
	}
	return out
}

// load decodes and checks dialect data; an unknown field is an error.
func load(data []byte) (*catalogue, error) {
	var f file
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("decoding dialects: %w", err)
	}
	c := &catalogue{grammars: f.Grammars, byName: map[string]*dialect{}}
	for name, g := range f.Grammars {
		if err := g.prepare(); err != nil {
			return nil, fmt.Errorf("grammar %q: %w", name, err)
		}
	}
	for i := range f.Dialects {
		d, err := compile(&f.Dialects[i], f.Grammars)
		if err != nil {
			return nil, fmt.Errorf("dialect %q: %w", f.Dialects[i].Name, err)
		}
		if c.byName[d.Name] != nil {
			return nil, fmt.Errorf("dialect %q: twice", d.Name)
		}
		d.order = i
		c.list = append(c.list, d)
		c.byName[d.Name] = d
	}
	return c, nil
}

func (g *Grammar) prepare() error {
	switch g.Form {
	case "block", "lines", "yaml", "json", "shell":
	default:
		return fmt.Errorf("form %q: want block, lines, yaml, json or shell", g.Form)
	}
	g.sectionWords, g.transparent = map[string]bool{}, map[string]bool{}
	for _, w := range g.SectionWords {
		g.sectionWords[g.fold(w)] = true
	}
	for _, w := range g.Transparent {
		g.transparent[g.fold(w)] = true
	}
	return nil
}

func compile(data *Dialect, grammars map[string]*Grammar) (*dialect, error) {
	g := grammars[data.Grammar]
	switch {
	case g == nil:
		return nil, fmt.Errorf("grammar %q: not defined", data.Grammar)
	case data.Name == "" || data.Doc == "":
		return nil, fmt.Errorf("want a name and a doc")
	case len(data.Signs) == 0 && !data.Generic:
		return nil, fmt.Errorf("want signs, or generic")
	}
	d := &dialect{Dialect: data, grammarName: data.Grammar, rules: map[string][]*rule{}, known: map[string]bool{}}
	for i := range data.Rules {
		if err := d.addRule(&data.Rules[i], g); err != nil {
			return nil, fmt.Errorf("rule %v: %w", data.Rules[i].Key, err)
		}
	}
	for _, k := range data.Known {
		d.known[g.fold(k)] = true
	}
	for _, s := range data.Signs {
		if err := d.addSign(s, g); err != nil {
			return nil, fmt.Errorf("sign %q: %w", s.Key, err)
		}
	}
	return d, nil
}

func (d *dialect) addRule(data *Rule, g *Grammar) error {
	r := &rule{Rule: data}
	var err error
	if r.match, err = compilePattern(data.Match); err != nil {
		return err
	}
	if r.match != nil && r.match.NumSubexp() != 1 {
		return fmt.Errorf("match %q: want one group", data.Match)
	}
	if r.not, err = compilePattern(data.Not); err != nil {
		return err
	}
	if err := data.valid(); err != nil {
		return err
	}
	for _, key := range data.Key {
		key = g.fold(key)
		if !strings.ContainsAny(key, "*?") {
			d.rules[key] = append(d.rules[key], r)
			continue
		}
		key = strings.ReplaceAll(key, "[", `\[`) // lighttpd's keys have brackets; no glob needs a class
		if _, err := path.Match(key, ""); err != nil {
			return err
		}
		d.globs = append(d.globs, globRule{key, r})
	}
	return nil
}

func (d *dialect) addSign(s Sign, g *Grammar) error {
	value, err := compilePattern(s.Value)
	if err != nil {
		return err
	}
	key := g.fold(s.Key)
	fixed := strings.ToLower(s.Key)
	if i := strings.IndexAny(fixed, "*?"); i >= 0 {
		fixed = fixed[:i]
	}
	if g.Dashes {
		fixed, _, _ = strings.Cut(strings.ReplaceAll(fixed, "-", "_"), "_")
	}
	d.signs = append(d.signs, sign{Sign: s, key: key, lower: []byte(fixed), value: value})
	return nil
}

func compilePattern(expr string) (*regexp.Regexp, error) {
	if expr == "" {
		return nil, nil
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	return re, nil
}

var roles = map[Role]bool{
	Listen: true, User: true, Group: true, Chroot: true, PidFile: true, Socket: true, Log: true, StateDir: true, StateFile: true,
	Include: true, Daemonize: true, TLSKey: true, Document: true, Command: true, Reference: true,
}

// valid checks what the types do not.
func (r *Rule) valid() error {
	switch {
	case len(r.Key) == 0:
		return fmt.Errorf("want a key")
	case !roles[r.Role]:
		return fmt.Errorf("role %q: not one of the roles", r.Role)
	case r.Fatal && !r.Drop:
		return fmt.Errorf("fatal without drop")
	case r.Proto != "" && r.Proto != "tcp" && r.Proto != "udp":
		return fmt.Errorf("proto %q: want tcp or udp", r.Proto)
	case r.Implied != 0 && !strings.Contains(r.Insert, "{port}"):
		return fmt.Errorf("implied without an insert that names {port}")
	}
	switch r.Kind {
	case "text", "path", "host", "flag":
		if r.Role == Reference {
			return fmt.Errorf("a reference must have a port")
		}
	case "port", "address", "url":
	default:
		return fmt.Errorf("kind %q: want text, path, host, flag, port, address or url", r.Kind)
	}
	switch r.Bare {
	case "", "port", "host":
	default:
		return fmt.Errorf("bare %q: want port or host", r.Bare)
	}
	return nil
}
