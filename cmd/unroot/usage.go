package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"unroot/internal/store"
)

// exitCodes is the heading of the part of every help text that says what the exit codes mean.
const exitCodes = `

Exit codes:
`

// exactly is cobra.ExactArgs with words that say what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		takes := count(len(names), "argument")
		if len(names) == 0 {
			takes = "no arguments"
		}
		return usageError(cmd, "%s takes %s, not %d", cmd.Name(), takes, len(args))
	}
}

// atLeastOne is cobra.MinimumNArgs(1) with words that say what is missing.
func atLeastOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return usageError(cmd, "%s takes at least one %s", cmd.Name(), name)
	}
}

func usageError(cmd *cobra.Command, format string, args ...any) error {
	return &store.HintError{Err: fmt.Errorf(format, args...), Hint: fmt.Sprintf("usage: %s; see `%s --help`", cmd.UseLine(), cmd.CommandPath())}
}

// noSuchCommand is what the words after a command are that has commands of its own.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("`%s --help` lists the commands", cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean `%s %s`? %s", cmd.CommandPath(), strings.Join(near, "` or `"+cmd.CommandPath()+" "), hint)
	}
	return &store.HintError{Err: fmt.Errorf("unknown command %q", args[0]), Hint: hint}
}

// flagError puts an error of the flag library into this program's words.
func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown):
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		err = fmt.Errorf("unknown flag %s%s", dashes, unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		err = fmt.Errorf("--%s needs a value", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		err = fmt.Errorf("--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), plainCause(invalid.Unwrap()))
	}
	var hinted *store.HintError
	if errors.As(err, &hinted) {
		return &store.HintError{Err: err, Hint: hinted.Hint}
	}
	return &store.HintError{Err: err, Hint: fmt.Sprintf("see `%s --help`", cmd.CommandPath())}
}

func plainCause(err error) error {
	number := (*strconv.NumError)(nil)
	switch {
	case !errors.As(err, &number):
		return err
	case number.Func == "ParseBool":
		return errors.New("not true or false")
	case errors.Is(err, strconv.ErrRange):
		return errors.New("too large or too small")
	}
	return errors.New("not a number")
}

// badFlag is an error about the value of a flag, with what it takes.
func badFlag(format, hint string, args ...any) error {
	return &store.HintError{Err: fmt.Errorf(format, args...), Hint: hint}
}

// count is a number of things: "1 item", "2 items".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// newHelp is cobra's help command, which says and fails where there is no such command.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "explain a command",
		Long:    "help explains a command, as its --help does." + exitCodes + "  0  explained\n  2  there is no such command",
		Example: "  unroot help convert",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noSuchCommand(cmd.Root(), args)
			}
			topic.InitDefaultHelpFlag()
			return topic.Help()
		},
	}
}
