package check

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"unroot/internal/account"
	"unroot/internal/entrypoint"
	"unroot/internal/finding"
	"unroot/internal/rootfs"
	"unroot/internal/survey"
)

var pathChecks = []Check{
	{
		ID: "not-writable", Title: "a path that the program writes cannot be written", Severity: finding.High,
		Doc: `Pid files, sockets, logs, caches and data lie in directories that root made. What counts is the directory: a program that makes, replaces or removes files needs to write in it. unroot looks at volumes, at what the configuration names, at what the entrypoint makes and hands over, at what the program's own strings name, and at folders of the program's name.`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, need := range s.Needs {
				if need.Why.Source == "volume" {
					continue // has a check of its own
				}
				for _, id := range s.identities() {
					why, bad := cannotSatisfy(s, id, need)
					if !bad {
						continue
					}
					f := at(need.Path, fmt.Sprintf("by %s: %s (%s)", who(id), why, need.Why), convertHint)
					if !need.Sure {
						f.Severity = finding.Medium
					}
					found = append(found, f)
					break
				}
			}
			return found
		},
	},
	{
		ID: "volume", Title: "a volume would not be writable", Severity: finding.High,
		Doc: `A new named volume takes over owner and mode of the image's directory; where the image has none, it belongs to root. A volume that has data keeps its old owner, and a bind mount has that of the host. So the image's directory decides for new volumes only.`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, v := range s.View.Config.Volumes() {
				for _, id := range s.identities() {
					why, bad := cannotSatisfy(s, id, survey.Need{Path: path.Clean("/" + v), Dir: true})
					if bad {
						found = append(found, finding.Finding{Location: finding.Location{Field: "config.Volumes", Path: v},
							Detail: fmt.Sprintf("by %s: %s", who(id), why), Hint: convertHint})
						break
					}
				}
			}
			return found
		},
	},
	{
		ID: "owner-strict", Title: "a file's owner and mode are checked by its reader", Severity: finding.Info,
		Doc: `Some programs compare owner and mode of a file with themselves and refuse it when the group may read or write it: private keys, .erlang.cookie, monitrc, PGDATA, sudoers, crontabs. Letting group 0 in everywhere (chmod -R g=u) breaks them. unroot leaves them out; for a uid that the platform picks they have to be made at start by whoever runs.`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, need := range s.Needs {
				if node, err := s.View.Tree.Lookup(need.Path); err == nil && need.Dir && node.IsDir() {
					found = append(found, strictBelow(s, node)...)
				}
			}
			return found
		},
	},
	{
		ID: "read-only-root", Title: "a read-only root file system needs a tmpfs or a volume here", Severity: finding.Info,
		Doc: `With readOnlyRootFilesystem (docker run --read-only) only volumes and tmpfs can be written. Every directory that the program writes must be one: what may be lost is a tmpfs (emptyDir), what must be kept a volume. A tmpfs starts empty: what the image has there is hidden.`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, dir := range s.WrittenDirs() {
				if s.IsVolume(dir) {
					continue
				}
				detail, hint := "what is written here must be kept: a volume", "docker run --read-only -v NAME:"+dir+"; in Kubernetes a persistentVolumeClaim"
				if survey.Ephemeral(dir) {
					detail, hint = "what is written here may be lost: a tmpfs", "docker run --read-only --tmpfs "+dir+"; in Kubernetes an emptyDir"
				}
				found = append(found, at(dir, detail, hint))
			}
			return found
		},
	},
}

// cannotSatisfy says why an identity cannot write what is needed.
func cannotSatisfy(s *Subject, id account.Identity, need survey.Need) (string, bool) {
	node, err := s.View.Tree.Lookup(need.Path)
	switch {
	case err != nil && need.Dir && isVolumeRoot(s, need.Path):
		return "is not in the image: engines make it, owned by root", true
	case err != nil:
		answer := s.View.Tree.MayCreate(id, existing(s, need.Path))
		return answer.String(), !answer.OK
	case node.IsDir():
		answer := s.View.Tree.May(id, need.Path, rootfs.Write|rootfs.Exec)
		return answer.String(), !answer.OK
	}
	answer := s.View.Tree.May(id, need.Path, rootfs.Write)
	return answer.String(), !answer.OK
}

// isVolumeRoot reports whether engines make the directory when a container starts: a declared volume
// itself, not what is below it.
func isVolumeRoot(s *Subject, p string) bool {
	return slices.ContainsFunc(s.View.Config.Volumes(), func(v string) bool {
		at, ok := survey.Locate(s.View.Tree, v)
		return path.Clean("/"+v) == p || ok && at.Path == p
	})
}

// existing is the topmost component of p that is not there: to make p, that one must be made.
func existing(s *Subject, p string) string {
	for {
		parent := path.Dir(p)
		if _, err := s.View.Tree.Resolve(parent); err == nil || parent == "/" {
			return p
		}
		p = parent
	}
}

// cannotWrite says why a task of a script cannot write a path.
func cannotWrite(s *Subject, id account.Identity, kind entrypoint.Kind, p string) (string, bool) {
	place, ok := survey.Locate(s.View.Tree, p)
	if !ok || strings.HasPrefix(place.Path, "/dev/") || strings.HasPrefix(place.Path, "/proc/") {
		return "", false
	}
	switch {
	case kind == entrypoint.MakeDir && place.Exists:
		return "", false
	case kind == entrypoint.SedInPlace:
		answer := s.View.Tree.May(id, path.Dir(place.Path), rootfs.Write|rootfs.Exec)
		return fmt.Sprintf(" (%s: %s)", who(id), answer), !answer.OK
	case place.Exists && place.Node.IsDir():
		answer := s.View.Tree.May(id, place.Path, rootfs.Write|rootfs.Exec)
		return fmt.Sprintf(" (%s: %s)", who(id), answer), !answer.OK
	case place.Exists:
		answer := s.View.Tree.May(id, place.Path, rootfs.Write)
		return fmt.Sprintf(" (%s: %s)", who(id), answer), !answer.OK
	}
	answer := s.View.Tree.MayCreate(id, existing(s, place.Path))
	return fmt.Sprintf(" (%s: %s)", who(id), answer), !answer.OK
}

func strictBelow(s *Subject, dir *rootfs.Node) []finding.Finding {
	var found []finding.Finding
	for node := range s.View.Tree.Walk(dir.Path()) {
		if node.IsDir() {
			if rule, ok := s.IsStrictDir(node); ok {
				found = append(found, at(node.Path(), fmt.Sprintf("%s demands %s", rule.Reader, rule.Demand), "an unknown uid needs a directory that it makes itself"))
			}
			continue
		}
		if rule, ok := survey.OwnerStrict(node.Path()); ok {
			found = append(found, at(node.Path(), fmt.Sprintf("%s demands %s", rule.Reader, rule.Demand), "it keeps its owner and mode"))
		}
	}
	return found
}
