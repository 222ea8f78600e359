//go:build linux

package process

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

// held is signals that came, of no real process.
func held(came ...os.Signal) *Signals {
	s := &Signals{came: make(chan os.Signal, 8)}
	for _, sig := range came {
		s.came <- sig
	}
	return s
}

func (s *Signals) list() (list []os.Signal) {
	for len(s.came) > 0 {
		list = append(list, <-s.came)
	}
	return list
}

func TestEnded(t *testing.T) {
	t.Parallel()
	s := held(syscall.SIGUSR1, syscall.SIGWINCH, syscall.SIGUSR1)
	if sig, ended := s.Ended(); ended {
		t.Errorf("%v ended the start", sig)
	}
	if got := s.list(); !slices.Equal(got, []os.Signal{syscall.SIGUSR1, syscall.SIGWINCH, syscall.SIGUSR1}) {
		t.Errorf("kept %v", got)
	}
	if sig, ended := held(syscall.SIGUSR1, syscall.SIGQUIT).Ended(); !ended || sig != syscall.SIGQUIT {
		t.Errorf("%v, %v, want SIGQUIT", sig, ended)
	}
}

// TestDuringEnds: who asks for the end does not wait for the work.
func TestDuringEnds(t *testing.T) {
	t.Parallel()
	s, code := held(), make(chan int)
	release := make(chan struct{})
	go s.During(func() { <-release }, func(c int) { code <- c })
	s.came <- syscall.SIGUSR1
	s.came <- syscall.SIGTERM
	select {
	case c := <-code:
		if c != 143 {
			t.Errorf("exit code %d, want 143", c)
		}
	case <-time.After(patience):
		t.Error("the work went on")
	}
	close(release)
}

const patience = 20 * time.Second

// TestDuringKeeps: what comes during the work and does not ask for the end is passed on afterwards, once.
func TestDuringKeeps(t *testing.T) {
	t.Parallel()
	s := held(syscall.SIGUSR2, syscall.SIGUSR1, syscall.SIGUSR2, syscall.Signal(64))
	s.During(func() {
		for end := time.Now().Add(patience); len(s.came) > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}, func(c int) { t.Errorf("exit code %d", c) })
	got := s.list()
	if want := []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.Signal(64)}; !slices.Equal(got, want) {
		t.Errorf("kept %v, want %v", got, want)
	}
}

// TestPassed: nothing that tells of a process' own faults is passed on, and all else is.
func TestPassed(t *testing.T) {
	t.Parallel()
	for sig, want := range map[syscall.Signal]bool{
		syscall.SIGTERM: true, syscall.SIGHUP: true, syscall.SIGCONT: true, syscall.SIGTSTP: true, syscall.SIGPIPE: true, syscall.SIGURG: true, syscall.SIGALRM: true, 34: true, 64: true,
		syscall.SIGSEGV: false, syscall.SIGCHLD: false, syscall.SIGKILL: false, syscall.SIGSTOP: false, syscall.SIGTTIN: false, syscall.SIGTTOU: false, 33: false,
	} {
		if passed(sig) != want {
			t.Errorf("%v: passed %v, want %v", sig, !want, want)
		}
	}
}
