package recipe

import (
	"strconv"
	"strings"

	"unroot/internal/finding"
)

// MovePort gives the edit that binds to in place of d's port: it replaces the digits, or writes
// the port where it is implied. A range keeps its width, up to 65535. Where d has no port to move
// (Port and Implied are both 0), the edit changes nothing.
func MovePort(content []byte, d Directive, to uint16) finding.Edit {
	if !within(content, d.PortStart, d.PortEnd) || d.Port == 0 && d.Implied == 0 {
		return nothing(content, d)
	}
	text := strconv.Itoa(int(to))
	switch {
	case d.Port == 0:
		text = strings.ReplaceAll(d.Insert, "{port}", text)
	case d.PortLast != 0:
		last := min(65535, int(to)+int(d.PortLast)-int(d.Port))
		text += "-" + strconv.Itoa(last)
	}
	return finding.Edit{Start: d.PortStart, End: d.PortEnd, New: text}
}

// Remove gives the edit that takes d out: its bytes, and the whole line where nothing else is
// left on it. Where absence would mean a default that needs root (Instead), the value is replaced;
// where it acts by its absence (Absent), what says otherwise is inserted; in JSON, the comma goes too. Directives that share a statement give the same edit.
func Remove(content []byte, d Directive) finding.Edit {
	if !within(content, d.Start, d.End) || !within(content, d.ValueStart, d.ValueEnd) {
		return nothing(content, d)
	}
	if d.Absent {
		return finding.Edit{Start: d.Start, End: d.Start, New: d.Insert}
	}
	switch d.Instead {
	case "":
	case "{user}", "{group}":
		return nothing(content, d)
	default:
		start, end := d.ValueStart, d.ValueEnd
		if quoted(content, start, end) {
			start, end = start-1, end+1
		}
		return finding.Edit{Start: start, End: end, New: d.Instead}
	}
	start, end := d.Start, d.End
	if known := dialects().byName[d.Dialect]; known != nil && dialects().grammars[known.grammarName].Form == "json" {
		start, end = withComma(content, start, end)
	}
	left, right := start, end
	for left > 0 && isBlank(content[left-1]) {
		left--
	}
	for right < len(content) && isBlank(content[right]) {
		right++
	}
	atStart := left == 0 || content[left-1] == '\n'
	switch {
	case start == end:
	case !atStart && left < start && (right > end || right == len(content) || content[right] == '\n'):
		start = left // the blanks before it separated it
	case !atStart || right < len(content) && content[right] != '\n':
	case right < len(content):
		start, end = left, right+1
	default:
		start, end = left, right
	}
	return finding.Edit{Start: start, End: end}
}

// SetValue gives the edit that writes another value in d's place, inside the quotes that it has.
// The caller sees to it that the language needs no quotes for it.
func SetValue(content []byte, d Directive, value string) finding.Edit {
	if !within(content, d.ValueStart, d.ValueEnd) || d.ValueStart == d.ValueEnd {
		return nothing(content, d)
	}
	return finding.Edit{Start: d.ValueStart, End: d.ValueEnd, New: value}
}

func within(content []byte, start, end int) bool {
	return 0 <= start && start <= end && end <= len(content)
}

// nothing is an edit that changes no byte.
func nothing(content []byte, d Directive) finding.Edit {
	at := max(0, min(d.Start, len(content)))
	return finding.Edit{Start: at, End: at}
}

func quoted(content []byte, start, end int) bool {
	return start > 0 && end < len(content) && content[start-1] == content[end] && (content[end] == '"' || content[end] == '\'')
}

// withComma widens a JSON member by the comma after it, or where it is the last by the one before.
func withComma(content []byte, start, end int) (int, int) {
	i := end
	for i < len(content) && isSpace(content[i]) {
		i++
	}
	if i < len(content) && content[i] == ',' {
		return start, i + 1
	}
	i = start
	for i > 0 && isSpace(content[i-1]) {
		i--
	}
	if i > 0 && content[i-1] == ',' {
		return i - 1, end
	}
	return start, end
}
