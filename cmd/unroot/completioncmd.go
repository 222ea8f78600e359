package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"unroot/internal/plan"
	"unroot/internal/store"
)

func newCompletion(w *world) *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(w.out, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(w.out) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(w.out, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(w.out) },
	}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print what makes a shell complete unroot's words",
		Long: `completion prints a script for bash, zsh, fish or powershell. With it the shell completes
commands, flags and their values, transports of images, and files after a transport.` + exitCodes + `  0  printed
  2  bad usage`,
		Example: `  unroot completion bash > /usr/share/bash-completion/completions/unroot
  unroot completion zsh > "${fpath[1]}/_unroot"
  unroot completion fish > ~/.config/fish/completions/unroot.fish`,
		Args:      exactly("SHELL"),
		ValidArgs: []cobra.Completion{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := shells[args[0]]
			if !ok {
				return badFlag("no completion for the shell %q", "it is one of bash, zsh, fish, powershell", args[0])
			}
			return write(cmd.Root())
		},
	}
}

// transports are the beginnings of references, with a word about each.
var transports = []cobra.Completion{
	cobra.CompletionWithDesc("docker://", "an image in a registry"),
	cobra.CompletionWithDesc("oci:", "a folder, an OCI layout"),
	cobra.CompletionWithDesc("oci-archive:", "a file, an OCI layout as a tar archive"),
	cobra.CompletionWithDesc("docker-archive:", "a file, as docker save writes it"),
	cobra.CompletionWithDesc("docker-daemon:", "an image of a Docker or Podman engine"),
}

// completeImage completes the transport of a reference, and the path after it. Names in registries
// and engines are not asked for: completion must not wait for a network.
func completeImage(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	transport, rest, found := strings.Cut(word, ":")
	if !found {
		var out []cobra.Completion
		for _, t := range transports {
			if strings.HasPrefix(t, word) {
				out = append(out, t)
			}
		}
		return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	switch store.Transport(transport) {
	case store.OCILayout:
		return completePath(transport+":", rest, true)
	case store.OCIArchive, store.DockerArchive:
		return completePath(transport+":", rest, false)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completePath lists what begins like the path, each with the transport before it, since a shell's
// own completion of files does not know of it.
func completePath(transport, typed string, foldersOnly bool) ([]cobra.Completion, cobra.ShellCompDirective) {
	dir, base := filepath.Split(typed)
	from := dir
	if from == "" {
		from = "."
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, base) || strings.HasPrefix(name, ".") && !strings.HasPrefix(base, ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(from, name))
		switch {
		case err != nil:
		case info.IsDir():
			out = append(out, transport+dir+name+"/")
		case !foldersOnly:
			out = append(out, transport+dir+name)
		}
	}
	return out, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// upTo completes as many images as a command takes; 0 is any number.
func upTo(most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeImage(cmd, args, word)
	}
}

// flagValues are the values of flags that have few.
var flagValues = map[string][]cobra.Completion{
	"group": {
		cobra.CompletionWithDesc(string(plan.GroupZero), "group 0: any uid of the platform works"),
		cobra.CompletionWithDesc(string(plan.GroupDedicated), "the user's own group"),
	},
	"setuid": {
		cobra.CompletionWithDesc(string(plan.SetUIDAuto), "take out those that nothing names, strip the others"),
		cobra.CompletionWithDesc(string(plan.SetUIDStrip), "repeat each without the bit"),
		cobra.CompletionWithDesc(string(plan.SetUIDKeep), "leave them"),
	},
	"platform": {"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/ppc64le", "linux/riscv64", "linux/s390x"},
}

// completeFlags gives every flag of a command its completion: values, folders, or nothing.
func completeFlags(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		complete := cobra.NoFileCompletions
		switch values, ok := flagValues[f.Name]; {
		case ok:
			complete = cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
		case f.Name == "cache" || f.Name == "dir":
			complete = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return nil, cobra.ShellCompDirectiveFilterDirs
			}
		case f.Value.Type() == "bool":
			return
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic("[internal error] " + err.Error()) // only where a flag gets two
		}
	})
}
