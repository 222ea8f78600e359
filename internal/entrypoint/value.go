package entrypoint

import "strings"

// maxText bounds the text of one value: expansions can double a value with every line of a script.
const maxText = 8 << 10

// nature says what is known of a value besides its text.
type nature uint8

const (
	plain     nature = iota
	otherUID         // a number that is not 0: the uid of a start as a regular user
	otherName        // an account name that is not root, or none
	absent           // a variable that the image does not set: empty, unless whoever starts the container sets it
)

// value is what is known of a string.
type value struct {
	text   string // the whole text, or the part before the first unknown character
	whole  bool
	nature nature
	glob   bool // has an unquoted *, ? or [
	shaky  bool // comes from Env, Cmd or files, which another start may change
}

func known(text string) value { return value{text: text, whole: true} }

// unknown is a value of which nothing is known.
func unknown() value { return value{} }

// static reports whether the value is the same in every start of the image as it is.
func (v value) static() bool { return v.whole && v.nature != absent }

// then is v followed by w, as in one word.
func (v value) then(w value) value {
	if v.nature == plain && v.whole && v.text == "" {
		w.glob, w.shaky = w.glob || v.glob, w.shaky || v.shaky
		return w
	}
	if w.nature == plain && w.whole && w.text == "" {
		v.shaky = v.shaky || w.shaky
		return v
	}
	out := value{text: v.text, whole: v.whole, glob: v.glob || w.glob, shaky: v.shaky || w.shaky}
	if v.nature != plain {
		out.whole = false
	}
	if out.whole {
		out.text += w.text
		out.whole = w.whole && w.nature == plain
	}
	if len(out.text) > maxText {
		out.text, out.whole = out.text[:maxText], false
	}
	return out
}

// shake marks v as something that another start may change.
func (v value) shake() value {
	v.shaky = true
	return v
}

// truth is a three-valued answer.
type truth int8

const (
	no    truth = -1
	open  truth = 0
	right truth = 1
)

// verdict is the answer of a condition or the exit status of a command.
type verdict struct {
	is    truth
	shaky bool // rests on Env, Cmd or files, which another start may change
	ran   bool // status of a plain command: unknown, and expected to be success
}

var (
	surely   = verdict{is: right}
	never    = verdict{is: no}
	perhaps  = verdict{}
	executed = verdict{ran: true}
)

func answer(b, shaky bool) verdict {
	if b {
		return verdict{is: right, shaky: shaky}
	}
	return verdict{is: no, shaky: shaky}
}

func (v verdict) definite(t truth) bool { return v.is == t && !v.shaky }

func (v verdict) not() verdict {
	return verdict{is: -v.is, shaky: v.shaky}
}

// and is definitely no where one side is, whatever the other side rests on.
func (v verdict) and(w verdict) verdict {
	switch {
	case v.definite(no) || w.definite(no):
		return never
	case v.is == no || w.is == no:
		return verdict{is: no, shaky: true}
	case v.is == open || w.is == open:
		return verdict{ran: (v.ran || v.is == right) && (w.ran || w.is == right)}
	}
	return verdict{is: right, shaky: v.shaky || w.shaky}
}

func (v verdict) or(w verdict) verdict { return v.not().and(w.not()).not() }

// join is the status after one of two branches.
func (v verdict) join(w verdict) verdict {
	out := verdict{shaky: v.shaky || w.shaky, ran: v.ran && w.ran}
	if v.is == w.is {
		out.is = v.is
	}
	return out
}

// equal compares two values as strings.
func equal(a, b value) verdict {
	if a.nature > b.nature {
		a, b = b, a
	}
	shaky := a.shaky || b.shaky
	switch {
	case a.nature == absent:
		return verdict{is: right, shaky: true}
	case b.nature == absent && a.nature == plain:
		return differ(a, value{whole: true}, true)
	case b.nature == absent:
		return verdict{is: no, shaky: true}
	case a.nature == otherUID && b.nature == otherUID:
		return verdict{is: open}
	case a.nature == plain && b.nature == otherUID && a.whole:
		if a.text == "0" || !isNumber(a.text) {
			return verdict{is: no, shaky: shaky}
		}
		return perhaps
	case a.nature == plain && b.nature == otherName && a.whole:
		if a.text == "root" {
			return verdict{is: no, shaky: shaky}
		}
		return perhaps
	case a.nature == plain && b.nature == plain:
		return differ(a, b, shaky)
	}
	return perhaps
}

// differ compares two plain values of which one or both may be known only by their beginning.
func differ(a, b value, shaky bool) verdict {
	switch {
	case a.whole && b.whole:
		return answer(a.text == b.text, shaky)
	case a.whole && !strings.HasPrefix(a.text, b.text), b.whole && !strings.HasPrefix(b.text, a.text):
		return answer(false, shaky)
	case !a.whole && !b.whole && !strings.HasPrefix(a.text, b.text) && !strings.HasPrefix(b.text, a.text):
		return answer(false, shaky)
	}
	return perhaps
}

// empty says whether the value is the empty string.
func empty(v value) verdict {
	switch {
	case v.nature == absent:
		return verdict{is: right, shaky: true}
	case v.nature == otherUID:
		return never
	case v.whole:
		return answer(v.text == "", v.shaky)
	case v.text != "":
		return answer(false, v.shaky)
	}
	return perhaps
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
