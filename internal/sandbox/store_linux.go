package sandbox

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// snapshot is an unpacked image, or the lower part of one.
type snapshot struct {
	layers []string // digests, bottom first
	dirs   []string // for an overlay, the topmost first
}

// store holds unpacked images. The lowest layers of an image are laid over one another in one
// directory; what a later image adds to an earlier one goes through an overlay into a directory of
// its own, so that the kernel keeps account of what it removes.
type store struct {
	dir  string
	room int64
	made int // directories so far
	have []snapshot

	order   imageOrder // the image under way or in use
	current snapshot   // what is there of it
	split   int        // after so many layers a new directory begins
	open    *building
}

// building is a directory that layers are unpacked into.
type building struct {
	number string
	at     string // the directory, or where the overlay with it is mounted
	dirs   []string
}

// begin makes an image the current one, and gives the first layer that is missing of it.
func (s *store) begin(order imageOrder) int {
	s.order, s.current, s.open = order, snapshot{}, nil
	for _, h := range s.have {
		if len(h.layers) > len(s.current.layers) && len(h.layers) <= len(order.Layers) && slices.Equal(h.layers, order.Layers[:len(h.layers)]) {
			s.current = h
		}
	}
	s.split = len(order.Layers)
	if len(s.current.layers) == 0 {
		s.split = splitOf(order.Sizes)
	}
	return len(s.current.layers)
}

// splitOf says how many layers of a new image go into one directory. A small last layer gets its
// own: likely an image without it is run as well, such as the original of a converted one.
func splitOf(sizes []int64) int {
	var sum int64
	for _, n := range sizes {
		sum += n
	}
	if n := len(sizes); n > 1 && sizes[n-1] <= sum/4 {
		return n - 1
	}
	return len(sizes)
}

// add unpacks the next layer of the image under way.
func (s *store) add(archive io.Reader) (unpacked, error) {
	if s.open == nil {
		b, err := s.build()
		if err != nil {
			return unpacked{}, err
		}
		s.open = b
	}
	done, err := unpackInto(s.open.at, archive, s.room)
	if err != nil {
		return done, err
	}
	s.current.layers = append(slices.Clone(s.current.layers), s.order.Layers[len(s.current.layers)])
	if n := len(s.current.layers); n == s.split || n == len(s.order.Layers) {
		return done, s.seal()
	}
	return done, nil
}

// build makes the directory for the next layers.
func (s *store) build() (*building, error) {
	s.made++
	b := &building{number: strconv.Itoa(s.made)}
	own := s.dir + "/" + b.number
	if err := os.Mkdir(own, 0o755); err != nil {
		return nil, err
	}
	if len(s.current.dirs) == 0 {
		b.at, b.dirs = own, []string{own}
		return b, nil
	}
	b.at = "/m"
	b.dirs = append([]string{own + "/u"}, s.current.dirs...)
	if err := makeUpper(own+"/u", own+"/w", s.current.dirs[0]); err != nil {
		return nil, err
	}
	if err := mountOverlay("/m", own+"/u", own+"/w", s.current.dirs); err != nil {
		return nil, err
	}
	return b, nil
}

// seal ends the directory under way and keeps what is there by now.
func (s *store) seal() error {
	s.current.dirs = s.open.dirs
	if err := s.close(); err != nil {
		return err
	}
	s.have = append(s.have, s.current)
	return nil
}

func (s *store) close() error {
	b := s.open
	s.open = nil
	if b == nil || b.at != "/m" {
		return nil
	}
	if err := unix.Unmount("/m", 0); err != nil {
		return fmt.Errorf("taking the overlay of layers down: %w", err)
	}
	return os.RemoveAll(s.dir + "/" + b.number + "/w")
}

// giveUp removes what there is of an image that failed.
func (s *store) giveUp() {
	b := s.open
	if b == nil {
		return
	}
	_ = s.close()
	_ = os.RemoveAll(s.dir + "/" + b.number)
	s.order, s.current = imageOrder{}, snapshot{}
}

// lower is the directories of the current image, the topmost first.
func (s *store) lower() ([]string, error) {
	if len(s.order.Layers) == 0 || len(s.current.layers) != len(s.order.Layers) || s.open != nil {
		return nil, fmt.Errorf("[internal error] a run of an image that is not there")
	}
	return s.current.dirs, nil
}

// makeUpper makes the directories for changes over lower. The root directory of an overlay has the
// owner and the mode of the upper one.
func makeUpper(upper, work, lower string) error {
	var st unix.Stat_t
	if err := unix.Stat(lower, &st); err != nil {
		return err
	}
	for _, dir := range []string{upper, work} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.Chown(upper, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Chmod(upper, st.Mode&0o7777)
}

// mountOverlay mounts an overlay of the lab's own: paths here are short and have nothing special.
func mountOverlay(at, upper, work string, lower []string) error {
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,volatile,userxattr", strings.Join(lower, ":"), upper, work)
	if upper == "" {
		options = "userxattr,lowerdir=" + strings.Join(lower, ":")
	}
	if err := unix.Mount("overlay", at, "overlay", 0, options); err != nil {
		return fmt.Errorf("mounting an overlay: %w", err)
	}
	return nil
}
