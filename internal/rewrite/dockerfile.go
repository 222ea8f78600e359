package rewrite

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"unroot/internal/image"
	"unroot/internal/plan"
	"unroot/internal/record"
	"unroot/internal/startup/program"
)

// Dockerfile lowers a plan to a Dockerfile that starts from the image. It builds with BuildKit and
// with the classic builder, and needs a shell in the image. What a Dockerfile cannot do (taking an
// exposed port away) is said in a comment. The layer that a builder makes of it is larger than that
// of Image: chown and chmod copy whole files.
func Dockerfile(v *image.View, p plan.Plan, ref string) ([]byte, error) {
	d := &dockerfile{view: v}
	d.line("# Written by unroot plan --dockerfile. It gives what unroot convert gives, at the price of")
	d.line("# larger layers: a builder copies a file to change its owner or mode.")
	if !strings.HasPrefix(ref, "docker") {
		d.line("# %s is nothing that a builder can start from: load it into an engine, and name it here.", ref)
	}
	d.line("FROM %s", from(v, ref))
	if p.Empty() {
		d.line("# nothing to do: the image runs as a regular user already")
		return []byte(d.text.String()), nil
	}
	if len(d.commands(p))+len(kept(p)) > 0 && !hasShell(v) {
		d.line("# The image has no shell, which the RUN lines below need: unroot convert does without one.")
	}
	d.line("USER 0:0")
	if inVolume(v, p) {
		d.line("# BuildKit keeps what is changed below a VOLUME; the classic builder throws it away.")
	}
	for _, c := range d.commands(p) {
		d.line("%s", c)
	}
	if err := d.edits(p); err != nil {
		return nil, err
	}
	if made := kept(p); len(made) > 0 { // what is kept is kept as it was edited
		d.line("%s", run(made))
	}
	if err := d.config(p); err != nil {
		return nil, err
	}
	return []byte(d.text.String()), nil
}

type dockerfile struct {
	view *image.View
	text strings.Builder
}

func (d *dockerfile) line(format string, args ...any) {
	fmt.Fprintf(&d.text, format+"\n", args...)
}

// from is the reference for FROM: pinned by digest where the image comes from a registry.
func from(v *image.View, ref string) string {
	name, ok := strings.CutPrefix(ref, "docker://")
	if !ok {
		return strings.TrimPrefix(ref, "docker-daemon:")
	}
	if v.Image.Manifest == nil || strings.Contains(name, "@") {
		return name
	}
	return name + "@" + v.Image.Digest.String()
}

func hasShell(v *image.View) bool {
	_, err := v.Tree.Resolve("/bin/sh")
	return err == nil
}

// inVolume reports whether an operation changes what lies below a declared volume.
func inVolume(v *image.View, p plan.Plan) bool {
	return slices.ContainsFunc(p.Operations, func(op plan.Operation) bool {
		at := ""
		switch e := op.Effect.(type) {
		case plan.MakeDir:
			at = e.Path
		case plan.Grant:
			at = e.Path
		case plan.GrantFile:
			at = e.Path
		}
		return slices.ContainsFunc(v.Config.Volumes(), func(volume string) bool {
			volume = path.Clean("/" + volume)
			return at == volume || strings.HasPrefix(at, volume+"/")
		})
	})
}

// commands is the RUN lines for directories, owners, modes and removed files.
func (d *dockerfile) commands(p plan.Plan) []string {
	var made, out []string
	for _, op := range p.Operations {
		switch e := op.Effect.(type) {
		case plan.MakeDir:
			made = append(made, fmt.Sprintf("mkdir -p %s && %s", quote(e.Path), chown(e.Path, e.Attr)))
		case plan.Grant:
			made = append(made, chown(e.Path, e.To))
		case plan.GrantFile:
			made = append(made, chown(e.Path, e.To))
		case plan.Strip:
			made = append(made, strip(e))
		case plan.Remove:
			made = append(made, "rm -f "+quote(e.Path))
		case plan.AddProgram:
			out = append(out, d.program(e)...)
		}
	}
	if len(made) > 0 {
		out = append(out, run(made))
	}
	return out
}

// run is one RUN line of several commands.
func run(commands []string) string { return "RUN " + strings.Join(commands, " \\\n && ") }

