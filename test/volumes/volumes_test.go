package volumes

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const user = "1000700000:0"

// situation is a container that cannot start, and which of the printed lines makes it start.
type situation struct {
	name    string
	before  []string // as root in a container with the options: what is there already
	options []string // of run; DIR is a directory of the host
	dir     string   // what a shell does in that directory first
	order   []string // of unroot-init
	script  string   // what the program does, once it starts; "" writes into the first path
	line    string   // a line of the message that begins so is carried out, or its options are used
	and     string   // a second line
	drop    []string // options that a line takes the place of
	says    []string // in the message
}

var onBoth = []situation{
	{name: "new volume", options: []string{"-v", "VOLUME:/fresh:nocopy"}, order: []string{"--writable=/fresh"}, line: "ENGINE run --rm", says: []string{"empty and root's: a new volume", "volume VOLUME of"}},
	{name: "old data", before: []string{"mkdir /data/sub", "touch /data/sub/x", "chown -R 0:0 /data", "chmod 755 /data"}, options: []string{"-v", "VOLUME:/data"}, order: []string{"--writable=/data"},
		script: "echo x >/data/sub/x", line: "ENGINE run --rm", says: []string{"root's data, which an older image left behind"}},
	{name: "a directory of the host", options: []string{"-v", "DIR:/srv/it's mine"}, dir: "chown 0:0 .; chmod 755 .", order: []string{"--writable=/srv/it's mine"}, script: "touch \"/srv/it's mine/x\"", line: "sudo chown"},
	{name: "another user's directory", options: []string{"-v", "DIR:/data"}, dir: "touch x; chown -R 1234:5678 .; chmod 750 .", order: []string{"--writable=/data"}, line: "sudo chown -R", says: []string{"another user's"}},
	{name: "as the owner", options: []string{"-v", "DIR:/data"}, dir: "chown 1234:5678 .; chmod 750 .", order: []string{"--writable=/data"}, line: "ENGINE run --user 1234:0"},
	{name: "in the group", options: []string{"-v", "DIR:/data"}, dir: "chown 0:5678 .; chmod 2770 .", order: []string{"--writable=/data"}, line: "ENGINE run --group-add 5678"},
	{name: "mode", options: []string{"-v", "DIR:/data"}, dir: "mkdir sub; chown -R 1000700000:0 .; chmod 555 . sub", order: []string{"--writable=/data"}, script: "touch /data/sub/x", line: "sudo chmod -R"},
	{name: "a file", options: []string{"-v", "DIR/f:/etc/f"}, dir: "touch f; chown 0:0 f; chmod 644 f; chmod 755 .", order: []string{"--writable=/etc/f"}, script: "echo x >/etc/f", line: "sudo chown 1000700000:0"},
	{name: "private directory", before: []string{"chown 999:999 /data", "chmod 777 /data", "touch /data/x"}, options: []string{"-v", "VOLUME:/data"}, order: []string{"--private-dir=0700:/data"}, script: `test "$(stat -c %u:%a /data)" = 1000700000:700`,
		line: "ENGINE run --rm", says: []string{"must belong to the user who runs"}},
	{name: "read-only volume", options: []string{"-v", "DIR:/data:ro"}, dir: "chmod 777 .", order: []string{"--writable=/data"}, line: "-v ", drop: []string{"-v", "DIR:/data:ro"}, says: []string{"mounted read-only"}},
	{name: "read-only root", options: []string{"--read-only"}, order: []string{"--writable=/data", "--home=/data"}, line: "ENGINE run TMPFS"},
	{name: "read-only root, to keep", options: []string{"--read-only"}, order: []string{"--writable=/data", "--home=/data"}, line: "ENGINE run -v"},
	{name: "read-only root, private file", options: []string{"--read-only"}, order: []string{"--private-file=0600:/etc/key", "--home=/run"}, script: `test "$(stat -c %u:%a /run/unroot/etc/key)" = 1000700000:600 && cat /etc/key`,
		line: "ENGINE run TMPFS", says: []string{"the private copy of /etc/key"}},
	{name: "the image's directory", order: []string{"--writable=/rootonly"}, line: "ENGINE run TMPFS", says: []string{"unroot convert --writable /rootonly"}},
}

func TestDocker(t *testing.T) {
	c := docker(t)
	all := append(slices.Clone(onBoth),
		situation{name: "empty volume", options: []string{"-v", "VOLUME:/data"}, order: []string{"--private-dir=0700:/data"}, line: "docker run --rm", and: "docker run -v", drop: []string{"-v", "VOLUME:/data"}},
		situation{name: "tmpfs", options: []string{"--tmpfs", "/rootonly"}, order: []string{"--writable=/rootonly"}, line: "ENGINE run TMPFS", drop: []string{"--tmpfs", "/rootonly"}, says: []string{"a tmpfs"}})
	for i, s := range all {
		t.Run(s.name, func(t *testing.T) { s.play(t, c, i) })
	}
}

func TestPodman(t *testing.T) {
	c := podman(t)
	all := append(slices.Clone(onBoth),
		situation{name: "tmpfs", options: []string{"--tmpfs", "/rootonly:mode=0755"}, order: []string{"--writable=/rootonly"}, line: "ENGINE run TMPFS", drop: []string{"--tmpfs", "/rootonly:mode=0755"}},
		situation{name: "given at every start", before: []string{"touch /data/x", "chown -R 0:0 /data", "chmod 755 /data"}, options: []string{"-v", "VOLUME:/data"}, order: []string{"--writable=/data"},
			script: "echo x >/data/x", line: "ENGINE run -v", drop: []string{"-v", "VOLUME:/data"}})
	for i, s := range all {
		t.Run(s.name, func(t *testing.T) { s.play(t, c, i) })
	}
}

