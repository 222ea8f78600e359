package sandbox

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"unroot/internal/image"
	"unroot/internal/sandbox/agent"
	"unroot/internal/verify"
)

// patience is how long a lab may take to end a run that was cancelled, or that is over its time,
// before the lab itself is ended.
const patience = 15 * time.Second

// Run runs one image. Its layers are unpacked when the runner sees it for the first time.
func (e *Embedded) Run(ctx context.Context, r verify.Run, watch func(verify.Progress)) (verify.Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.Image == nil || len(r.Image.Layers) == 0 {
		return verify.Outcome{}, fmt.Errorf("running %q: the image has no layers", r.Name)
	}
	r.Limits = e.limitsFor(r.Limits)
	if watch == nil {
		watch = func(verify.Progress) {}
	}
	begun := time.Now()
	err := e.ready(ctx, r, watch)
	if bad := (*imageError)(nil); errors.As(err, &bad) {
		return verify.Outcome{
			Run: r, End: verify.EndFailed, Status: 125, Error: bad.Error(), Took: time.Since(begun),
			Platform: "linux/" + runtime.GOARCH, Runner: e.Name(),
		}, nil
	}
	if err != nil {
		return verify.Outcome{}, err
	}
	before := e.lab.group.hits()
	out, err := e.request(ctx, r, watch)
	if err != nil {
		return verify.Outcome{}, e.broken(ctx, err)
	}
	out.Runner = e.Name()
	if e.lab.group.hits() > before && out.End != verify.EndLimit {
		out.End, out.Limit = verify.EndLimit, "memory"
	}
	return out, nil
}

// ready sees to it that there is a lab, and that it has the image. A lab that turns out to be made
// wrong for the image, with too little room or without an id, is replaced while it is still new.
func (e *Embedded) ready(ctx context.Context, r verify.Run, watch func(verify.Progress)) error {
	if err := e.open(ctx, plan{image: r.Image, ids: []uint32{r.Identity.UID, r.Identity.GID}, more: r.Identity.Groups}); err != nil {
		return err
	}
	for range 3 {
		done, unread, err := e.lab.send(ctx, r.Image, func() { watch(verify.Progress{Run: r.Name, What: "unpacks the image"}) })
		if err != nil {
			return e.broken(ctx, err)
		}
		switch {
		case unread != nil:
			return fmt.Errorf("reading the image of %q: %w", r.Name, unread)
		case len(done.Unmapped) == 0 && done.Error == "":
			e.tell(done)
			return e.lab.group.limit(r.Limits.Memory)
		case done.Error != "" && !done.Full:
			return &imageError{done.Error}
		case e.lab.runs > 0 || done.Full && e.lab.plan.folder:
			return fmt.Errorf("unpacking the image of %q: %s", r.Name, done.why())
		}
		next := e.lab.plan
		next.image, next.more = r.Image, append(next.more, done.Unmapped...)
		next.folder = next.folder || done.Full
		e.drop()
		if err := e.open(ctx, next); err != nil {
			return err
		}
	}
	return fmt.Errorf("unpacking the image of %q: [internal error] no lab suits it", r.Name)
}

// imageError is that an image is not what an image should be: no failure of the runner.
type imageError struct{ why string }

// Error says so.
func (e *imageError) Error() string { return "unpacking the image: " + e.why }

// why is the failure in words.
func (u unpacked) why() string {
	if u.Error != "" {
		return u.Error
	}
	return fmt.Sprintf("files belong to the ids %v, which the runner was not told of in time", u.Unmapped)
}

// tell says what could not be made of an image as it is.
func (e *Embedded) tell(u unpacked) {
	if e.opts.Log == nil {
		return
	}
	if u.Devices > 0 {
		e.opts.Log(fmt.Sprintf("%d device files of the image are empty files here", u.Devices))
	}
	if u.Attrs > 0 {
		e.opts.Log(fmt.Sprintf("%d extended attributes of files of the image could not be set here", u.Attrs))
	}
}

// request has the lab conduct the run, and ends the lab where it does not come to an end.
func (e *Embedded) request(ctx context.Context, r verify.Run, watch func(verify.Progress)) (verify.Outcome, error) {
	l := e.lab
	l.runs++
	over := make(chan struct{})
	defer close(over)
	go func() {
		late := time.NewTimer(r.Timeout + patience)
		if r.Timeout <= 0 {
			late.Stop()
		}
		select {
		case <-over:
			return
		case <-ctx.Done():
			late.Reset(patience)
		case <-late.C:
			l.kill()
			return
		}
		select {
		case <-over:
		case <-late.C:
			l.kill()
		}
	}()
	return agent.Request(ctx, l.conn, r, watch)
}

// open starts a lab where there is none.
func (e *Embedded) open(ctx context.Context, p plan) error {
	if e.closed {
		return errors.New("[internal error] a runner that was closed is used")
	}
	if e.lab != nil && !e.lab.ended() {
		lacks := e.lab.plan.lacks(append(p.ids, p.more...))
		if !lacks && (e.lab.runs > 0 || e.lab.plan.folder || !tooBig(p.image)) {
			return nil
		}
		if e.lab.runs > 0 {
			return fmt.Errorf("running as %v: the runner was not told of these ids in time", append(p.ids, p.more...))
		}
		p.folder = p.folder || e.lab.plan.folder
	}
	e.drop()
	p.dir = e.opts.Dir
	p.ids = append(append([]uint32{}, e.opts.IDs...), p.ids...)
	l, err := startLab(ctx, p)
	e.lab = l
	return err
}

// broken ends the lab after its connection has failed, and says why it may have.
func (e *Embedded) broken(ctx context.Context, err error) error {
	said := ""
	if e.lab != nil {
		said = e.lab.end()
		e.lab = nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if said != "" {
		return fmt.Errorf("%w: the lab said %q", err, said)
	}
	return err
}

func (e *Embedded) drop() {
	if e.lab != nil {
		e.lab.end()
		e.lab = nil
	}
}

// Available tells whether images can be run here. The error wraps verify.ErrUnavailable and says
// what to install or to enable.
func (e *Embedded) Available(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open(ctx, plan{image: &image.Image{}})
}

// Close ends the lab. Nothing is left of it then.
func (e *Embedded) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.drop()
	return nil
}
