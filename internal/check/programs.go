package check

import (
	"fmt"

	"unroot/internal/finding"
	"unroot/internal/startup"
)

// emulated reports whether the image's unroot-init answers calls that only root may make.
func (s *Subject) emulated() bool { return s.Init != nil && s.Init.Compat != startup.CompatOff }

var programChecks = []Check{
	{
		ID: "emulation", Title: "privilege separation inside this image is emulated", Severity: finding.Low,
		Doc: `unroot-init starts the program with --compat: calls that only root may make are answered, and change nothing. No privilege is gained: the kernel sees one user without capabilities throughout. But where the program believes that it gave its rights up, or that one part of it cannot reach the files of another, it has not, and can. What an engine starts beside it (docker exec, exec probes, health checks) is not answered. See unroot explain compat.`,
		Image: func(s *Subject) []finding.Finding {
			if !s.emulated() {
				return nil
			}
			return one("config.Entrypoint", "--compat="+string(s.Init.Compat), "a program that needs no emulation is better: another configuration, or another program for the same work")
		},
	},
	{
		ID: "setuid", Title: "a program takes its owner's rights when it starts", Severity: finding.Medium,
		Doc:   `A setuid-root program runs with uid 0 whoever starts it, unless no_new_privs is set (allowPrivilegeEscalation: false): it is a way from the regular user to root. Where no_new_privs is set it is inert. A setgid program does the same with a group.`,
		Twins: []Twin{{"dockle", "CIS-DI-0008", ""}},
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, e := range s.Elevated {
				if !e.SetUID && !e.SetGID {
					continue
				}
				f := at(e.Path, fmt.Sprintf("%04o, owner %d:%d", e.Entry.Mode, e.Entry.UID, e.Entry.GID), convertHint)
				if e.Entry.UID != 0 && e.SetUID || !e.SetUID && e.Entry.GID != 0 {
					f.Severity, f.Hint = finding.Low, "it gives no more than that user or group; run with no_new_privs"
				}
				found = append(found, f)
			}
			return found
		},
	},
	{
		ID: "file-capabilities", Title: "a program does not start where capabilities are dropped", Severity: finding.High,
		Doc: `A file with capabilities and the effective bit (setcap …+ep) asks the kernel for them at its start. Where they are not in the bounding set (--cap-drop ALL, as Pod Security "restricted" demands), execve fails with EPERM, for root too, and no_new_privs does not help: "exec /usr/bin/caddy: operation not permitted".`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, e := range s.Elevated {
				if e.CapsEff {
					f := at(e.Path, "security.capability with the effective bit", "setcap -r, and a port above 1023; "+convertHint)
					if !s.Named(e.Path) {
						f.Severity = finding.Medium
					}
					found = append(found, f)
				}
			}
			return found
		},
	},
	{
		ID: "insists-on-root", Title: "a program refuses to work without root", Severity: finding.High,
		Doc: `Some programs test for uid 0, or change to another user for each job, session or connection: systemd, s6-overlay's /init, cron, sshd for other users, postfix, chronyd. No permission mends that; another way to do the job does.`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			if s.emulated() {
				return nil // see emulation
			}
			for _, i := range s.InsistsOn {
				f := at(i.Program, i.Why, i.Instead)
				if i.SameUser {
					f.Severity = finding.Medium
				}
				found = append(found, f)
			}
			return found
		},
	},
}
