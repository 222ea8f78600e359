package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// The kinds of failure that a caller acts on; test with errors.Is.
var (
	// ErrNotFound: the reference names nothing: no such file, tag or repository.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the registry wants credentials, or refuses those that it got.
	ErrUnauthorized = errors.New("not authorized")
	// ErrUnreachable: a registry or an engine could not be reached, or kept failing; another try
	// later may succeed.
	ErrUnreachable = errors.New("unreachable")
	// ErrUnsupported: it is there and whole, but of a kind that unroot does not convert.
	ErrUnsupported = errors.New("not supported")
	// ErrCorrupt: bytes are not what their digest, size or format says.
	ErrCorrupt = errors.New("corrupt")
	// ErrLimit: the input is larger than a limit allows.
	ErrLimit = errors.New("over the limit")
	// ErrNeedsPlatform: the destination holds one platform and the source has many.
	ErrNeedsPlatform = errors.New("one platform needed")
)

// HintError is an error that knows what the user can do. Err says what is wrong; Hint, one
// sentence without a final full stop, belongs on a line of its own.
type HintError struct {
	Err  error
	Hint string
}

// Error gives what is wrong, without the hint.
func (e *HintError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *HintError) Unwrap() error { return e.Err }

// kindError gives an error one of the kinds above without changing its words.
type kindError struct {
	kind error
	err  error
}

func (e *kindError) Error() string        { return e.err.Error() }
func (e *kindError) Unwrap() error        { return e.err }
func (e *kindError) Is(target error) bool { return target == e.kind }

// fail makes an error of a kind.
func fail(kind error, format string, args ...any) error {
	return &kindError{kind: kind, err: fmt.Errorf(format, args...)}
}

// hinted adds a hint, unless the error already has one: the first one is the closest to the cause.
func hinted(err error, format string, args ...any) error {
	var has *HintError
	if err == nil || errors.As(err, &has) {
		return err
	}
	return &HintError{Err: err, Hint: fmt.Sprintf(format, args...)}
}

// classify gives an error of a conversation with a registry its kind and a hint. The status codes
// are those of the OCI distribution specification, section "Error Codes".
func classify(host string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var known *kindError
	if errors.As(err, &known) {
		return err
	}
	var answer *transport.Error
	if !errors.As(err, &answer) {
		return hinted(&kindError{ErrUnreachable, err},
			"check that %s is up and that this machine can reach it; a registry without TLS needs --insecure", host)
	}
	switch code := answer.StatusCode; {
	case code == http.StatusNotFound:
		return hinted(&kindError{ErrNotFound, err}, "check the name and the tag or digest")
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return hinted(&kindError{ErrUnauthorized, err},
			"check the name, and log in with `docker login %s` or `podman login %s`", host, host)
	case code == http.StatusTooManyRequests:
		return hinted(&kindError{ErrUnreachable, err}, "%s limits how often it may be asked: wait, or log in", host)
	case code >= 500:
		return hinted(&kindError{ErrUnreachable, err}, "%s has a problem of its own: try again later", host)
	}
	return err
}
