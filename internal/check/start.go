package check

import (
	"fmt"

	"unroot/internal/entrypoint"
	"unroot/internal/finding"
	"unroot/internal/rootfs"
	"unroot/internal/survey"
)

var startChecks = []Check{
	{
		ID: "start", Title: "what starts is not there", Severity: finding.High,
		Doc: `The command of the image names a program or an interpreter that its file tree does not have, or has no command at all. It is broken for root too, unless the platform gives another command.`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, p := range s.Story.Problems {
				f := at(p.Path, problem(p), "give a command when the container is started, or mend the image")
				if p.Path == "" {
					f.Location.Field = "config.Entrypoint"
				}
				if p.Reason == entrypoint.NoCommand || p.Reason == entrypoint.Unreadable || p.Reason == entrypoint.Limit {
					f.Severity = finding.Low
				}
				found = append(found, f)
			}
			return append(found, missingLoaders(s)...)
		},
	},
	{
		ID: "not-executable", Title: "a program of the start cannot be reached or executed", Severity: finding.Critical,
		Doc: `To start a program, an identity needs search permission on every directory above it, execute permission on the file, read permission too if it is a script, and the same for its interpreter. A file that COPY brought with mode 0744, or an entrypoint in /root (mode 0700), starts for root only: "exec: \"/entrypoint.sh\": permission denied".`,
		Image: func(s *Subject) []finding.Finding {
			return unreadable(s, func(r survey.Read) bool { return r.Want&rootfs.Exec != 0 })
		},
	},
	{
		ID: "not-readable", Title: "a file that the program needs cannot be read", Severity: finding.High,
		Doc: `Configuration that only root or the packaged user can read (mode 0600 or 0640) is unreadable for another uid. Programs report it in many ways, from "Permission denied" to starting with defaults.`,
		Image: func(s *Subject) []finding.Finding {
			return unreadable(s, func(r survey.Read) bool { return r.Want == rootfs.Read })
		},
	},
	{
		ID: "working-directory", Title: "the working directory is missing or cannot be entered", Severity: finding.High,
		Doc: `An engine changes into WORKDIR as the identity that runs. Where it may not, the container does not start: "chdir to cwd set in config.json failed: permission denied". A missing one is made by root, so the program cannot write there.`,
		Image: func(s *Subject) []finding.Finding {
			dir := s.View.Config.WorkingDir()
			if _, err := s.View.Tree.Resolve(dir); err != nil {
				f := one("config.WorkingDir", fmt.Sprintf("%s does not exist; engines make it, owned by root", dir), convertHint)
				f[0].Severity = finding.Medium
				return f
			}
			for _, id := range s.identities() {
				if answer := s.View.Tree.May(id, dir, rootfs.Exec); !answer.OK {
					return one("config.WorkingDir", fmt.Sprintf("%s: %s", who(id), answer), convertHint)
				}
			}
			return nil
		},
	},
}

// missingLoaders is the programs of the start that need a loader (an ELF program's PT_INTERP) which the
// image has not: the kernel then says "no such file or directory" of the program itself.
func missingLoaders(s *Subject) []finding.Finding {
	var found []finding.Finding
	for _, r := range s.Reads {
		program, err := s.View.Tree.Resolve(r.Why.Where)
		if r.Why.Text != survey.ItsInterpreter || err != nil || program.Entry().Facts == nil || !program.Entry().Facts.ELF {
			continue // of a script, the reader of the start says so
		}
		if _, err := s.View.Tree.Resolve(r.Path); err != nil {
			found = append(found, at(r.Why.Where, fmt.Sprintf("its interpreter %s is missing", r.Path), "mend the image: a program that was linked for another one needs its libraries too"))
		}
	}
	return found
}

// problem is what is wrong with the start, with what is known of it.
func problem(p entrypoint.Problem) string {
	if p.Detail == "" {
		return string(p.Reason)
	}
	return string(p.Reason) + ": " + p.Detail
}

// unreadable is the findings for what must be read or executed and cannot be.
func unreadable(s *Subject, of func(survey.Read) bool) []finding.Finding {
	var found []finding.Finding
	for _, r := range s.Reads {
		place, ok := survey.Locate(s.View.Tree, r.Path)
		if !of(r) || !ok || !place.Exists || r.Path == s.View.Config.WorkingDir() {
			continue
		}
		for _, id := range s.identities() {
			answer := s.View.Tree.May(id, r.Path, r.Want)
			if answer.OK {
				continue
			}
			hint := convertHint
			if strict, yes := survey.OwnerStrict(place.Path); yes {
				hint = fmt.Sprintf("it must not get group rights (%s demands %s): let the program make its own, or mount it as a secret", strict.Reader, strict.Demand)
			}
			found = append(found, at(place.Path, fmt.Sprintf("by %s: %s (%s)", who(id), answer, r.Why), hint))
			break
		}
	}
	return found
}
