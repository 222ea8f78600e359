package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(*world) *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:   "man DIR",
		Short: "write the manual pages into a folder",
		Long: `man writes one manual page (section 1) for every command into a folder, which is made where it is
missing, or with --markdown the same as Markdown.` + exitCodes + `  0  written
  2  bad usage, or a folder that cannot be written`,
		Example: `  unroot man /usr/local/share/man/man1`,
		Args:    exactly("DIR"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := writeManual(cmd.Root(), args[0], markdown); err != nil {
				return fmt.Errorf("writing the manual: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "write Markdown")
	return cmd
}

// writeManual writes a page for the command and for each below it.
func writeManual(cmd *cobra.Command, dir string, markdown bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	page, extension := manPage, ".1"
	if markdown {
		page, extension = markdownPage, ".md"
	}
	for _, c := range visible(cmd) {
		content, err := page(c)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+extension), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// visible is a command and all below it, without those that nobody needs to know.
func visible(cmd *cobra.Command) []*cobra.Command {
	if cmd.Hidden {
		return nil
	}
	list := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		list = append(list, visible(c)...)
	}
	return list
}

// manPage is the page of a command. It has no date: the same build writes the same bytes on any day.
func manPage(cmd *cobra.Command) ([]byte, error) {
	var b bytes.Buffer
	cmd.DisableAutoGenTag = true
	none := time.Time{}
	err := doc.GenMan(cmd, &doc.GenManHeader{Section: "1", Source: "unroot " + versionName(), Manual: "unroot", Date: &none}, &b)
	return bytes.Replace(b.Bytes(), []byte(none.Format("Jan 2006")), nil, 1), err
}

func markdownPage(cmd *cobra.Command) ([]byte, error) {
	var b bytes.Buffer
	cmd.DisableAutoGenTag = true
	err := doc.GenMarkdownCustom(cmd, &b, func(name string) string { return strings.ReplaceAll(name, "_", "-") })
	return b.Bytes(), err
}
