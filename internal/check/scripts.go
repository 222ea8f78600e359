package check

import (
	"slices"

	"unroot/internal/entrypoint"
	"unroot/internal/finding"
)

var scriptChecks = []Check{
	taskCheck("step-down", "the start changes the user with a tool", finding.High, []entrypoint.Kind{entrypoint.StepDown, entrypoint.Sudo},
		`gosu, su-exec, setpriv, chpst, su, runuser, start-stop-daemon and sudo change the user, which only root may: also a change to the same user fails ("setgroups: Operation not permitted", "failed switching to \"postgres\": operation not permitted"). Behind a test of the uid ([ "$(id -u)" = 0 ]) they are harmless: a regular user never gets there.`,
		[]Twin{{"hadolint", "DL3004", "sudo in RUN only"}}),
	taskCheck("entrypoint-chown", "the start changes owners or modes", finding.High, []entrypoint.Kind{entrypoint.Chown, entrypoint.Chmod},
		`Only root may give a file to somebody else, and only its owner may change its mode: the kernel refuses it even where nothing would change. Under set -e the container stops there. The owners belong into the image.`, nil),
	taskCheck("entrypoint-account", "the start adds or changes accounts", finding.High, []entrypoint.Kind{entrypoint.Account},
		`usermod, groupmod, useradd and the like write /etc/passwd, as images with PUID and PGID variables do: "usermod: cannot lock /etc/passwd; try again later". The uid is the platform's choice (docker run --user, runAsUser).`, nil),
	taskCheck("entrypoint-package", "the start installs packages", finding.High, []entrypoint.Kind{entrypoint.Package},
		`Package managers need root and the network at every start. Install when the image is built.`, nil),
	taskCheck("entrypoint-setcap", "the start sets file capabilities", finding.High, []entrypoint.Kind{entrypoint.Setcap},
		`setcap needs CAP_SETFCAP, and what it makes does not start where capabilities are dropped.`, nil),
	taskCheck("entrypoint-kernel", "the start changes the kernel, mounts or the network", finding.High,
		[]entrypoint.Kind{entrypoint.Sysctl, entrypoint.Mount, entrypoint.Network, entrypoint.Kernel, entrypoint.Clock, entrypoint.Mknod, entrypoint.Chroot},
		`sysctl, mount, iptables, modprobe, date -s, mknod and chroot need capabilities that a regular user does not have. They are the platform's: docker run --sysctl, securityContext.sysctls, volumes, NetworkPolicy.`, nil),
	taskCheck("entrypoint-ulimit", "the start raises resource limits", finding.Medium, []entrypoint.Kind{entrypoint.Ulimit},
		`A regular user may raise a soft limit up to the hard one, and lower both; to raise a hard limit is root's: "ulimit: open files: cannot modify limit: Operation not permitted".`, nil),
	{
		ID: "entrypoint-write", Title: "the start writes where the user may not", Severity: finding.High,
		Doc: `sed -i writes a new file beside the old one and renames it, so it needs to write in the directory; a redirection needs to write the file itself, or the directory where the file is new.`,
		Image: func(s *Subject) []finding.Finding {
			kinds := []entrypoint.Kind{entrypoint.Write, entrypoint.SedInPlace, entrypoint.MakeDir}
			return tasks(s, kinds, func(t entrypoint.Task) (string, bool) { return unwritable(s, t) })
		},
	},
}

// taskCheck is a check that finds the tasks of some kinds that a regular user gets to.
func taskCheck(id, title string, severity finding.Severity, kinds []entrypoint.Kind, doc string, twins []Twin) Check {
	return Check{ID: id, Title: title, Severity: severity, Doc: doc, Twins: twins,
		Image: func(s *Subject) []finding.Finding {
			return tasks(s, kinds, func(t entrypoint.Task) (string, bool) { return "", true })
		}}
}

// elsewhere is where tasks go that no edit of the script does without: leaving them out would only
// hide what is missing.
var elsewhere = map[entrypoint.Kind]string{
	entrypoint.Package: "install it when the image is built",
	entrypoint.Mount:   "let the platform mount it: docker run -v and --tmpfs, volumeMounts",
	entrypoint.Network: "let the platform do it: NetworkPolicy, Service",
	entrypoint.Mknod:   "let the platform give the device: docker run --device, a device plugin",
	entrypoint.Chroot:  "the container's own root directory is separate already: start the program without chroot",
}

// commandField is the part of the image's own command line that starts.
func commandField(s *Subject) string {
	if len(s.View.Config.Entrypoint()) == 0 {
		return "config.Cmd"
	}
	return "config.Entrypoint"
}

func tasks(s *Subject, kinds []entrypoint.Kind, bad func(entrypoint.Task) (string, bool)) []finding.Finding {
	var found []finding.Finding
	for _, t := range s.Story.Tasks {
		if !slices.Contains(kinds, t.Kind) || !t.Reached() {
			continue
		}
		why, is := bad(t)
		if !is {
			continue
		}
		f := finding.Finding{
			Location: finding.Location{Path: t.Script, Line: t.Line},
			Detail:   t.Text + why,
			Hint:     convertHint,
			Edits:    t.Edits,
		}
		if t.Script == "" {
			f.Location = finding.Location{Field: commandField(s)}
		}
		if t.EditNote != "" {
			f.Hint = convertHint + ": " + t.EditNote
		}
		if instead, ok := elsewhere[t.Kind]; ok {
			f.Hint, f.Edits = instead, nil
		}
		if !t.Fatal {
			f.Severity, f.Detail = finding.Low, f.Detail+" (its failure does not end the start)"
		}
		found = append(found, f)
	}
	return found
}

// unwritable says why one of the paths that a task writes cannot be written.
func unwritable(s *Subject, t entrypoint.Task) (string, bool) {
	for _, p := range t.Paths {
		if !p.Known || p.Glob {
			continue
		}
		for _, id := range s.identities() {
			if why, bad := cannotWrite(s, id, t.Kind, p.Value); bad {
				return why, true
			}
		}
	}
	return "", false
}
