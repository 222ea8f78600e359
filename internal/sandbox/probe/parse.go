package probe

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"unroot/internal/verify"
)

// Forms is the hint for whoever gave a probe that Parse does not take.
const Forms = "a probe is http://:8080/path, https://:8443/, tcp://:5432, udp://:53, unix:/run/x.sock or exec:COMMAND ARGUMENT…"

// FormError is every error of Parse.
type FormError struct {
	Text string // that was given
	Err  error  // what is wrong with it
}

func (e *FormError) Error() string { return fmt.Sprintf("reading the probe %q: %v", e.Text, e.Err) }

// Unwrap gives what is wrong.
func (e *FormError) Unwrap() error { return e.Err }

// Hint says what a probe looks like.
func (e *FormError) Hint() string { return Forms }

// Parse reads a probe as the command line has it: "http://HOST:PORT/PATH", "https://…" (no certificate is checked),
// "tcp://HOST:PORT", "udp://HOST:PORT", "unix:/PATH", "exec:COMMAND ARGUMENT…". An empty host is 127.0.0.1. Words of a command
// are separated by spaces; quotes and backslashes keep them together as in a shell, and nothing is expanded. Errors are *FormError.
func Parse(s string) (verify.Probe, error) {
	scheme, rest, found := strings.Cut(s, ":")
	if !found {
		return verify.Probe{}, &FormError{s, errors.New("it has no kind")}
	}
	var p verify.Probe
	var err error
	switch scheme {
	case "http", "https":
		p, err = parseHTTP(s)
	case "tcp", "udp":
		p, err = parseAddress(scheme, rest)
	case "unix":
		p, err = parseUnix(rest)
	case "exec":
		p.Kind = "exec"
		if p.Args, err = words(rest); err == nil && len(p.Args) == 0 {
			err = errors.New("it names no command")
		}
	default:
		err = fmt.Errorf("there is no kind %q", scheme)
	}
	if err != nil {
		return verify.Probe{}, &FormError{s, err}
	}
	return p, nil
}

func parseHTTP(s string) (verify.Probe, error) {
	u, err := url.Parse(s)
	if err != nil {
		var detail *url.Error
		if errors.As(err, &detail) {
			err = detail.Err
		}
		return verify.Probe{}, err
	}
	if u.Opaque != "" || !strings.HasPrefix(s[len(u.Scheme):], "://") {
		return verify.Probe{}, errors.New("the address begins with //")
	}
	if u.Hostname() == "" {
		u.Host = net.JoinHostPort("127.0.0.1", webPort(u))
	}
	if u.Path == "" {
		u.Path = "/"
	}
	if u.User != nil {
		return verify.Probe{}, errors.New("it names a user")
	}
	u.Fragment, u.RawFragment = "", ""
	if _, err := hostPort("tcp", u.Hostname(), webPort(u)); err != nil {
		return verify.Probe{}, err
	}
	return verify.Probe{Kind: "http", Address: u.String()}, nil
}

func parseAddress(kind, rest string) (verify.Probe, error) {
	address, found := strings.CutPrefix(rest, "//")
	if !found {
		return verify.Probe{}, errors.New("the address begins with //")
	}
	host, port, err := net.SplitHostPort(strings.TrimSuffix(address, "/"))
	if err != nil {
		return verify.Probe{}, fmt.Errorf("the address %q is not HOST:PORT", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if _, err := hostPort(kind, host, port); err != nil {
		return verify.Probe{}, err
	}
	return verify.Probe{Kind: kind, Address: net.JoinHostPort(host, port)}, nil
}

func parseUnix(rest string) (verify.Probe, error) {
	name := rest
	if strings.HasPrefix(name, "///") {
		name = name[2:] // unix:///run/x.sock, as others write it
	}
	if len(name) < 2 || name[0] != '/' && name[0] != '@' || strings.HasPrefix(name, "//") {
		return verify.Probe{}, errors.New("the path of a UNIX socket is absolute")
	}
	if strings.ContainsRune(name, 0) {
		return verify.Probe{}, errors.New("a path holds no zero byte")
	}
	return verify.Probe{Kind: "unix", Address: name}, nil
}

// words takes a command apart.
func words(s string) ([]string, error) {
	var list []string
	var word strings.Builder
	open := false // in a word, which may be empty: ''
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == 0:
			return nil, errors.New("a command holds no zero byte")
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, open = c, true
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			open = true
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if open {
				list = append(list, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteByte(c)
			open = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if open {
		list = append(list, word.String())
	}
	return list, nil
}