// play starts, is refused, does what was printed, and starts.
func (s situation) play(t *testing.T, parent *client, i int) {
	c := *parent
	c.t = t
	dir, err := os.MkdirTemp("", "unroot-host-")
	if err != nil {
		t.Fatal(err)
	}
	volume := "unroot-" + string(rune('a'+i))
	defer func() {
		c.do("volume", "rm", "--force", volume)
		c.do("volume", "rm", "--force", "data")
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}()
	fill := func(words []string) []string {
		var out []string
		for _, w := range words {
			out = append(out, strings.NewReplacer("DIR", dir, "VOLUME", volume, "ENGINE", c.name).Replace(w))
		}
		return out
	}
	if s.dir != "" {
		c.typed("cd " + dir + " && { " + s.dir + "; }")
	}
	options := fill(s.options)
	if c.name == "podman" { // Podman's new volumes are the user's, and it knows nothing of nocopy for one that is there
		options = strings.Split(strings.ReplaceAll(strings.Join(options, "\x00"), ":nocopy", ""), "\x00")
		if s.name == "new volume" {
			s.before = []string{"chown 0:0 /fresh"}
		}
		if len(s.options) == 0 {
			options = nil
		}
	}
	if s.before != nil {
		line := append([]string{"run", "--rm", "--user", "0"}, options...)
		if code, out := c.do(append(line, imageName, "sh", "-c", strings.Join(s.before, " && "))...); code != 0 {
			t.Fatalf("before: exit code %d\n%s", code, out)
		}
	}
	code, message := s.start(&c, options)
	if code != 78 {
		t.Fatalf("exit code %d\n%s", code, message)
	}
	for _, word := range fill(s.says) {
		if !strings.Contains(message, word) {
			t.Errorf("%q is not in\n%s", word, message)
		}
	}
	var done []string
	for _, begin := range []string{s.line, s.and} {
		if begin == "" {
			continue
		}
		line := s.find(t, message, fill([]string{begin})[0], c.name)
		done = append(done, line)
		switch {
		case strings.HasPrefix(line, "-v "):
			options = replaced(options, fill(s.drop), strings.Fields(line))
		case strings.HasSuffix(line, " …"):
			words := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(line, c.name+" run "), " …"))
			options = replaced(options, fill(s.drop), words)
		default:
			c.typed(line)
		}
	}
	if code, out := s.start(&c, options); code != 0 {
		t.Errorf("after %q: exit code %d\n%s\nthe message was\n%s", done, code, out, message)
	}
}

// start starts the program as an arbitrary user without any right.
func (s situation) start(c *client, options []string) (int, string) {
	script := s.script
	if script == "" {
		_, path, _ := strings.Cut(s.order[0], "/")
		script = "touch /" + path + "/x"
	}
	line := []string{"run", "--rm", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"}
	if !slices.Contains(options, "--user") {
		line = append(line, "--user", user)
	}
	line = append(append(line, options...), "--entrypoint", "/unroot-init", imageName)
	line = append(append(line, s.order...), "--", "sh", "-c", script)
	return c.do(line...)
}

// find gives the line of a message that begins so, without what follows it for other clients.
func (s situation) find(t *testing.T, message, begin, engine string) string {
	tmpfs := map[string]string{"docker": "--tmpfs", "podman": "--mount"}[engine]
	begin = strings.Replace(begin, "TMPFS", tmpfs, 1)
	for line := range strings.Lines(message) {
		line = strings.TrimRight(line, "\n")
		if found, ok := strings.CutPrefix(line, "  "); ok && strings.HasPrefix(found, begin) {
			found, _, _ = strings.Cut(found, "      Compose:")
			return strings.TrimSpace(found)
		}
	}
	t.Fatalf("no line %q in\n%s", begin, message)
	return ""
}

// replaced gives options with others in place of some.
func replaced(options, drop, with []string) []string {
	out := slices.Clone(options)
	if len(drop) > 0 {
		if i := slices.Index(out, drop[1]); i > 0 {
			out = slices.Delete(out, i-1, i+1)
		}
	}
	return append(out, with...)
}

// TestWarn: the variable lets a start go on.
func TestWarn(t *testing.T) {
	c := docker(t)
	code, out := situation{order: []string{"--writable=/rootonly"}, script: "cat /etc/passwd"}.start(c, []string{"-e", "UNROOT_VOLUMES=warn"})
	if code != 0 || !strings.Contains(out, "unroot-init: /rootonly cannot be written") || !strings.Contains(out, "root:x:0:0") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// TestRemade: an image's directory becomes that of any user who runs, in an engine's layers too.
func TestRemade(t *testing.T) {
	for _, c := range []*client{docker(t), podman(t)} {
		code, out := situation{order: []string{"--private-dir=0700:/pg/data"}, script: "stat -c %u:%a /pg/data; touch /pg/data/x"}.start(c, nil)
		if code != 0 || out != "1000700000:700\n" {
			t.Errorf("%s: exit code %d\n%s", c.name, code, out)
		}
	}
}

// TestRestart: a container that is started again keeps what its program wrote.
func TestRestart(t *testing.T) {
	c := docker(t)
	name := filepath.Base(t.Name())
	defer c.do("rm", "--force", "--volumes", name)
	code, out := c.do("run", "--name", name, "--user", user, "--cap-drop", "ALL", "--entrypoint", "/unroot-init", imageName,
		"--private-file=0600:/etc/key", "--", "sh", "-c", "cat /etc/key; echo more >>/etc/key")
	if code != 0 || out != "secret\n" {
		t.Fatalf("exit code %d\n%s", code, out)
	}
	if code, out := c.do("start", "--attach", name); code != 0 || out != "secret\nmore\n" {
		t.Errorf("started again: exit code %d\n%s", code, out)
	}
}
