package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Bounds of what Decode takes: above what a tracer gives.
const (
	maxLog    = 512 << 20 // bytes of JSON
	maxEvents = 2_000_000
	maxText   = 16 << 10 // of one string: four times PATH_MAX
	maxArgs   = 64
	maxIDs    = 65536 // NGROUPS_MAX
)

var kinds = []Kind{
	Open, Make, Remove, Rename, Link, Mode, Owner, Attr, Look, Chdir, Chroot, Exec, Fork, Exit, Bind, Listen,
	Connect, Socket, Identity, Rights, Limit, Mount, Space, Machine,
}

// Decode reads the JSON form of a log. It refuses fields and kinds that it does not know, and sizes that no tracer
// gives; whether the log is whole is for Complete to say.
func Decode(data []byte) (Log, error) {
	if len(data) > maxLog {
		return Log{}, fmt.Errorf("reading a trace: %d bytes, more than %d", len(data), maxLog)
	}
	var l Log
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return Log{}, fmt.Errorf("reading a trace: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return Log{}, fmt.Errorf("reading a trace: more behind its end")
	}
	if len(l.Events) > maxEvents {
		return Log{}, fmt.Errorf("reading a trace: %d events, more than %d", len(l.Events), maxEvents)
	}
	for i, e := range l.Events {
		if err := e.valid(); err != nil {
			return Log{}, fmt.Errorf("reading event %d of a trace: %w", i+1, err)
		}
	}
	return l, nil
}

func (e Event) valid() error {
	if !slices.Contains(kinds, e.Kind) {
		return fmt.Errorf("unknown kind %.40q", e.Kind)
	}
	if e.PID < 0 || e.Child < 0 {
		return fmt.Errorf("process number below 0")
	}
	if !isName(string(e.Errno)) || !isName(e.Signal) {
		return fmt.Errorf("no name of an error or a signal: %.40q %.40q", e.Errno, e.Signal)
	}
	if len(e.Args) > maxArgs || len(e.IDs) > maxIDs || e.Creds != nil && len(e.Creds.Groups) > maxIDs {
		return fmt.Errorf("too many arguments or ids")
	}
	for _, s := range append([]string{e.Exe, e.Call, e.Path, e.Target, e.Want, e.Addr}, e.Args...) {
		if len(s) > maxText {
			return fmt.Errorf("a text of %d bytes, more than %d", len(s), maxText)
		}
	}
	return nil
}

// isName reports whether s is empty or as the kernel's headers spell constants: "EACCES", "SIGRTMIN+3".
func isName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '+' && c != '-' {
			return false
		}
	}
	return len(s) <= 32
}
