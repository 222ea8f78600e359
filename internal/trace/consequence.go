package trace

import "path"

// Causal parts denials into those that can be causes and those that are consequences, each in their order: a program
// that fails does things that it never did in the baseline, such as writing a core dump, and what it is refused
// then explains nothing. A denial is taken for a cause where the baseline did the same with success: the same
// program, to the same file or to another one in the same directory.
func Causal(denials []Denial, baseline Log) (causes, consequences []Denial) {
	did := map[string]bool{}
	for _, e := range baseline.Events {
		if e.Errno == "" {
			for _, key := range deeds(e.Kind, e.Exe, e.Path, e.Addr) {
				did[key] = true
			}
		}
	}
	for _, d := range denials {
		caused := false
		for _, key := range deeds(d.Kind, d.Exe, d.Path, d.Addr) {
			caused = caused || did[key]
		}
		if caused {
			causes = append(causes, d)
		} else {
			consequences = append(consequences, d)
		}
	}
	return causes, consequences
}

// deeds is by what two events are known as the same thing. Ports may have moved; ids differ.
func deeds(k Kind, exe, p, addr string) []string {
	by := string(k) + "\x00" + exe + "\x00"
	switch {
	case k == Bind && p == "":
		proto, _, _ := Port(addr)
		return []string{by + proto}
	case p == "":
		return []string{by}
	}
	return []string{by + p, by + path.Dir(p) + "/"}
}
