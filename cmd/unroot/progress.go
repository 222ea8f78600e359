package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"

	"unroot/internal/verify"
)

// progress is one line on a terminal that is written over and over: what a run waits for, and for how
// long already. Without a terminal it says nothing. It is safe for many goroutines.
type progress struct {
	to    io.Writer
	width func() int
	now   func() time.Time

	mu    sync.Mutex
	text  string
	since time.Time
	shown bool
	done  chan struct{}
}

// newProgress begins with nothing to say. End it with stop, before anything else is printed there.
func newProgress(to io.Writer) *progress {
	file, ok := to.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	width := func() int {
		columns, _, err := term.GetSize(int(file.Fd()))
		if err != nil || columns < 20 {
			return 80
		}
		return columns
	}
	p := &progress{to: to, width: width, now: time.Now, done: make(chan struct{})}
	go p.tick()
	return p
}

// tick keeps the seconds going while nothing else happens.
func (p *progress) tick() {
	for ticker := time.NewTicker(time.Second); ; {
		select {
		case <-p.done:
			ticker.Stop()
			return
		case <-ticker.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// run says what a run does.
func (p *progress) run(what verify.Progress) { p.say(what.Run + ": " + what.What) }

// say replaces the line.
func (p *progress) say(text string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if text != p.text {
		p.text, p.since = text, p.now()
	}
	p.draw()
}

// note says something that stays, above the line. Without a terminal it says it all the same.
func (p *progress) note(to io.Writer, text string) {
	if p == nil {
		fmt.Fprintf(to, "note: %s\n", text)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(to, "note: %s\n", text)
	p.draw()
}

// clear takes the line away for now.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.to, "\r\x1b[K")
		p.shown = false
	}
}

// draw writes the line again.
func (p *progress) draw() {
	if p.text == "" {
		return
	}
	line := printable(p.text)
	tail := ""
	if waited := p.now().Sub(p.since); waited >= time.Second {
		tail = fmt.Sprintf(" (%d s)", int(waited.Seconds()))
	}
	if runes := []rune(line); len(runes)+len(tail) >= p.width() {
		line = string(runes[:max(0, p.width()-len(tail)-2)]) + "…"
	}
	fmt.Fprintf(p.to, "\r\x1b[K%s%s", line, tail)
	p.shown = true
}

// printable is a text without what steers a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// stop takes the line away.
func (p *progress) stop() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = ""
	p.clear()
	select {
	case <-p.done:
	default:
		close(p.done)
	}
}
