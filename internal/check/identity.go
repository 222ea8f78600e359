package check

import (
	"errors"
	"fmt"

	"unroot/internal/account"
	"unroot/internal/finding"
	"unroot/internal/rootfs"
	"unroot/internal/survey"
)

var identityChecks = []Check{
	{
		ID: "run-as-root", Title: "the image runs as root", Severity: finding.Critical,
		Doc: `A process that is root in a container is root for every file that is mounted into it and for every bug of the kernel or the engine. OpenShift and Kubernetes namespaces with Pod Security "restricted" refuse it: the kubelet says "container has runAsNonRoot and image will run as root".

Root is the default where an image says nothing, and has many spellings: no USER, 0, 0:0, root, root:x, or a name whose entry in the image's passwd file has uid 0.`,
		Twins: []Twin{
			{"hadolint", "DL3002", "silent where USER is missing"},
			{"dockle", "CIS-DI-0001", "passes USER 0"},
			{"Trivy", "AVD-DS-0002", "Dockerfiles only"},
			{"checkov", "CKV_DOCKER_8", "compares with the word root"},
			{"Docker Scout", "Default non-root user", ""},
		},
		Image: func(s *Subject) []finding.Finding {
			if !s.RunsRoot {
				return nil
			}
			return one("config.User", rootSpelling(s.Survey), fmt.Sprintf("%s; it would run as %s", convertHint, s.Fixed))
		},
	},
	{
		ID: "user-name", Title: "the user is a name, not a number", Severity: finding.High,
		Doc: `The kubelet cannot tell from a name whether it is root, and refuses it together with runAsNonRoot: "container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root". A number says the same and is accepted everywhere.`,
		Twins: []Twin{
			{"hadolint", "DL3066", ""},
		},
		Image: func(s *Subject) []finding.Finding {
			if s.RunsRoot || s.UserErr != nil || s.User.Numeric() {
				return nil
			}
			return one("config.User", fmt.Sprintf("%q is uid %d", s.View.Config.User(), s.Current.UID), fmt.Sprintf("write USER %d", s.Current.UID))
		},
	},
	{
		ID: "user-unknown", Title: "the user does not exist in the image", Severity: finding.Critical,
		Doc: `An engine looks a user name up in the image's own passwd file. Where there is no entry the container does not start: "unable to find user app: no matching entries in passwd file". It happens on scratch and distroless bases, and after the base image was changed.`,
		Image: func(s *Subject) []finding.Finding {
			if s.UserErr == nil {
				return nil
			}
			hint := "use a number as USER: unroot convert --uid N"
			if missing := (*account.NoEntryError)(nil); errors.As(s.UserErr, &missing) {
				hint = "add the account, or " + hint
			}
			return one("config.User", s.UserErr.Error(), hint)
		},
	},
	{
		ID: "no-account", Title: "the user has no passwd entry", Severity: finding.Medium,
		Doc: `A uid needs no passwd entry for the kernel, but many programs look themselves up and stop where they find nothing: git, ssh, initdb, Java's UnixLoginModule, Python's getpass, Node's os.userInfo. The shell prompt says "I have no name!".`,
		Image: func(s *Subject) []finding.Finding {
			if s.RunsRoot || s.UserErr != nil {
				return nil
			}
			if _, ok := s.Passwd.ByUID(s.Current.UID); ok {
				return nil
			}
			return one("config.User", fmt.Sprintf("uid %d is not in /etc/passwd", s.Current.UID), "add an entry; "+convertHint)
		},
	},
	{
		ID: "group", Title: "the group is not 0", Severity: finding.Low,
		Doc: `OpenShift starts containers with a uid of its own choice and always with group 0. Files that group 0 may write therefore serve every uid, also a fixed one: that is the convention unroot follows. Some policies forbid group 0 (kube-linter and Trivy's KSV-0116 warn about it); then --group dedicated uses the user's own group, and a uid that the platform picks is out of scope.`,
		Image: func(s *Subject) []finding.Finding {
			if !s.Arbitrary || s.RunsRoot || s.UserErr != nil || s.Current.In(0) || !ownsState(s) {
				return nil
			}
			return one("config.User", fmt.Sprintf("the group is %d; a uid that the platform picks gets group 0 and has no part in it", s.Current.GID), convertHint+", and lets group 0 in where the user may write")
		},
	},
	{
		ID: "account-file-writable", Title: "an account file is writable by others than root", Severity: finding.High,
		Doc: `Whoever can write /etc/passwd adds an entry with uid 0 and becomes root through any setuid program. Making it writable for the group was once the advice for OpenShift; today CRI-O adds the missing entry by itself, but only if the file is not writable by the group.`,
		Image: func(s *Subject) []finding.Finding {
			var found []finding.Finding
			for _, p := range []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"} {
				node, err := s.View.Tree.Resolve(p)
				if err != nil || node.Entry().Kind != rootfs.File {
					continue
				}
				if e := node.Entry(); e.Mode&0o022 != 0 || e.UID != 0 && e.Mode&0o200 != 0 {
					found = append(found, at(node.Path(), fmt.Sprintf("%d:%d %04o", e.UID, e.GID, e.Mode), "chmod g-w,o-w; "+convertHint))
				}
			}
			return found
		},
	},
	{
		ID: "home", Title: "the home directory cannot be written", Severity: finding.Medium,
		Doc:   `npm, pip, git, ssh, Java's preferences, Go's build cache and many more write below HOME. Engines set HOME from the passwd entry of the uid, and to "/" where there is none: the messages are then "EACCES: permission denied, mkdir '/.npm'" and the like.`,
		Image: homeFindings,
	},
}

func rootSpelling(s *survey.Survey) string {
	switch user := s.View.Config.User(); {
	case user == "":
		return "no USER is set, which means root"
	case s.User.Numeric() || s.User.User == "root":
		return fmt.Sprintf("USER is %q", user)
	default:
		return fmt.Sprintf("USER is %q, and the image's passwd file gives it uid 0", user)
	}
}

// ownsState reports whether the image has directories that its program writes and that let in the
// group of the user only.
func ownsState(s *Subject) bool {
	for _, need := range s.Needs {
		if s.View.Tree.May(s.Current, need.Path, rootfs.Write).OK && !s.View.Tree.May(account.Arbitrary(), need.Path, rootfs.Write).OK {
			return true
		}
	}
	return false
}

func homeFindings(s *Subject) []finding.Finding {
	for _, id := range s.identities() {
		home, from := homeOf(s, id)
		switch {
		case home == "" || home == "/":
			return one("config.Env", fmt.Sprintf("HOME is not set, and engines give %s the home \"/\"", who(id)), "set HOME to a directory that it can write; "+convertHint)
		default:
			if answer := s.View.Tree.May(id, home, rootfs.Write|rootfs.Exec); !answer.OK {
				return one("config.Env", fmt.Sprintf("%s for %s: %s", from, who(id), answer), convertHint)
			}
		}
	}
	return nil
}

// homeOf is the HOME that an engine gives to the identity, and where it comes from.
func homeOf(s *Subject, id account.Identity) (home, from string) {
	if home, ok := s.View.Config.Getenv("HOME"); ok {
		return home, "HOME=" + home
	}
	if entry, ok := s.Passwd.ByUID(id.UID); ok {
		return entry.Home, "the passwd entry's home " + entry.Home
	}
	return id.Home, "the home " + id.Home
}
