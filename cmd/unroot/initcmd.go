package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"unroot/internal/startup"
	builds "unroot/internal/startup/program"
	"unroot/internal/store"
)

func newInit(w *world) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init",
		Short: "the small program that prepares a start",
		Long: `unroot-init is a small static program that goes into an image and starts the image's own program,
as the user who runs and never as anyone else. Before that it does what only the moment of start can
know: a name for any uid, a home, files that the user must own, a test of every volume that must be
writable. convert adds it where the plan needs it; export writes it for your own Dockerfile.` + exitCodes + `  0  good
  2  there is no such command`,
		Example: `  unroot init export .
  COPY unroot-init-linux-amd64 /unroot-init
  ENTRYPOINT ["/unroot-init", "--", "/usr/local/bin/app"]`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.AddCommand(newInitExport(w))
	return cmd
}

func newInitExport(w *world) *cobra.Command {
	return &cobra.Command{
		Use:   "export DIR|IMAGE",
		Short: "write unroot-init for every platform",
		Long: `export writes unroot-init for every platform: into a folder, which is made where it is missing, one
file a platform and a README.txt with the lines for a Dockerfile; or as an image (oci:DIR[:TAG],
oci-archive:FILE[:TAG], docker://NAME) that has nothing but /unroot-init, for every platform, so
that COPY --from= takes the right one. It prints the files, or the digest of the index. The same
unroot writes the same bytes.` + exitCodes + `  0  written
  2  bad usage, or a place that cannot be written
  4  a registry could not be reached`,
		Example: `  unroot init export bin
  unroot init export oci:layout:unroot-init
  unroot init export docker://registry.example/unroot-init:1`,
		Args: exactly("DIR|IMAGE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			if image, _, _ := strings.Cut(word, ":"); image != word {
				return completeImage(cmd, args, word)
			}
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if namesImage(args[0]) {
				return exportImage(cmd.Context(), w, args[0])
			}
			return exportFolder(w, args[0])
		},
	}
}

// namesImage reports whether a place is an image rather than a folder: it begins with a transport.
// C:\bin is a folder.
func namesImage(place string) bool {
	transport, _, found := strings.Cut(place, ":")
	return found && len(transport) > 1 && !strings.ContainsAny(transport, `/\`) || place == "-"
}

const initReadme = `unroot-init for every platform, static. In a Dockerfile, for one platform:

  COPY unroot-init-linux-amd64 /unroot-init
  ENTRYPOINT ["/unroot-init", "--", "the", "entrypoint", "that", "was"]

For many platforms, with BuildKit, which sets TARGETARCH:

  ARG TARGETARCH
  COPY unroot-init-linux-$TARGETARCH /unroot-init

The files have the mode 0755; keep it. unroot-init --help lists the options, which stand before "--".
`

// exportFolder writes the programs into a folder, and prints their names.
func exportFolder(w *world, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing unroot-init: %w", err)
	}
	for _, p := range builds.Platforms() {
		content, err := programFor(p)
		if err != nil {
			return err
		}
		if err := exportFile(w, filepath.Join(dir, p.File()), content, 0o755); err != nil {
			return err
		}
	}
	return exportFile(w, filepath.Join(dir, "README.txt"), []byte(initReadme), 0o644)
}

// exportFile writes a file whole or not at all: somebody may be executing the one before.
func exportFile(w *world, name string, content []byte, mode os.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(name), ".unroot-init-")
	if err != nil {
		return fmt.Errorf("writing %q: %w", name, err)
	}
	_, err = temp.Write(content)
	for _, step := range []func() error{
		func() error { return temp.Chmod(mode) },
		temp.Close,
		func() error { return os.Rename(temp.Name(), name) },
	} {
		if stepErr := step(); err == nil {
			err = stepErr
		}
	}
	if err != nil {
		os.Remove(temp.Name())
		return fmt.Errorf("writing %q: %w", name, err)
	}
	_, err = fmt.Fprintln(w.out, name)
	return err
}

func programFor(p builds.Platform) ([]byte, error) {
	content, ok, err := builds.For(p.OS, p.Arch, "")
	if err == nil && !ok {
		err = fmt.Errorf("[internal error] no %s for %s", startup.Path, p)
	}
	return content, err
}

// exportImage writes the programs as an image for every platform, and prints the index's digest.
func exportImage(ctx context.Context, w *world, place string) error {
	ref, err := store.Parse(place)
	if err != nil {
		return err
	}
	if ref.Transport == store.DockerArchive || ref.Transport == store.Engine {
		return badFlag("%q holds one platform, and unroot-init is for many", "write oci:DIR[:TAG], oci-archive:FILE[:TAG], docker://NAME or a folder", place)
	}
	source, err := initIndex()
	if err != nil {
		return err
	}
	s := store.New(store.Options{Env: w.env})
	defer s.Close()
	id, err := s.Put(ctx, ref, source)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.out, id)
	return err
}
