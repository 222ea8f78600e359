package compat

// statx is struct statx (linux/stat.h), the same on every machine but for the order of bytes, which is
// little-endian on those that are served here.
type statx [256]byte

// The offsets of its fields that matter.
const (
	xMask    = 0
	xBlksize = 4
	xNlink   = 16
	xUID     = 20
	xGID     = 24
	xMode    = 28
	xIno     = 32
	xSize    = 40
	xBlocks  = 48
	xAtime   = 64
	xBtime   = 80
	xCtime   = 96
	xMtime   = 112
	xRdev    = 128 // major, minor
	xDev     = 136 // major, minor
)

// The masks of statx(2).
const (
	xWantBasic = 0x7ff
	xWantBtime = 0x800
)

// id is which file it is.
func (s *statx) id() fileID {
	return fileID{
		dev:   uint64(get32(s[:], xDev))<<32 | uint64(get32(s[:], xDev+4)),
		ino:   get64(s[:], xIno),
		birth: s.birth(),
	}
}

// birth is when the file was made, in nanoseconds since 1970; 0: not known.
func (s *statx) birth() int64 {
	if get32(s[:], xMask)&xWantBtime == 0 {
		return 0
	}
	return int64(get64(s[:], xBtime))*1e9 + int64(get32(s[:], xBtime+8))
}

func (s *statx) mode() uint16 { return uint16(s[xMode]) | uint16(s[xMode+1])<<8 }
func (s *statx) uid() uint32  { return get32(s[:], xUID) }
func (s *statx) gid() uint32  { return get32(s[:], xGID) }

// become puts in the owner and the mode that a file is believed to have.
func (s *statx) become(owner given) {
	put32(s[:], xUID, owner.uid)
	put32(s[:], xGID, owner.gid)
	if owner.hasMode {
		mode := s.mode()&typeMask | owner.mode&modeAll
		s[xMode], s[xMode+1] = byte(mode), byte(mode>>8)
	}
}

// layout is one of the shapes in which kernels tell what a file is.
type layout uint8

// The shapes. Those of before 1997 (struct __old_kernel_stat) have none: no program that could still
// run calls for them, and the kernel answers.
const (
	layoutNone     layout = iota
	layoutStatx           // struct statx
	layoutAMD64           // struct stat of arch/x86/include/uapi/asm/stat.h
	layoutGeneric         // struct stat of include/uapi/asm-generic/stat.h: arm64
	layoutNarrow          // struct stat of i386 and of arm: 32 bits wide
	layout386Wide         // struct stat64 of i386
	layoutARMWide         // struct stat64 of arm
	layoutsInCount        // how many there are
)

// room is how many bytes a shape takes.
func (l layout) room() int {
	switch l {
	case layoutStatx:
		return 256
	case layoutAMD64:
		return 144
	case layoutGeneric:
		return 128
	case layoutNarrow:
		return 64
	case layout386Wide:
		return 96
	case layoutARMWide:
		return 104
	}
	return 0
}

// encode writes a file's state into b, whose first room() bytes it fills. It gives false where the
// shape cannot hold it, for which the kernel has EOVERFLOW.
func (l layout) encode(b []byte, s *statx) bool {
	b = b[:l.room()]
	clear(b)
	switch l {
	case layoutStatx:
		copy(b, s[:])
	case layoutAMD64:
		put64(b, 0, s.device(xDev))
		put64(b, 8, get64(s[:], xIno))
		put64(b, 16, uint64(get32(s[:], xNlink)))
		s.who(b, 24)
		put64(b, 40, s.device(xRdev))
		put64(b, 48, get64(s[:], xSize))
		put64(b, 56, uint64(get32(s[:], xBlksize)))
		put64(b, 64, get64(s[:], xBlocks))
		s.times(b, 72, put64, 8)
	case layoutGeneric:
		put64(b, 0, s.device(xDev))
		put64(b, 8, get64(s[:], xIno))
		put32(b, 16, uint32(s.mode()))
		put32(b, 20, get32(s[:], xNlink))
		put32(b, 24, s.uid())
		put32(b, 28, s.gid())
		put64(b, 32, s.device(xRdev))
		put64(b, 48, get64(s[:], xSize))
		put32(b, 56, get32(s[:], xBlksize))
		put64(b, 64, get64(s[:], xBlocks))
		s.times(b, 72, put64, 8)
	case layoutNarrow:
		return s.narrow(b)
	case layout386Wide:
		s.wide(b, 44, 52, 56, 64)
	case layoutARMWide:
		s.wide(b, 48, 56, 64, 72)
	default:
		return false
	}
	return true
}

