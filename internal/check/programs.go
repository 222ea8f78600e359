package check

import (
	"fmt"

	"unroot/internal/finding"
)

var programChecks = []Check{
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