// program copies unroot-init from the folder that the image is built in.
func (d *dockerfile) program(e plan.AddProgram) []string {
	parts := append(strings.SplitN(d.view.Config.Platform(), "/", 3), "", "")
	return []string{
		"# unroot-init comes from the build's folder: unroot init export . puts it there",
		fmt.Sprintf("COPY --chmod=0755 %s %s", program.Platform{OS: parts[0], Arch: parts[1]}.File(), e.Path),
	}
}

// kept is the commands that copy what unroot-init copies again at start, readable for whoever runs, and that
// link to its copies.
func kept(p plan.Plan) []string {
	var made []string
	for _, op := range p.Operations {
		switch e := op.Effect.(type) {
		case plan.Keep:
			made = append(made, keep(e))
		case plan.Link:
			made = append(made, fmt.Sprintf("ln -sfn %s %s", quote(e.To), quote(e.Path)))
		}
	}
	return made
}

func keep(e plan.Keep) string {
	return fmt.Sprintf("mkdir -p %s && cp -a %s %s && chown -R 0:%d %s && chmod -R g+rX %s",
		quote(path.Dir(e.To)), quote(e.Path), quote(e.To), e.GID, quote(e.To), quote(e.To))
}

func chown(p string, a plan.Attr) string {
	return fmt.Sprintf("chown %d:%d %s && chmod %04o %s", a.UID, a.GID, quote(p), a.Mode, quote(p))
}

// strip copies a program with file capabilities: a copy has none.
func strip(e plan.Strip) string {
	if !e.Caps {
		return chown(e.Path, e.To)
	}
	p := quote(e.Path)
	return fmt.Sprintf("cp %s %s.unroot && mv -f %s.unroot %s && %s", p, p, p, p, chown(e.Path, e.To))
}

// edits is one RUN line for each edited file: line by line with sed where lines only change or go,
// else the whole content.
func (d *dockerfile) edits(p plan.Plan) error {
	diffs, err := Diffs(p)
	if err != nil {
		return err
	}
	for _, f := range diffs {
		if script, ok := sedScript(f.Before, f.After); ok {
			d.line("RUN sed -i %s %s", script, quote(f.Path))
			continue
		}
		if tail, ok := bytes.CutPrefix(f.After, f.Before); ok && bytes.HasSuffix(f.Before, []byte("\n")) && bytes.HasSuffix(tail, []byte("\n")) && printable(tail) {
			d.line("RUN printf '%%s\\n' %s >> %s", quote(string(bytes.TrimSuffix(tail, []byte("\n")))), quote(f.Path))
			continue
		}
		d.whole(f)
	}
	return nil
}

// maxArgument is below what the kernel takes as one argument (MAX_ARG_STRLEN in linux/binfmts.h, 128
// KiB): a RUN line is one argument of the shell.
const maxArgument = 64 << 10

// whole writes a file's content anew, in parts that a shell takes.
func (d *dockerfile) whole(f FileDiff) {
	into := ">"
	for part := range slices.Chunk(f.After, maxArgument/4*3) {
		d.line("RUN echo %s | base64 -d %s %s", base64.StdEncoding.EncodeToString(part), into, quote(f.Path))
		into = ">>"
	}
	if len(f.After) == 0 {
		d.line("RUN : > %s", quote(f.Path))
	}
}

// printable reports whether a text is one line that a shell can hold in quotes, and builders in
// their messages, which are UTF-8.
func printable(b []byte) bool {
	text := bytes.TrimSuffix(b, []byte("\n"))
	return !bytes.ContainsAny(text, "\n\x00\r") && len(b) > 0 && utf8.Valid(b)
}

