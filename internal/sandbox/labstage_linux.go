package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"unroot/internal/sandbox/agent"
	"unroot/internal/sandbox/launch"
	"unroot/internal/sandbox/wire"
	"unroot/internal/verify"
)

func init() { launch.Register(labStage, labMain) }

// The files that a lab is started with, after the standard streams.
const (
	labSocket = 3 // for messages
	labLayers = 4 // for layers
)

// laboratory is the lab's own process: the first of its pid namespace, root of its user namespace,
// beside the runs and outside of their namespaces. With it ends everything.
type laboratory struct {
	conn   *wire.Conn
	server *agent.Server
	layers *chunkReader
	setup  labSetup
	store  *store
	upper  string // where directories for what runs write are made
	used   int    // runs so far

	volumes map[string]string // name → directory
}

// labMain is the stage.
func labMain() {
	protectSelf() // may start the stage anew, so it comes before anything else
	sock := os.NewFile(labSocket, "front")
	unix.CloseOnExec(labSocket)
	unix.CloseOnExec(labLayers)
	l := &laboratory{conn: wire.New(sock)}
	l.layers = &chunkReader{r: bufio.NewReaderSize(os.NewFile(labLayers, "layers"), 256<<10)}
	if err := l.begin(); err != nil {
		_ = l.conn.SendJSON(wire.Ready, labReady{Error: err.Error(), Masked: errors.Is(err, errMasked)})
		os.Exit(1)
	}
	l.server = agent.NewServer(l.conn)
	if err := l.serve(); err != nil {
		fmt.Fprintln(os.Stderr, err) // the front reads it when the connection has ended
		os.Exit(1)
	}
	os.Exit(0)
}

// begin waits until the user namespace has ids, and makes the lab's world.
func (l *laboratory) begin() error {
	kind, payload, err := l.conn.Receive()
	if err != nil {
		return err
	}
	if kind != wire.Ready {
		return fmt.Errorf("%w: kind %d before the setup", wire.ErrFrame, kind)
	}
	if err := wire.Decode(payload, &l.setup); err != nil {
		return err
	}
	folder := -1
	if l.setup.Folder {
		if folder, err = unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("opening the folder for big images: %w", err)
		}
	}
	if err := becomeRoot(); err != nil {
		return err
	}
	if err := buildWorld(l.setup.Room, folder); err != nil {
		return err
	}
	return l.ready()
}

// ready decides where images and what runs write are kept, and tells the front.
func (l *laboratory) ready() error {
	serves := tmpfsServes("/i")
	images := "/i"
	if l.setup.Folder {
		images = "/d/i"
	}
	l.upper = "/r"
	if !serves || l.setup.UpperDisk {
		l.upper = "/d/r"
	}
	if !serves && !l.setup.Folder {
		return l.conn.SendJSON(wire.Ready, labReady{NeedFolder: true})
	}
	for _, dir := range []string{images, l.upper} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := tryOverlay(l.upper+"/t", images); err != nil {
		return err
	}
	l.store = &store{dir: images, room: l.setup.Room}
	return l.conn.SendJSON(wire.Ready, labReady{})
}

// tryOverlay mounts an overlay as runs do, so that what the kernel or a file system does not do is not
// taken for a fault of an image.
func tryOverlay(dir, lower string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := makeUpper(dir+"/u", dir+"/w", lower); err != nil {
		return err
	}
	if err := mountOverlay("/m", dir+"/u", dir+"/w", []string{lower}); err != nil {
		return err
	}
	if err := unix.Unmount("/m", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// serve does what the front asks for, until it has gone.
func (l *laboratory) serve() error {
	for {
		kind, payload, err := l.server.Next()
		if err != nil {
			return nil // the front has gone, or talks what cannot be understood
		}
		switch kind {
		case wire.Image:
			err = l.image(payload)
		case wire.Run:
			err = l.run(payload)
		default:
			err = fmt.Errorf("%w: unexpected kind %d", wire.ErrFrame, kind)
		}
		if err != nil {
			return err
		}
	}
}

// image makes an image the one that is run next: it asks for the layers that are missing.
func (l *laboratory) image(payload []byte) error {
	var order imageOrder
	if err := wire.Decode(payload, &order); err != nil {
		return err
	}
	from := l.store.begin(order)
	if err := l.conn.SendJSON(wire.Ready, imageAnswer{From: from}); err != nil {
		return err
	}
	for i := from; i < len(order.Layers); i++ {
		done, err := l.layer()
		if err != nil {
			return err
		}
		if err := l.conn.SendJSON(wire.Ready, done); err != nil {
			return err
		}
		if done.Error != "" || len(done.Unmapped) > 0 {
			l.store.giveUp()
			return nil
		}
	}
	return nil
}

// layer unpacks one layer, as its bytes arrive. An error means that the connection is of no further
// use; other failures are in what comes back.
func (l *laboratory) layer() (unpacked, error) {
	l.layers.next()
	done, err := l.store.add(l.layers)
	if err != nil {
		done.Error = err.Error()
	}
	return done, l.layers.drain()
}

// run conducts one run of the current image.
func (l *laboratory) run(payload []byte) error {
	var s *space
	defer func() {
		if s != nil {
			s.remove()
		}
	}()
	return l.server.Run(context.Background(), payload, func(r verify.Run) (agent.Space, error) {
		var err error
		if s, err = l.newSpace(r); err != nil {
			return nil, err
		}
		return s, nil
	}, func(out *verify.Outcome) { s.adjust(out) })
}
