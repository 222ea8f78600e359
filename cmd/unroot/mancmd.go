package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(w *world) *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:   "man DIR",
		Short: "write the manual pages into a folder",
		Long: `man writes one manual page for every command into a folder, which is made where it is missing,
or with --markdown the same as Markdown.` + exitCodes + `  0  written
  2  bad usage, or a folder that cannot be written`,
		Example: `  unroot man /usr/local/share/man/man1`,
		Args:    exactly("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("writing the manual: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			root.InitDefaultHelpCmd()
			if markdown {
				return doc.GenMarkdownTree(root, args[0])
			}
			// The date of a page is the tool's, not the day's: the same build writes the same bytes.
			header := &doc.GenManHeader{Section: "1", Source: "unroot " + versionName(), Manual: "unroot", Date: &time.Time{}}
			return doc.GenManTree(root, header, filepath.Clean(args[0]))
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write Markdown")
	return cmd
}
