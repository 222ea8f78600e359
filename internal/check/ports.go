package check

import (
	"fmt"
	"strings"

	"unroot/internal/finding"
)

var portChecks = []Check{
	{
		ID: "low-port", Title: "a port below 1024 is bound", Severity: finding.High,
		Doc: `The kernel lets a process without CAP_NET_BIND_SERVICE bind only ports from net.ipv4.ip_unprivileged_port_start on, 1024 by default. Docker (since 20.10) and containerd's CRI (since 2.0) set it to 0 for a container with its own network; Podman and CRI-O, and so OpenShift, do not. In Kubernetes it is a safe sysctl of the pod. An added capability does not help: a regular user's process gets none without ambient capabilities, which Kubernetes does not set.

So an image that is meant to run everywhere listens above 1023. unroot moves the port in the program's own configuration, and in ExposedPorts, HEALTHCHECK, Env and Cmd with it.`,
		Twins: []Twin{{"kube-linter", "privileged-ports", "manifests only"}, {"Trivy", "KSV-0117", "manifests only"}},
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, port := range s.LowPorts() {
				listens := s.ListensOn(port, "")
				if len(listens) == 0 {
					found = append(found, one("config.ExposedPorts", fmt.Sprintf("%d, and where the program is told to listen on it was not found", port),
						fmt.Sprintf("tell the program, and unroot convert --port %d=%d; or set net.ipv4.ip_unprivileged_port_start", port, port+8000))...)
				}
				for _, l := range listens {
					f := finding.Finding{Detail: fmt.Sprintf("%d (%s)", port, l.Why.Text), Hint: convertHint}
					if l.Directive != nil {
						f.Location = finding.Location{Path: l.Config.Path, Line: l.Directive.Line}
					} else {
						f.Location = finding.Location{Field: "config." + l.Field}
					}
					found = append(found, f)
				}
			}
			return found
		},
	},
	{
		ID: "drops-privileges", Title: "a configuration file changes the user or the root directory", Severity: finding.Medium,
		Doc: `Daemons that start as root drop their rights by themselves: user, group, chroot and the like in their configuration. As a regular user they cannot, and some stop there. In an image that starts as the right user the directive has no meaning any more.`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, f := range s.Configs {
				for _, d := range f.Directives {
					if !d.Drop || !s.RunsRoot {
						continue
					}
					severity := finding.Low
					if d.Fatal {
						severity = finding.High
					}
					found = append(found, finding.Finding{Severity: severity, Location: finding.Location{Path: f.Path, Line: d.Line},
						Detail: strings.Join(strings.Fields(string(f.Content[d.Start:d.End])), " "), Hint: "take it out; " + convertHint})
				}
			}
			return found
		},
	},
}
