package init

import (
	"strings"
	"sync"
	"time"
)

// screen keeps what was printed on a terminal.
type screen struct {
	mu   sync.Mutex
	seen strings.Builder
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Write(b)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

// expect waits until a text was printed.
func (s *screen) expect(text string) bool {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if strings.Contains(s.text(), text) {
			return true
		}
	}
	return false
}
