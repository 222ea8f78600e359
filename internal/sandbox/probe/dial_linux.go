package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dial connects to an endpoint. The socket is made and connected on the thread that World.Net gives: a socket belongs to
// the network namespace of the thread that makes it (socket(2), network_namespaces(7)), and the
// runtime's own dialer makes it on whatever thread it likes.
func dial(ctx context.Context, at endpoint, w World) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	if at.proto == "unix" {
		return dialUnix(ctx, at.path, w)
	}
	kind := unix.SOCK_STREAM
	if at.proto == "udp" {
		kind = unix.SOCK_DGRAM
	}
	var first error
	for _, ip := range at.addrs {
		domain, name := sockaddr(ip, at.port)
		if at.loose {
			return loosely(w, domain, &net.UDPAddr{IP: ip.AsSlice(), Port: int(at.port)})
		}
		conn, err := connect(ctx, w, domain, kind, name)
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func sockaddr(ip netip.Addr, port uint16) (domain int, name unix.Sockaddr) {
	if ip = ip.Unmap(); ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(port), Addr: ip.As16()}
}

// dialUnix connects to a UNIX socket, of whatever type it is.
func dialUnix(ctx context.Context, name string, w World) (net.Conn, error) {
	target := &unix.SockaddrUnix{Name: name}
	if !strings.HasPrefix(name, "@") {
		// Held open while it is connected to, and named by its descriptor: neither another symlink in the
		// meantime nor a path longer than sun_path (108 bytes, unix(7)) matters.
		held, err := openBelow(w.Root, name)
		if err != nil {
			return nil, err
		}
		defer unix.Close(held)
		target.Name = fmt.Sprintf("/proc/self/fd/%d", held)
	}
	var err error
	for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_SEQPACKET, unix.SOCK_DGRAM} {
		var conn net.Conn
		if conn, err = connect(ctx, w, unix.AF_UNIX, kind, target); !errors.Is(err, unix.EPROTOTYPE) {
			return conn, err
		}
	}
	return nil, err
}

// openBelow opens a path (O_PATH) as a process whose root directory is root would. openat2(2): no symlink leads out.
func openBelow(root, name string) (int, error) {
	if root == "" {
		root = "/"
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening the run's root: %w", err)
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, fmt.Errorf("opening the socket %q: %w", name, err)
	}
	return fd, nil
}

// connect makes a socket and connects it, on the thread of the run's network.
func connect(ctx context.Context, w World, domain, kind int, name unix.Sockaddr) (net.Conn, error) {
	for {
		fd, err := begin(w, domain, kind, name)
		if err == nil {
			err = await(ctx, fd)
		}
		if err == nil {
			return asConn(fd)
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		// a UNIX socket whose queue is full says so at once (unix(7), connect(2) EAGAIN)
		if !errors.Is(err, unix.EAGAIN) {
			return nil, os.NewSyscallError("connect", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// begin starts to connect without waiting.
func begin(w World, domain, kind int, name unix.Sockaddr) (fd int, err error) {
	fd = -1
	inside := w.Net
	if inside == nil {
		inside = onThread
	}
	err = inside(func() error {
		s, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		fd = s
		if name == nil {
			return nil
		}
		if err := unix.Connect(s, name); err != nil && err != unix.EINPROGRESS && err != unix.EINTR {
			return err
		}
		return nil
	})
	return fd, err
}

func onThread(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return f()
}

// loosely makes a socket for datagrams that takes answers from any port, as TFTP gives them (RFC 1350, section 4).
func loosely(w World, domain int, to *net.UDPAddr) (net.Conn, error) {
	fd, err := begin(w, domain, unix.SOCK_DGRAM, nil)
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	return looseConn{conn, to}, nil
}

// looseConn is a socket for datagrams to one address, from any.
type looseConn struct {
	net.PacketConn
	to net.Addr
}

func (c looseConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

func (c looseConn) Write(b []byte) (int, error) { return c.WriteTo(b, c.to) }

func (c looseConn) RemoteAddr() net.Addr { return c.to }

// await waits until a connection is there, or is not to be had (connect(2), EINPROGRESS).
func await(ctx context.Context, fd int) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 20)
		if err != nil && err != unix.EINTR {
			return err
		}
		if n > 0 {
			break
		}
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}

// asConn gives a connected socket to the runtime's poller. It duplicates the descriptor.
func asConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	return net.FileConn(f)
}

func isRefused(err error) bool { return errors.Is(err, unix.ECONNREFUSED) }

func isMissing(err error) bool { return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) }
