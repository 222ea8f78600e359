package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"unroot/internal/report"
)

// version is set by the linker in a release: -ldflags "-X main.version=1.2.3".
var version = ""

func newVersion(w *world) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Long:  "version prints the version of unroot, of Go, and the platform." + exitCodes + "  0  always",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return report.JSON(w.out, report.Program{Version: report.Version, Unroot: versionName(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH})
			}
			_, err := fmt.Fprintf(w.out, "unroot %s (%s, %s/%s)\n", versionName(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write it as JSON")
	return cmd
}

// versionName is the release's version, else what Go knows of the source: module version or commit.
func versionName() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}
