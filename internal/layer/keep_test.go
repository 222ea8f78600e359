package layer

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"unroot/internal/oracle"
	"unroot/internal/rootfs"
)

func TestInterest(t *testing.T) {
	t.Parallel()
	tests := map[string]interest{
		"/etc/passwd":                                 surely,
		"/etc/nginx/conf.d/default":                   surely,
		"/etc":                                        uninteresting,
		"/etcetera/x":                                 uninteresting,
		"/etc/ssl/certs/ca-certificates.crt":          uninteresting,
		"/etc/ssl/openssl.cnf":                        surely,
		"/usr/local/etc/php/php.ini":                  surely,
		"/usr/lib/os-release":                         surely,
		"/opt/app/etc/secret":                         surely,
		"/opt/app/conf/x":                             surely,
		"/opt/app/other/x":                            uninteresting,
		"/opt/app/other/x.yml":                        perhaps,
		"/opt/etc/x":                                  uninteresting,
		"/usr/lib/tmpfiles.d/nginx.conf":              perhaps,
		"/docker-entrypoint.d/10-x.envsh":             perhaps,
		"/app/node_modules/a/package.json":            uninteresting,
		"/usr/share/x/y.xml":                          uninteresting,
		"/usr/lib/python3.11/x.json":                  uninteresting,
		"/usr/lib/python3/x/y.cfg":                    uninteresting,
		"/usr/local/lib/python3.12/json/x.toml":       uninteresting,
		"/venv/lib/python3.12/site-packages/x/y.json": uninteresting,
		"/usr/lib/python.conf":                        perhaps,
		"/var/lib/dpkg/info/x.conf":                   uninteresting,
		"/srv/index.html":                             uninteresting,
		"/srv/application.properties":                 perhaps,
		"/x.CONF":                                     uninteresting,
	}
	for name, want := range tests {
		if got := interestIn(name); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
}

func TestScanKeepsContents(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", keptFileBytes)
	items := []item{
		{name: "etc/passwd", content: "root:x:0:0\n"},
		{name: "etc/empty"},
		{name: "etc/binary", content: "a\x00b"},
		{name: "etc/late-nul", content: strings.Repeat("t", textBytes) + "\x00"},
		{name: "etc/large", content: big},
		{name: "etc/too-large", content: big + "x"},
		{name: "etc/sudo", content: "text", mode: 0o4755},
		{name: "srv/page.html", content: "<html>"},
		{name: "srv/app.yml", content: "a: 1"},
		{name: "usr/share/app.yml", content: "a: 1"},
		{name: "entrypoint", content: "#! /bin/sh -e \nexec nginx\n", mode: 0o755},
		{name: "one-line", content: "#!/usr/bin/env\tbash"},
		{name: "windows-ends", content: "#!/bin/sh\r\n"},
		{name: "long-line", content: "#!/" + strings.Repeat("i", 300) + "\n"},
		{name: "big-script", content: "#!/bin/sh\n" + big},
	}
	want := map[string]rootfs.Facts{
		"/etc/passwd":   {Content: []byte("root:x:0:0\n")},
		"/etc/empty":    {Content: []byte{}},
		"/etc/late-nul": {Content: []byte(items[3].content)},
		"/etc/large":    {Content: []byte(big)},
		"/etc/sudo":     {Content: []byte("text")},
		"/srv/app.yml":  {Content: []byte("a: 1")},
		"/entrypoint":   {Content: []byte(items[10].content), Interp: "/bin/sh -e"},
		"/one-line":     {Content: []byte(items[11].content), Interp: "/usr/bin/env\tbash"},
		"/windows-ends": {Content: []byte(items[12].content), Interp: "/bin/sh\r"},
		"/long-line":    {Content: []byte(items[13].content), Interp: "/" + strings.Repeat("i", 253)},
		"/big-script":   {Interp: "/bin/sh"},
	}
	got := map[string]rootfs.Facts{}
	for _, e := range mustScan(t, makeTar(t, items...), ScanOptions{}).Entries {
		if e.Facts != nil {
			got[e.Path] = *e.Facts
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

func TestScanKeepLimit(t *testing.T) {
	t.Parallel()
	stored := makeTar(t,
		item{name: "app/a.conf", content: strings.Repeat("a", 600)},
		item{name: "app/b.conf", content: strings.Repeat("b", 200)}, // 750 is what is not reserved
		item{name: "app/c.conf", content: strings.Repeat("c", 100)},
		item{name: "etc/d", content: strings.Repeat("d", 250)},
		item{name: "etc/e", content: strings.Repeat("e", 100)},
		item{name: "etc/f", content: strings.Repeat("f", 50)},
	)
	x := mustScan(t, stored, ScanOptions{KeepBytes: 1000})
	var kept []string
	for _, e := range x.Entries {
		if e.Facts != nil {
			kept = append(kept, e.Path)
		}
	}
	want := []string{"/app/a.conf", "/app/c.conf", "/etc/d", "/etc/f"}
	if diff := cmp.Diff(want, kept); diff != "" || !x.Truncated {
		t.Errorf("truncated %v, kept (-want +got):\n%s", x.Truncated, diff)
	}
	if x := mustScan(t, stored, ScanOptions{}); x.Truncated {
		t.Error("truncated with room enough")
	}
}

func TestScanXattrs(t *testing.T) {
	t.Parallel()
	capability := "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00"
	x := mustScan(t, makeTar(t,
		item{name: "bin/ping", content: "x", mode: 0o755, pax: map[string]string{
			"SCHILY.xattr.security.capability":     capability,
			"LIBARCHIVE.xattr.security.capability": "AQAAAgAEAAAAAAAA",
			"SCHILY.xattr.user.empty":              "",
			"comment":                              "x",
		}},
		item{name: "dir", kind: '5', pax: map[string]string{"SCHILY.xattr.user.a": "b=c\n"}},
	), ScanOptions{})
	want := map[string]string{"security.capability": capability, "user.empty": ""}
	if diff := cmp.Diff(want, x.Entries[0].Facts.Xattrs); diff != "" {
		t.Errorf("ping (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"user.a": "b=c\n"}, x.Entries[1].Facts.Xattrs); diff != "" {
		t.Errorf("dir (-want +got):\n%s", diff)
	}
}

// programs gives the ELF files of this machine, to read what compilers really write.
func programs(t *testing.T) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	total := 0
	for _, pattern := range []string{"/bin/*", "/usr/sbin/*", "/lib/*/*.so.*"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			info, err := os.Stat(name)
			if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 || total > 6<<20 {
				continue
			}
			content, err := os.ReadFile(name)
			if err == nil && isELF(content) {
				found[name] = content
				total += len(content)
			}
		}
	}
	if len(found) == 0 {
		oracle.Missing(t, "no ELF programs in /bin")
	}
	return found
}

// TestInterpAgreesWithDebugELF: the standard library reads the whole file, we read its head.
func TestInterpAgreesWithDebugELF(t *testing.T) {
	t.Parallel()
	all := programs(t)
	with := 0
	for name, content := range all {
		f, err := elf.NewFile(bytes.NewReader(content))
		if err != nil {
			continue
		}
		want := ""
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				b, _ := io.ReadAll(p.Open())
				want = strings.TrimRight(string(b), "\x00")
			}
		}
		head := content[:min(len(content), elfHeadBytes)]
		if got := elfInterp(head).within(content, 0); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if want != "" {
			with++
		}
	}
	t.Logf("%d files, %d with an interpreter", len(all), with)
}

func TestInterpOfOtherMachines(t *testing.T) {
	t.Parallel()
	const interp = "/lib/ld.so.1"
	for _, class := range []elf.Class{elf.ELFCLASS32, elf.ELFCLASS64} {
		for _, order := range []elf.Data{elf.ELFDATA2LSB, elf.ELFDATA2MSB} {
			for _, at := range []int{200, 50_000} {
				content := fakeELF(class, order, at, interp)
				x := mustScan(t, makeTar(t, item{name: "p", mode: 0o755, content: content}), ScanOptions{})
				if f := x.Entries[0].Facts; !f.ELF || f.Interp != interp {
					t.Errorf("%v %v at %d: got %+v", class, order, at, f)
				}
			}
		}
	}
}

// fakeELF is a program with one program header, whose interpreter's name is anywhere.
func fakeELF(class elf.Class, data elf.Data, at int, interp string) string {
	b := make([]byte, at+len(interp)+1+300_000)
	copy(b, elf.ELFMAG)
	b[elf.EI_CLASS], b[elf.EI_DATA] = byte(class), byte(data)
	l := layout64
	if class == elf.ELFCLASS32 {
		l = layout32
	}
	put := func(offset, size int, v uint64) {
		for i := range size {
			shift := 8 * i
			if data == elf.ELFDATA2MSB {
				shift = 8 * (size - 1 - i)
			}
			b[offset+i] = byte(v >> shift)
		}
	}
	put(l.phoff, l.word, 64)
	put(l.phentsize, 2, uint64(l.entry))
	put(l.phnum, 2, 1)
	put(64, 4, uint64(elf.PT_INTERP))
	put(64+l.entryOffset, l.word, uint64(at))
	put(64+l.filesz, l.word, uint64(len(interp)+1))
	copy(b[at:], interp)
	return string(b)
}

func TestInterpOfDamage(t *testing.T) {
	t.Parallel()
	whole := []byte(fakeELF(elf.ELFCLASS64, elf.ELFDATA2LSB, 200, "/lib/ld.so"))[:elfHeadBytes]
	for i := range 200 * 8 {
		for _, v := range []byte{0, 0xff} {
			b := bytes.Clone(whole)
			b[i/8] = v
			_ = elfInterp(b).within(b, 0)
			_ = elfInterp(b[:i/8]).within(b[:i/8], 0)
		}
	}
}

// mentionRule says the same as mentionScan, slowly.
var mentionRule = regexp.MustCompile(`(?:^|[^A-Za-z0-9._+@%/-])((?:/run/|/var/run/|/var/log/|/var/lib/|/var/cache/|/var/spool/|/var/lock/|/var/tmp/|/etc/)[A-Za-z0-9._+@%/-]+)`)

func mentionsByRule(content []byte) []string {
	var out []string
	seen := map[string]bool{}
	// A separator may belong to two paths, which a regular expression cannot share: double it.
	doubled := regexp.MustCompile(`[^A-Za-z0-9._+@%/-]`).ReplaceAll(content, []byte("\x00\x00"))
	for _, m := range mentionRule.FindAllSubmatch(doubled, -1) {
		s := string(m[1])
		if len(s) > maxMentionBytes {
			continue
		}
		s = strings.TrimRight(s, ".")
		if seen[s] || slices.Contains(mentionRoots, s) {
			continue
		}
		seen[s] = true
		if out = append(out, s); len(out) == maxMentions {
			break
		}
	}
	return out
}

func scanMentions(content []byte, r io.Reader) []string {
	var m mentionScan
	m.start(make([]byte, windowBytes), 0)
	for m.more(r, int64(len(content))) {
	}
	return m.found
}

func TestMentionsAgreeWithRule(t *testing.T) {
	t.Parallel()
	total := 0
	for name, content := range programs(t) {
		want := mentionsByRule(content)
		total += len(want)
		if diff := cmp.Diff(want, scanMentions(content, bytes.NewReader(content))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	t.Logf("%d paths", total)
}

func TestMentions(t *testing.T) {
	t.Parallel()
	long := "/etc/" + strings.Repeat("l", maxMentionBytes-5)
	many := ""
	for i := range 300 {
		many += fmt.Sprintf("/run/x%d\x00", i)
	}
	tests := []struct {
		content string
		want    []string
	}{
		{"/run/x.pid", []string{"/run/x.pid"}},
		{"\x00/var/run/x\x00/var/run/x\x00", []string{"/var/run/x"}},
		{"see /etc/x.conf.\x00pid=/run/%s.pid:", []string{"/etc/x.conf", "/run/%s.pid"}},
		{"a/etc/x b./run/y /usr/etc/z //etc/w", nil},
		{"/etc/ /run/. /var/lib/ /var/www/x /home/x /runx/y /etc", nil},
		{long + "\x00" + long + "l\x00/etc/a", []string{long, "/etc/a"}},
	}
	for _, test := range tests {
		for _, offset := range []int{0, windowBytes - 300, windowBytes - 20, windowBytes - 3, 2*windowBytes - overlapBytes - 5} {
			content := []byte(strings.Repeat("\x00", offset) + test.content)
			got := scanMentions(content, iotest.HalfReader(bytes.NewReader(content)))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%.40q at %d (-want +got):\n%s", test.content, offset, diff)
			}
		}
	}
	if got := scanMentions([]byte(many), strings.NewReader(many)); len(got) != maxMentions {
		t.Errorf("got %d mentions of one file", len(got))
	}
}

func TestScanMentions(t *testing.T) {
	t.Parallel()
	content := elf.ELFMAG + strings.Repeat("\x00", 500_000) + "/var/log/x\x00"
	x := mustScan(t, makeTar(t,
		item{name: "bin/x", mode: 0o755, content: content},
		item{name: "bin/not-executable", content: content},
		item{name: "lib/x.so.1", mode: 0o755, content: content},
		item{name: "bin/after", mode: 0o755, content: content},
	), ScanOptions{})
	got := map[string][]string{}
	for _, e := range x.Entries {
		if !e.Facts.ELF {
			t.Errorf("%s: not seen as ELF", e.Path)
		}
		got[e.Path] = e.Facts.Mentions
	}
	want := map[string][]string{"/bin/x": {"/var/log/x"}, "/bin/not-executable": nil, "/lib/x.so.1": nil, "/bin/after": {"/var/log/x"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
