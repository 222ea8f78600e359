package entrypoint

import (
	"slices"
	"strings"
)

// grammar is how a program reads its options, as getopt_long(3) names it.
type grammar struct {
	short   string   // letters of short options that take a value
	suffix  string   // letters of short options that take the rest of their word, if there is any
	long    []string // long options that take a value, which may be the next word
	permute bool     // options may follow operands (GNU); else they end at the first operand (POSIX)
}

// option is one option as found.
type option struct {
	name  string // without dashes
	value string
	at    int  // index of the word that holds it
	words int  // 1, or 2 where the value is a word of its own
	alone bool // its word holds nothing else: no second short option
}

// valueAt is the index of the word that is the value, or -1 where value and option share a word.
func (o option) valueAt() int {
	if o.words == 2 {
		return o.at + 1
	}
	return -1
}

// hole stands for a word whose text is not known. No option or name is spelled like it.
const hole = "\x00"

// getopt splits argv[from:] into options and the indexes of operands.
func (g grammar) getopt(argv []string, from int) (opts []option, operands []int) {
	for i := from; i < len(argv); i++ {
		word := argv[i]
		switch {
		case word == "--":
			return opts, append(operands, indexes(i+1, len(argv))...)
		case strings.HasPrefix(word, "--"):
			o := g.longOption(argv, i)
			opts = append(opts, o)
			i += o.words - 1
		case len(word) > 1 && word[0] == '-':
			found := g.shortOptions(argv, i)
			opts = append(opts, found...)
			i += found[len(found)-1].words - 1
		case !g.permute:
			return opts, append(operands, indexes(i, len(argv))...)
		default:
			operands = append(operands, i)
		}
	}
	return opts, operands
}

func (g grammar) longOption(argv []string, i int) option {
	name, value, attached := strings.Cut(argv[i][2:], "=")
	o := option{name: name, value: value, at: i, words: 1, alone: true}
	if !attached && slices.Contains(g.long, name) && i+1 < len(argv) {
		o.value, o.words = argv[i+1], 2
	}
	return o
}

func (g grammar) shortOptions(argv []string, i int) []option {
	letters := argv[i][1:]
	var opts []option
	for j := range len(letters) {
		o := option{name: letters[j : j+1], at: i, words: 1, alone: j == 0}
		if strings.Contains(g.suffix, o.name) {
			o.value = letters[j+1:]
			return append(opts, o)
		}
		if !strings.Contains(g.short, o.name) {
			opts = append(opts, o)
			continue
		}
		if rest := letters[j+1:]; rest != "" {
			o.value = rest
		} else if i+1 < len(argv) {
			o.value, o.words = argv[i+1], 2
		}
		return append(opts, o)
	}
	if len(opts) > 1 {
		opts[0].alone = false
	}
	return opts
}

func indexes(from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// clearText is a word's text, empty where it is not known.
func clearText(s string) string {
	if strings.Contains(s, hole) {
		return ""
	}
	return s
}

// isAssignment reports whether the word is NAME=value, as env(1) and sudo(8) take before a command.
func isAssignment(s string) bool {
	name, _, found := strings.Cut(s, "=")
	return found && isName(name)
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
