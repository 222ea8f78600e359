//go:build linux

package main

import (
	"errors"
	"os"
	"runtime"

	"unroot/internal/startup"
	"unroot/internal/startup/compat"
	"unroot/internal/startup/nscd"
	"unroot/internal/startup/prepare"
	"unroot/internal/startup/process"
)

// one is one start: what the order asks for, and what has come of it.
type one struct {
	order   startup.Order
	program []string
	env     []string
	server  *nscd.Server // who answers for the uid; nil: nobody in this process
	known   string       // what account gives
	looked  bool         // account has looked
}

// start does what the order says, and then becomes the program or stays with it. It gives the exit
// code.
func start(order startup.Order, program, env []string) int {
	s := &one{order: order, program: program, env: env}
	if asksNothing(order) {
		return failed(process.Exec(program, env))
	}
	if order.Compat != startup.CompatOff {
		if err := compat.Available(order.Compat); err != nil {
			return say(startup.ExitOwn, err.Error(), "--compat needs it; permissions and configuration may do without --compat")
		}
	}
	if s.passing() {
		if code := s.prepare(); code != 0 {
			return code
		}
		return s.goAway()
	}
	signals := process.Hold()
	code := 0
	signals.During(func() { code = s.prepare() }, os.Exit)
	switch {
	case code != 0:
		return code
	case s.server != nil, order.Stay, order.Compat != startup.CompatOff && order.Compat != startup.CompatSimple:
		return s.stay(signals)
	}
	if sig, ended := signals.Ended(); ended {
		return 128 + int(sig)
	}
	return s.goAway()
}

// asksNothing reports whether an order asks for the program and nothing else.
func asksNothing(o startup.Order) bool {
	return preparesNothing(o) && o.Compat == startup.CompatOff && !o.Stay
}

// preparesNothing reports whether the program is to find environment and files as they are.
func preparesNothing(o startup.Order) bool {
	return o.Names == startup.NamesOff && o.Home == "" && !o.Java && o.Umask == nil && len(o.Writable)+len(o.Private)+len(o.Fill) == 0
}

// passing reports whether a start is over in a moment and nothing stays: holding signals would take
// longer than all of it.
func (s *one) passing() bool {
	o := s.order
	if o.Stay || o.Compat != startup.CompatOff || len(o.Writable)+len(o.Private)+len(o.Fill) > 0 {
		return false
	}
	return o.Names == startup.NamesOff || s.account() != ""
}

// account is the name that the image's own file has for who runs, "" where it has none.
func (s *one) account() string {
	if !s.looked {
		s.known, s.looked = accountOf(os.Geteuid()), true
	}
	return s.known
}

// prepare makes the world ready and the user known; a code other than 0 ends the start.
func (s *one) prepare() int {
	if preparesNothing(s.order) {
		return 0
	}
	env, err := prepare.Prepare(s.order, s.env)
	if refusal := (*prepare.Refusal)(nil); errors.As(err, &refusal) {
		return say(startup.ExitVolume, refusal.Text, "")
	} else if err != nil {
		return say(startup.ExitOwn, err.Error(), "")
	}
	s.env = env
	who, err := s.name()
	if err != nil {
		tell(err) // a program that asks for no name goes on without one
	}
	s.env = prepare.Named(s.order, s.env, who)
	return 0
}

// stay starts the program and stays with it.
func (s *one) stay(signals *process.Signals) int {
	p := process.Program{Argv: s.program, Env: s.env}
	if s.order.Compat != startup.CompatOff {
		s.emulate(&p)
	}
	if s.server != nil {
		go func() {
			if err := s.server.Serve(); err != nil {
				say(0, "answering for a uid without a name: "+err.Error(), "")
			}
		}()
		defer s.server.Close()
	}
	code, failure := process.Stay(p, signals)
	if failure != nil {
		return failed(failure)
	}
	return code
}

// emulate has the program's calls answered. A supervisor that is told of every process' end knows
// whose numbers are free.
func (s *one) emulate(p *process.Program) {
	var supervisor *compat.Supervisor
	p.Start = func(path string, argv, env []string) (pid int, err error) {
		pid, supervisor, err = compat.Settings{Step: s.order.Compat, Chroots: s.order.Chroots}.Start(path, argv, env)
		return pid, err
	}
	p.Started = func(int) {
		go func() {
			if err := supervisor.Serve(); err != nil {
				say(0, err.Error(), "")
			}
		}()
	}
	p.OnReap = func(pid int) { supervisor.Reaped(pid) }
}

// goAway becomes the program, under a filter where the order asks for one.
func (s *one) goAway() int {
	if s.order.Compat != startup.CompatOff {
		runtime.LockOSThread() // the filter is this thread's, and the thread becomes the program
		if err := compat.Simple(); err != nil {
			return say(startup.ExitOwn, err.Error(), "")
		}
	}
	return failed(process.Exec(s.program, s.env))
}