// sedScript is the -e arguments that turn before into after, where both have the same lines but for
// some that change or go.
func sedScript(before, after []byte) (string, bool) {
	if !utf8.Valid(before) { // in a UTF-8 locale "." is no other byte
		return "", false
	}
	old, new := bytes.SplitAfter(before, []byte("\n")), bytes.SplitAfter(after, []byte("\n"))
	var script []string
	i, j := 0, 0
	for i < len(old) {
		switch {
		case j < len(new) && bytes.Equal(old[i], new[j]):
			i, j = i+1, j+1
		case len(old)-i > len(new)-j:
			script = append(script, fmt.Sprintf("-e '%dd'", i+1))
			i++
		case j < len(new) && len(old)-i == len(new)-j:
			text := bytes.TrimSuffix(new[j], []byte("\n"))
			if !printable(append(text, '\n')) || bytes.HasSuffix(new[j], []byte("\n")) != bytes.HasSuffix(old[i], []byte("\n")) {
				return "", false
			}
			script = append(script, fmt.Sprintf("-e %s", quote(fmt.Sprintf("%ds|.*|%s|", i+1, sedReplacement(string(text))))))
			i, j = i+1, j+1
		default:
			return "", false
		}
	}
	text := strings.Join(script, " ")
	return text, j == len(new) && len(script) > 0 && len(text) < maxArgument
}

func sedReplacement(s string) string {
	return strings.NewReplacer(`\`, `\\`, `&`, `\&`, `|`, `\|`).Replace(s)
}

// config is the lines for the config's fields. ENTRYPOINT takes CMD with it in a Dockerfile, so that
// is written again.
func (d *dockerfile) config(p plan.Plan) error {
	args := map[string][]string{
		"Entrypoint": d.view.Config.Entrypoint(), "Cmd": d.view.Config.Cmd(), "Healthcheck": d.view.Config.Healthcheck(),
	}
	changed := map[string]bool{}
	user := d.view.Config.User()
	for _, op := range p.Operations {
		switch e := op.Effect.(type) {
		case plan.SetEnv:
			d.line("ENV %s=%s", e.Name, quoteWord(e.To))
		case plan.SetArgs:
			args[e.Field], changed[e.Field] = e.To, true
		case plan.SetArg:
			list := append([]string(nil), args[e.Field]...)
			list[e.Index] = e.To
			args[e.Field], changed[e.Field] = list, true
		case plan.MovePort:
			d.line("# port %s stays exposed: a Dockerfile cannot take it away", e.Key)
			d.line("EXPOSE %s", e.To)
		case plan.SetUser:
			user = e.To
		}
	}
	if changed["Healthcheck"] {
		d.healthcheck(args["Healthcheck"])
	}
	if changed["Entrypoint"] {
		d.line("ENTRYPOINT %s", list(args["Entrypoint"]))
	}
	if changed["Entrypoint"] || changed["Cmd"] {
		d.line("CMD %s", list(args["Cmd"]))
	}
	d.line("USER %s", user)
	rec, err := recordOf(d.view, p).Marshal()
	d.line("LABEL %s=%s", record.Label, quoteWord(rec))
	return err
}

// healthcheck is a HEALTHCHECK line with the image's own options, which the line would set back.
func (d *dockerfile) healthcheck(test []string) {
	var c struct {
		Config struct {
			Shell       []string
			Healthcheck struct {
				Interval, Timeout, StartPeriod, StartInterval time.Duration
				Retries                                       int
			}
		}
	}
	_ = json.Unmarshal(d.view.Config.Bytes(), &c) // what cannot be read has its default
	line := "HEALTHCHECK"
	h := c.Config.Healthcheck
	for _, o := range []struct {
		name  string
		value time.Duration
	}{{"interval", h.Interval}, {"timeout", h.Timeout}, {"start-period", h.StartPeriod}, {"start-interval", h.StartInterval}} {
		if o.value > 0 {
			line += fmt.Sprintf(" --%s=%s", o.name, o.value)
		}
	}
	if h.Retries > 0 {
		line += fmt.Sprintf(" --retries=%d", h.Retries)
	}
	shell := c.Config.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	switch {
	case len(test) == 2 && test[0] == "CMD-SHELL" && strings.ContainsAny(test[1], "\n\\"): // not one line, or not as it stands
		line += " CMD " + list(append(slices.Clone(shell), test[1]))
	case len(test) == 2 && test[0] == "CMD-SHELL":
		line += " CMD " + test[1]
	case len(test) > 1 && test[0] == "CMD":
		line += " CMD " + list(test[1:])
	}
	d.line("%s", line)
}

func list(words []string) string {
	if words == nil {
		words = []string{}
	}
	b, _ := json.Marshal(words) // a list of strings always marshals
	return string(b)
}

// quote is a word for a shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// quoteWord is a value for a Dockerfile's ENV, in which $ and \ have a meaning.
func quoteWord(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(s) + `"`
}
