package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"unroot/internal/layer"
	"unroot/internal/store"
)

// TestRunCodes maps what a command ends with to exit codes and to what is said.
func TestRunCodes(t *testing.T) {
	t.Parallel()
	hinted := &store.HintError{Err: errors.New("the cause"), Hint: "the way out"}
	for name, c := range map[string]struct {
		err  error
		code int
		want string
	}{
		"good":                {nil, 0, ""},
		"findings, said":      {&exitError{code: exitFindings}, 1, ""},
		"bad input":           {errors.New("the cause"), 2, "unroot: the cause\n"},
		"with a hint":         {fmt.Errorf("doing: %w", hinted), 2, "unroot: doing: the cause\nhint: the way out\n"},
		"open, with a hint":   {&exitError{exitUnproven, hinted}, 3, "unroot: the cause\nhint: the way out\n"},
		"unreachable":         {fmt.Errorf("opening: %w", store.ErrUnreachable), 4, "unroot: opening: unreachable\n"},
		"unreachable, hinted": {&store.HintError{Err: store.ErrUnreachable, Hint: "wait"}, 4, "unroot: unreachable\nhint: wait\n"},
		"not found":           {fmt.Errorf("opening: %w", store.ErrNotFound), 2, "unroot: opening: not found\n"},
		"damaged":             {fmt.Errorf("reading: %w", layer.ErrCorrupt), 2, "unroot: reading: damaged or truncated\nhint: it is damaged or was cut off: write or fetch it again\n"},
		"too large": {&layer.LimitError{What: "entries", Limit: 3, Flag: "--max-files"}, 2,
			"unroot: more than 3 entries\nhint: if you trust the image, raise the limit with --max-files\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			if code := end(t.Context(), &stderr, c.err); code != c.code || stderr.String() != c.want {
				t.Errorf("%d, %q; want %d, %q", code, stderr.String(), c.code, c.want)
			}
		})
	}
}

// TestInterrupted ends a conversion while a registry has not yet answered: the code is the one of a
// program that was interrupted, and nothing is written.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	}))
	defer server.Close()
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{
		{"check", server.Listener.Addr().String() + "/app"},
		{"convert", server.Listener.Addr().String() + "/app", "oci:" + out + ":v1"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(ctx, &world{out: &stdout, err: &stderr, env: func(string) string { return "" }, args: append(args, "--no-cache")})
		if code != exitInterrupted || stdout.Len() > 0 || stderr.String() != "unroot: interrupted\n" {
			t.Errorf("%s: %d, %q, %q", args[0], code, stdout.String(), stderr.String())
		}
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("the destination: %v", err)
	}
}

// every walks the tree of commands.
func every(cmd *cobra.Command, do func(*cobra.Command)) {
	if !cmd.Hidden {
		do(cmd)
	}
	for _, c := range cmd.Commands() {
		every(c, do)
	}
}

// TestHelp wants of every command that its help documents its exit codes, and of every flag that it
// is explained in words that begin and end as the others do.
func TestHelp(t *testing.T) {
	t.Parallel()
	codes := regexp.MustCompile(`(?s)\n\nExit codes:\n(  (\d+|N) +[^\n]+(\n|$))+$`)
	root := newRoot(&world{env: func(string) string { return "" }})
	root.InitDefaultHelpCmd()
	commands := 0
	every(root, func(cmd *cobra.Command) {
		commands++
		if !codes.MatchString(cmd.Long) {
			t.Errorf("%s: the help does not end with its exit codes", cmd.CommandPath())
		}
		if cmd != root && !cmd.HasExample() && cmd.Name() != "version" {
			t.Errorf("%s: no example", cmd.CommandPath())
		}
		if cmd.Short == "" || cmd.Short[0] < 'a' || cmd.Short[0] > 'z' || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: %q: want lower case and no full stop", cmd.CommandPath(), cmd.Short)
		}
		for n, line := range strings.Split(cmd.Long+"\n"+cmd.Example, "\n") {
			if len([]rune(line)) > 100 {
				t.Errorf("%s: line %d of the help has %d characters", cmd.CommandPath(), n+1, len([]rune(line)))
			}
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || f.Usage[0] < 'a' || f.Usage[0] > 'z' || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s: %q: want lower case and no full stop", cmd.CommandPath(), f.Name, f.Usage)
			}
		})
	})
	if commands < 9 {
		t.Errorf("%d commands", commands)
	}
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]byteSize{"1": 1, "4096": 4096, "64K": 64 << 10, "64k": 64 << 10, "200M": 200 << 20, "1GiB": 1 << 30, "2TB": 2 << 40} {
		var b byteSize
		if err := b.Set(text); err != nil || b != want {
			t.Errorf("%q: %d, %v; want %d", text, b, err, want)
		}
		var again byteSize
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%q: written as %q, which is %d, %v", text, b.String(), again, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "K", "1.5G", "3Q", "1 G", "9999999T", "99999999999999999999"} {
		var b byteSize
		if err := b.Set(text); err == nil {
			t.Errorf("%q is taken for %d", text, b)
		}
	}
}
