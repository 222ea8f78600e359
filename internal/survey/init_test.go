package survey_test

import (
	"testing"

	"unroot/internal/imagetest"
	"unroot/internal/startup"
	"unroot/internal/survey"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, layer string
		want        survey.Lookup
	}{
		{"no library", "", survey.Lookup{Names: startup.NamesNscd}},
		{"glibc, the path in pieces", "-- /lib/x86_64-linux-gnu/libc.so.6 0755 elf --\n\n/var/run/nscd/so.dC\n", survey.Lookup{Library: "/lib/x86_64-linux-gnu/libc.so.6", Names: startup.NamesNscd}},
		{"glibc for i386", "-- /lib/libc.so.6 0755 elf --\n\n__nss_disable_nscd\n", survey.Lookup{Library: "/lib/libc.so.6", Names: startup.NamesNscd}},
		{"musl", "-- /lib/ld-musl-x86_64.so.1 0755 elf --\n\n/var/run/nscd/socket\n", survey.Lookup{Library: "/lib/ld-musl-x86_64.so.1", Names: startup.NamesNscd}},
		{"glibc without the client", "-- /usr/lib64/libc.so.6 0755 elf --\n\n/etc/passwd\n", survey.Lookup{Library: "/usr/lib64/libc.so.6"}},
		{"and nss_wrapper", "-- /usr/lib64/libc.so.6 0755 elf --\n-- /usr/lib64/libnss_wrapper.so 0755 elf --\n", survey.Lookup{Library: "/usr/lib64/libnss_wrapper.so", Names: startup.NamesWrapper}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := imagetest.Survey(t, "-- config --\n{\"Cmd\":[\"/bin/app\"]}\n-- /bin/app 0755 elf --\n"+tt.layer)
			if got := s.Lookup(); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestInitIsRead(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]bool{
		`{"Entrypoint":["/unroot-init","--names=nscd","--"],"Cmd":["/bin/app"]}`:   true,
		`{"Cmd":["/unroot-init","--","/bin/app"]}`:                                 true,
		`{"Entrypoint":["/unroot-init","--unheard-of","--"],"Cmd":["/bin/app"]}`:   false,
		`{"Entrypoint":["/usr/bin/unroot-init","--stay","--"],"Cmd":["/bin/app"]}`: false,
		`{"Cmd":["/bin/app"]}`: false,
	} {
		s := imagetest.Survey(t, "-- config --\n"+config+"\n-- /bin/app 0755 elf --\n-- /unroot-init 0755 elf --\n")
		if got := s.Init != nil; got != want {
			t.Errorf("%s: read %v, want %v", config, got, want)
		}
		if s.Init != nil && len(s.Story.Programs) == 0 || want && s.Story.Programs[0].Path != "/bin/app" {
			t.Errorf("%s: programs %v", config, s.Story.Programs)
		}
	}
}
