//go:build linux

package nscd

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"
)

// TestLines reads files with lines around the sizes of the buffer and of the limit.
func TestLines(t *testing.T) {
	t.Parallel()
	for _, lengths := range [][]int{
		{}, {0}, {0, 0, 3}, {readLen - 1, 5}, {readLen, 5}, {readLen + 1, 5}, {5, readLen - 7, readLen, 3 * readLen, 1},
		{keepLen, 1, keepLen}, {maxLine - 1, 2}, {maxLine, 2}, {2*maxLine + 7, 2, 2 * maxLine}, {keepLen, maxLine + 1, 4, maxLine, 9},
	} {
		for _, ended := range []bool{true, false} {
			var want []int
			var content []byte
			long := false
			for i, n := range lengths {
				content = append(append(content, bytes.Repeat([]byte{byte('a' + i)}, n)...), '\n')
				if n >= maxLine {
					long = true
				} else {
					want = append(want, n)
				}
			}
			if !ended && len(content) > 0 && content[max(0, len(content)-2)] != '\n' && len(content) > 1 {
				content = content[:len(content)-1]
			}
			s := source{path: filepath.Join(t.TempDir(), "file")}
			put(t, s.path, string(content))
			s.refresh()
			var got []int
			err := s.lines(func(line []byte) bool {
				got = append(got, len(line))
				if len(line) > 0 && bytes.Count(line, line[:1]) != len(line) {
					t.Errorf("lines of %v: mixed", lengths)
				}
				return true
			})
			if !slices.Equal(got, want) || (err == errLong) != long {
				t.Errorf("lines of %v, newline at the end %v: %v, %v", lengths, ended, got, err)
			}
		}
	}
}
