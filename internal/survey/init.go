package survey

import (
	"path"
	"slices"
	"strings"

	"unroot/internal/image"
	"unroot/internal/startup"
	"unroot/internal/startup/libc"
)

// InitOf is what unroot-init is told to do in an image that starts with it, and the command line that
// it then starts. ok is false where the image does not start with it, or tells it what it does not
// understand.
func InitOf(c image.Config) (o startup.Order, program []string, ok bool) {
	start := slices.Concat(c.Entrypoint(), c.Cmd())
	if len(start) == 0 || start[0] != startup.Path {
		return startup.Order{}, nil, false
	}
	o, program, err := startup.Parse(start[1:])
	return o, program, err == nil
}

// Lookup is how the C libraries of an image come to know of a uid that no account file has.
type Lookup struct {
	Library string // the library that decides, or nss_wrapper's; empty where there is none: static programs
	Names   startup.Names
}

// Lookup looks at the C libraries of the image. Where one of them asks a daemon, that is the way: it
// serves static programs too. Where there are some and none asks, it is nss_wrapper, if the image has it.
func (s *Survey) Lookup() Lookup {
	var deaf, wrapper string
	for node := range s.View.Tree.Walk("/") {
		switch name := path.Base(node.Path()); {
		case strings.HasPrefix(name, "libnss_wrapper.so"):
			wrapper = node.Path()
		case libc.Is(name):
			facts := node.Entry().Facts
			if facts == nil || !facts.ELF {
				continue
			}
			if slices.Contains(facts.Mentions, libc.Socket) {
				return Lookup{node.Path(), startup.NamesNscd}
			}
			deaf = node.Path()
		}
	}
	switch {
	case deaf == "":
		return Lookup{"", startup.NamesNscd}
	case wrapper != "":
		return Lookup{wrapper, startup.NamesWrapper}
	}
	return Lookup{deaf, startup.NamesOff}
}
