package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"unroot/internal/verify"
)

// TestDemoWithoutRunner shows all of the demo where no image can be run: it says what to do, and that
// nothing is proven, and is no failure.
func TestDemoWithoutRunner(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	cause := fmt.Errorf("%w: newuidmap is missing: install the package uidmap", verify.ErrUnavailable)
	code := run(t.Context(), &world{
		out: &stdout, err: &stderr, args: []string{"demo"}, env: func(string) string { return "" },
		runner: func(context.Context, runnerAsk) (verify.Runner, error) { return nil, cause },
	})
	const want = "\n── 6. unroot verify: both are run, and compared\n\nunproven here: newuidmap is missing: install the package uidmap\n"
	if code != 0 || !strings.HasSuffix(stdout.String(), want) || stderr.Len() > 0 {
		t.Errorf("exit code %d, %q, and at the end not %q", code, stderr.String(), want)
	}
}

// TestVerifyRunners wants the exit code for each way in which a runner may not do its work.
func TestVerifyRunners(t *testing.T) {
	inFolder(t, "clean")
	for name, c := range map[string]struct {
		open, run error
		code      int
		want      string // on standard output, or on standard error
	}{
		"not opened":    {fmt.Errorf("%w: install it", verify.ErrUnavailable), nil, 3, "cannot run images here: install it\n"},
		"not available": {nil, fmt.Errorf("%w: enable it", verify.ErrUnavailable), 3, "enable it"},
		"fails":         {nil, errors.New("disk full"), 2, "unroot: verifying \"oci:clean:v1\": running \"baseline\": disk full\n"},
	} {
		f := &fakeRunner{answer: func(verify.Run) (verify.Outcome, error) { return verify.Outcome{}, c.run }}
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), &world{
			out: &stdout, err: &stderr, env: func(string) string { return "" },
			args:   []string{"verify", "oci:clean:v1", "--baseline", "oci:clean:v1", "--no-cache", "--scenario", "fixed"},
			runner: func(context.Context, runnerAsk) (verify.Runner, error) { return f, c.open },
		})
		if code != c.code || !strings.Contains(stdout.String()+stderr.String(), c.want) {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, code, c.code, stdout.String(), stderr.String())
		}
		if c.open == nil && f.closed != 1 {
			t.Errorf("%s: closed %d times", name, f.closed)
		}
	}
}
