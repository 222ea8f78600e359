//go:build linux

// Command unroot-init starts the program of an image as an ordinary user, and does before it what only the moment of start can know.
package main

import (
	"os"

	"unroot/internal/startup"
	"unroot/internal/startup/process"
)

// version is set when the program is built for an image.
var version = "devel"

const usage = `unroot-init starts a program as the user who runs, and prepares before it what that user lacks.

  unroot-init [OPTION…] -- PROGRAM [ARGUMENT…]

  --names=auto|nscd|wrapper|off   who answers for a uid without a name
  --home=DIR                      HOME, where it is missing or cannot be written
  --java                          tell Java the home directory and the name
  --umask=0002                    mask for new files
  --writable=PATH                 must be writable, or the start ends with 78
  --private-file=MODE:PATH        a copy with this mode, owned by who runs
  --private-dir=MODE:PATH         a directory with this mode, owned by who runs
  --fill=DIR                      gets what it lacks of its content in the image
  --compat=simple|identities|consistent|off
                                  answer calls that only root may make
  --chroots                       with it: let every chroot succeed where the engine forbids it;
                                  for programs that only change to empty directories
  --stay                          stay as first process: reap and pass signals on
  --exec                          do nothing but start the program
  --help, --version

Without an option it is --names=auto. UNROOT_VOLUMES=warn goes on where a path cannot be written.

Exit codes: the program's own, 128+n where signal n ended it;
  2    bad usage
  78   a path cannot be written or made private
  125  unroot-init itself failed
  126  the program is there and cannot be executed
  127  the program is not there
`

func main() { os.Exit(run(os.Args, os.Environ())) }

// run carries the command line out and gives the exit code; it does not return where this process
// becomes the program.
func run(args, env []string) int {
	if failure, ok := process.Stage(args, env); ok {
		return failed(failure)
	}
	if len(args) == 2 {
		switch args[1] {
		case "--help":
			os.Stdout.WriteString(usage)
			return 0
		case "--version":
			os.Stdout.WriteString("unroot-init " + version + "\n")
			return 0
		}
	}
	order, program, err := startup.Parse(args[min(1, len(args)):])
	switch {
	case err != nil:
		return say(startup.ExitUsage, err.Error(), "unroot-init --help lists the options")
	case len(program) == 0:
		return say(startup.ExitUsage, "no program is named", "name it after the options: unroot-init [OPTION…] -- PROGRAM [ARGUMENT…]")
	}
	return start(order, program, env)
}

// failed says why the program did not start.
func failed(f *process.Failure) int { return say(f.Code, f.Text, f.Hint) }

// say tells one line that is true and one line what to do, and gives the exit code.
func say(code int, text, hint string) int {
	line := "unroot-init: " + text + "\n"
	if hint != "" {
		line += hint + "\n"
	}
	os.Stderr.WriteString(line)
	return code
}
