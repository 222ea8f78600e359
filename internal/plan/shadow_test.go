package plan

import "testing"

func TestHasPassword(t *testing.T) {
	t.Parallel()
	for shadow, want := range map[string]bool{
		"":                                        false,
		"root:*:19000:0:99999:7:::\n":             false,
		"root:!:19000::::::\na:!*:1::::::":        false,
		"a:!!:::::::\nb:x:::::::\nc::::::::\n":    false,
		"a:*:::::::\nb:$y$j9T$salt$hash:::::::\n": true,
		"a:!$6$salt$hash:::::::\n":                true, // locked, and a secret all the same
	} {
		if got := hasPassword([]byte(shadow)); got != want {
			t.Errorf("%q: %v, want %v", shadow, got, want)
		}
	}
}
