package survey

import (
	"path"
	"slices"
	"strings"

	"unroot/internal/entrypoint"
)

// Insist is a program that does not do its work under a regular uid, whatever its files allow.
type Insist struct {
	Program string // path in the image
	Why     string
	Instead string // what to do
	Where   Evidence
	// SameUser is true where it works for one user, the one that starts it, and fails for others.
	SameUser bool
	// Jail is the directory that it changes its root to while it serves, which it demands to be empty.
	Jail string
}

// insisting is the data behind InsistsOn: programs that test for uid 0 or must change their uid for
// each job. Sources: failure classes A7, B9, B10, B12, B13.
var insisting = map[string]Insist{
	"systemd":   {Why: "it stops unless it is uid 0 (PID 1 of a system)", Instead: "start the one service of the image directly: take ExecStart of its unit as the command"},
	"init":      {Why: "an init system sets up a machine as root", Instead: "start the one service of the image directly"},
	"s6-svscan": {Why: "its supervision tree is set up as root", Instead: "start the one service's run script directly"},
	"cron":      {Why: "it changes to each job's user", Instead: "use the platform's scheduler (a CronJob), or a single-user scheduler such as supercronic"},
	"crond":     {Why: "it changes to each job's user", Instead: "use the platform's scheduler (a CronJob), or a single-user scheduler such as supercronic"},
	"anacron":   {Why: "it changes to each job's user", Instead: "use the platform's scheduler (a CronJob)"},
	"atd":       {Why: "it changes to each job's user", Instead: "use the platform's scheduler (a Job)"},
	"sshd": {Why: "it changes to the user who logs in; only logins of the user that runs it can work", Instead: "give it host keys of its own, a port above 1023 and UsePAM no, and log in as that user", SameUser: true,
		Jail: "/run/sshd"}, // configure --with-privsep-path in Debian; sshd.c checks its owner and mode
	"dropbear":   {Why: "it changes to the user who logs in; only logins of the user that runs it can work", Instead: "give it host keys of its own and a port above 1023, and log in as that user", SameUser: true},
	"master":     {Why: "postfix's master tests for uid 0", Instead: "use a mail server that runs as one user, or relay outside the container"},
	"postfix":    {Why: "its master process tests for uid 0", Instead: "use a mail server that runs as one user, or relay outside the container"},
	"exim4":      {Why: "it accepts only uid 0 or the user compiled in", Instead: "run it under its own fixed uid"},
	"exim":       {Why: "it accepts only uid 0 or the user compiled in", Instead: "run it under its own fixed uid"},
	"chronyd":    {Why: "it tests for uid 0 and sets the clock", Instead: "leave the clock to the host"},
	"ntpd":       {Why: "it sets the clock", Instead: "leave the clock to the host"},
	"in.tftpd":   {Why: "each request drops its groups, which only root may", Instead: "use a TFTP server that runs as one user"},
	"xinetd":     {Why: "it changes to each service's user", Instead: "start the one service directly"},
	"inetd":      {Why: "it changes to each service's user", Instead: "start the one service directly"},
	"vsftpd":     {Why: "it must be started as root unless run_as_launching_user is set", Instead: "set run_as_launching_user, or use an FTP server that runs as one user"},
	"dockerd":    {Why: "an engine sets up namespaces, mounts and devices", Instead: "use a rootless engine"},
	"containerd": {Why: "an engine sets up namespaces, mounts and devices", Instead: "use a rootless engine"},
	"keepalived": {Why: "it changes addresses of the network", Instead: "let the platform's load balancer do it"},
}

// overlayMarkers are paths that tell an s6-overlay image, whose /init sets up /run as root.
var overlayMarkers = []string{"/package/admin/s6-overlay", "/etc/s6-overlay", "/etc/services.d"}

func findInsists(s *Survey) []Insist {
	var found []Insist
	seen := map[string]bool{}
	for _, step := range s.Story.Steps {
		where := Evidence{"program", where(step), step.Path}
		if insist, ok := insistOf(s, step); ok && !seen[step.Path] {
			seen[step.Path] = true
			insist.Program, insist.Where = step.Path, where
			found = append(found, insist)
		}
	}
	for _, t := range s.Story.Tasks {
		insist, ok := insistOfTask(t)
		if ok && !slices.ContainsFunc(found, func(i Insist) bool { return path.Base(i.Program) == path.Base(insist.Program) }) {
			found = append(found, insist)
		}
	}
	return found
}

func insistOf(s *Survey, step entrypoint.Step) (Insist, bool) {
	if step.Path == "/init" {
		for _, marker := range overlayMarkers {
			if _, err := s.View.Tree.Resolve(marker); err == nil {
				return Insist{Why: "s6-overlay sets up /run and its services as root", Instead: "start the one service's run script directly, or rebuild with a fixed uid that owns /run"}, true
			}
		}
	}
	insist, ok := insisting[path.Base(step.Path)]
	if path.Base(step.Path) == "init" && isScript(step) {
		return Insist{}, false // many images call their own entrypoint so
	}
	return insist, ok && step.Path != ""
}

// insistOfTask is a cron daemon that a script starts beside its own program.
func insistOfTask(t entrypoint.Task) (Insist, bool) {
	words := strings.Fields(t.Text)
	if t.Kind != entrypoint.Cron || !t.Reached() || len(words) == 0 {
		return Insist{}, false
	}
	insist, ok := insisting[path.Base(words[0])]
	insist.Program, insist.Where = words[0], scriptEvidence(t)
	return insist, ok
}
