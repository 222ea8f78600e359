package sample

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

const release = `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

Origin: Debian
Suite: stable
Date: Sat, 21 Nov 2026 02:10:46 UTC
Valid-Until: Sat, 28 Nov 2026 02:10:46 UTC
SHA256:
 aa 1 main/Date: Sun, 29 Nov 2026 00:00:00 UTC
`

func TestIndexDate(t *testing.T) {
	t.Parallel()
	older := "Origin: Debian\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n"
	others := "Origin: . nodistro\nDate: Mon, 30 Nov 2026 10:16:37 UTC\n"
	saturday := time.Date(2026, 11, 21, 2, 10, 46, 0, time.UTC)
	for name, tt := range map[string]struct {
		files map[string]string
		want  time.Time // zero: now
	}{
		"the newest of Debian's": {map[string]string{"a_InRelease": release, "b_Release": older, "c_InRelease": others}, saturday},
		"only another's":         {map[string]string{"c_InRelease": others}, time.Time{}},
		"none":                   {nil, time.Time{}},
		"no date":                {map[string]string{"a_Release": "Origin: Debian\nDate: yesterday\n"}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, content := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := time.Now()
			got, err := indexDate(dir)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want.IsZero() && got.Before(before) || !tt.want.IsZero() && !got.Equal(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
