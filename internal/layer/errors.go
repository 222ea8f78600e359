package layer

import (
	"errors"
	"fmt"
)

// ErrCorrupt is in the chain of every error that says that the layer's own bytes are damaged,
// truncated or hostile: bad compression, bad tar headers, names that leave the root. An error
// without it came from the reader, from a limit or from the media type.
var ErrCorrupt = errors.New("damaged or truncated")

// ErrIndex is in the chain of every error of Decode: the bytes are no index of this version.
var ErrIndex = errors.New("not a layer index of this version")

// LimitError says that a layer is larger than what was allowed.
type LimitError struct {
	What  string // such as "uncompressed bytes"
	Limit int64  // in the unit that What names
	Flag  string // the command line's flag that raises the limit; empty if none does
}

// Error names the limit.
func (e *LimitError) Error() string { return fmt.Sprintf("more than %d %s", e.Limit, e.What) }

// MediaTypeError says that a layer is of a kind that cannot be read, or that its bytes are not
// what its media type says.
type MediaTypeError struct {
	MediaType string // as the manifest names it; may be empty
	Reason    string
}

// Error names the media type, if there is one, and the reason.
func (e *MediaTypeError) Error() string {
	if e.MediaType == "" {
		return e.Reason
	}
	return fmt.Sprintf("media type %q: %s", e.MediaType, e.Reason)
}

// corrupt marks a cause as damage of the layer itself.
func corrupt(cause error) error { return fmt.Errorf("%w: %w", ErrCorrupt, cause) }

// corruptEntry marks one entry of the archive as damaged or hostile.
func corruptEntry(name, reason string) error {
	return fmt.Errorf("%w: entry %q: %s", ErrCorrupt, name, reason)
}
