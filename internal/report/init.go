package report

import (
	"fmt"
	"strings"

	"unroot/internal/startup"
	"unroot/internal/verify"
)

// Does says in words what unroot-init does at start, in the order in which it does it.
func Does(o startup.Order) []string {
	does := []string{}
	add := func(yes bool, text string, args ...any) {
		if yes {
			does = append(does, fmt.Sprintf(text, args...))
		}
	}
	home := o.Home
	if home == "" {
		home = startup.Run + "/home"
	}
	add(prepares(o), "sets HOME to %s where it is missing or cannot be written, and USER and LOGNAME where they are missing", safe(home))
	add(o.Java, "tells Java its user's name and home in JAVA_TOOL_OPTIONS")
	if o.Umask != nil {
		add(true, "sets the umask to %04o", *o.Umask)
	}
	for _, dir := range o.Fill {
		add(true, "fills %s from the image, where something is mounted over it", safe(dir))
	}
	for _, p := range o.Private {
		add(p.Dir, "makes the directory %s, mode %04o, of the user who runs", safe(p.Path), p.Mode)
		add(!p.Dir, "copies %s for the user who runs, mode %04o", safe(p.Path), p.Mode)
	}
	add(len(o.Writable) > 0, "tests that %s can be written, and ends with status %d where one cannot", safeList(o.Writable), startup.ExitVolume)
	does = append(does, stays(o)...)
	return does
}

// stays is what lasts while the program runs.
func stays(o startup.Order) []string {
	var does []string
	add := func(yes bool, text string) {
		if yes {
			does = append(does, text)
		}
	}
	switch o.Names {
	case startup.NamesNscd:
		add(true, "answers for a uid without a passwd entry")
	case startup.NamesWrapper:
		add(true, "answers for a uid without a passwd entry by the image's nss_wrapper")
	case startup.NamesAuto:
		add(true, "answers for a uid without a passwd entry, as the C libraries of the image ask for it")
	}
	switch o.Compat {
	case startup.CompatSimple:
		add(true, "lets the calls that change owners, users and groups succeed and do nothing")
	case startup.CompatIdentities:
		add(true, "keeps for every process the user, groups and capabilities that it believes to have")
	case startup.CompatConsistent:
		add(true, "keeps for every process the user, groups and capabilities that it believes to have, and for files the owners that were given to them")
	}
	add(o.Stay, "stays as first process: it collects what ends, and hands on signals")
	return does
}

// prepares reports whether the program gets another environment: an order about processes alone leaves it.
func prepares(o startup.Order) bool {
	return o.Names != startup.NamesOff || o.Home != "" || o.Java || o.Umask != nil || len(o.Writable)+len(o.Private)+len(o.Fill) > 0
}

func safeList(words []string) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = safe(w)
	}
	return strings.Join(list, ", ")
}

// emulation is the sentence about a step; "" for none.
func emulation(step string) string { return verify.Expect{Compat: step}.Emulation() }
