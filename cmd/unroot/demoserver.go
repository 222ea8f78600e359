package main

import (
	"github.com/spf13/cobra"

	"unroot/internal/demoserver"
)

// newDemoServer and newDemoProbe are what runs inside the demo's image: unroot's own binary is its
// server, so that the demo needs no other image.
func newDemoServer() *cobra.Command {
	return &cobra.Command{
		Use:    "demo-server CONFIG",
		Short:  "the server inside the demo's sample image",
		Hidden: true,
		Args:   exactly("CONFIG"),
		RunE:   func(cmd *cobra.Command, args []string) error { return demoserver.Run(cmd.Context(), args[0]) },
	}
}

func newDemoProbe() *cobra.Command {
	return &cobra.Command{
		Use:    "demo-probe URL",
		Short:  "the health check inside the demo's sample image",
		Hidden: true,
		Args:   exactly("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := demoserver.Probe(cmd.Context(), args[0]); err != nil {
				return &exitError{exitFindings, err}
			}
			return nil
		},
	}
}