// who writes mode, uid and gid, one after the other.
func (s *statx) who(b []byte, at int) {
	put32(b, at, uint32(s.mode()))
	put32(b, at+4, s.uid())
	put32(b, at+8, s.gid())
}

// wide writes a struct stat64, whose fields from the size on stand where each machine aligns them.
func (s *statx) wide(b []byte, size, blksize, blocks, times int) {
	put64(b, 0, s.device(xDev))
	put32(b, 12, uint32(get64(s[:], xIno)))
	put32(b, 16, uint32(s.mode()))
	put32(b, 20, get32(s[:], xNlink))
	put32(b, 24, s.uid())
	put32(b, 28, s.gid())
	put64(b, 32, s.device(xRdev))
	put64(b, size, get64(s[:], xSize))
	put32(b, blksize, get32(s[:], xBlksize))
	put64(b, blocks, get64(s[:], xBlocks))
	s.times(b, times, put64as32, 4)
	put64(b, times+24, get64(s[:], xIno))
}

// narrow writes a struct stat of 32 bits (cp_compat_stat, fs/stat.c).
func (s *statx) narrow(b []byte) bool {
	ino, size, nlink := get64(s[:], xIno), get64(s[:], xSize), get32(s[:], xNlink)
	if ino > 0xffffffff || size > 0x7fffffff || nlink > 0xffff {
		return false
	}
	put32(b, 0, uint32(s.device(xDev)))
	put32(b, 4, uint32(ino))
	put32(b, 8, uint32(s.mode())|nlink<<16)
	put32(b, 12, id16(s.uid())|id16(s.gid())<<16)
	put32(b, 16, uint32(s.device(xRdev)))
	put32(b, 20, uint32(size))
	put32(b, 24, get32(s[:], xBlksize))
	put32(b, 28, uint32(get64(s[:], xBlocks)))
	s.times(b, 32, put64as32, 4)
	return true
}

// times writes the three pairs of seconds and nanoseconds, each number taking width bytes.
func (s *statx) times(b []byte, at int, put func([]byte, int, uint64), width int) {
	for i, from := range [...]int{xAtime, xMtime, xCtime} {
		put(b, at+2*i*width, get64(s[:], from))
		put(b, at+(2*i+1)*width, uint64(get32(s[:], from+8)))
	}
}

// device is a device's number as stat tells it: new_encode_dev (linux/kdev_t.h).
func (s *statx) device(at int) uint64 {
	major, minor := get32(s[:], at), get32(s[:], at+4)
	return uint64(minor&0xff | major<<8 | minor&^0xff<<12)
}

// id16 is an id in 16 bits: high2lowuid (linux/highuid.h), 65534 where it does not fit.
func id16(id uint32) uint32 {
	if id > 0xffff {
		return 65534
	}
	return id
}

func get32(b []byte, at int) uint32 {
	b = b[at : at+4]
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func get64(b []byte, at int) uint64 { return uint64(get32(b, at)) | uint64(get32(b, at+4))<<32 }

func put32(b []byte, at int, v uint32) {
	b = b[at : at+4]
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func put64(b []byte, at int, v uint64) {
	put32(b, at, uint32(v))
	put32(b, at+4, uint32(v>>32))
}

func put64as32(b []byte, at int, v uint64) { put32(b, at, uint32(v)) }
