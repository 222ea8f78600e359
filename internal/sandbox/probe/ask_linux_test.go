package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"unroot/internal/oracle"
	"unroot/internal/verify"
)

// The main thread stays where it is: /proc/self is what it sees, and TestNet ends threads in another network.
func init() { runtime.LockOSThread() }

func TestAskHTTP(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<p>welcome to %s", r.Host)
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Permission denied", 500) })
	mux.HandleFunc("/missing", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 404) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://127.0.0.1/there/?s=1")
		w.WriteHeader(301)
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "half")
	})
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	secure.Config.ErrorLog = nil
	defer plain.Close()
	defer secure.Close()
	port := plain.URL[strings.LastIndexByte(plain.URL, ':')+1:]
	closed := "http://127.0.0.1:" + freePort(t)
	tests := []struct {
		address, expect string
		ok              bool
		shape, err      string
	}{
		{plain.URL, "", true, "http 200 text/html", ""},
		{secure.URL + "/", "welcome", true, "https 200 text/html", ""},
		{"http://shop.example:" + port + "/", "welcome to shop.example:" + port, true, "http 200 text/html", ""},
		{plain.URL + "/", "^Permission", false, "http 200 text/html", `the body, with status 200, does not match "^Permission"`},
		{plain.URL + "/broken", "", false, "http 500 text/plain", "the status is 500"},
		{plain.URL + "/broken", "denied", true, "http 500 text/plain", ""},
		{plain.URL + "/missing", "", false, "http 404 text/plain", "the status is 404"},
		{plain.URL + "/away", "", true, "http 301 to :80/there/", ""},
		{plain.URL + "/cut", "", false, "http 200 text/plain", "breaks off after 4 bytes"},
		{closed, "", false, "refused", "nobody listens there"},
		{strings.Replace(plain.URL, "http:", "https:", 1), "", false, "answers", "the answer is not HTTP"},
		{plain.URL, "(", false, "not asked", "the expression"},
		{"file:///etc/passwd", "", false, "not asked", "it is not http://"},
	}
	for _, test := range tests {
		a := Ask(t.Context(), verify.Probe{Kind: "http", Address: test.address, Expect: test.expect}, World{})
		if a.OK != test.ok || a.Shape != test.shape || !strings.Contains(a.Error, test.err) || a.OK != (a.Error == "") {
			t.Errorf("%s %s: got %+v", test.address, test.expect, a)
		}
	}
}

func TestAskExec(t *testing.T) {
	t.Parallel()
	w := World{Exec: func(_ context.Context, args []string) (int, string, error) {
		switch args[0] {
		case "true":
			return 0, "PONG\n", nil
		case "false":
			return 3, "no", nil
		}
		return 0, "", errors.New("there is no such program")
	}}
	tests := []struct {
		p     verify.Probe
		w     World
		ok    bool
		shape string
	}{
		{verify.Probe{Kind: "exec", Args: []string{"true"}}, w, true, "exit 0"},
		{verify.Probe{Kind: "exec", Args: []string{"true"}, Expect: "^PONG"}, w, true, "exit 0"},
		{verify.Probe{Kind: "exec", Args: []string{"true"}, Expect: "^NO"}, w, false, "exit 0"},
		{verify.Probe{Kind: "exec", Args: []string{"false"}}, w, false, "exit 3"},
		{verify.Probe{Kind: "exec", Args: []string{"nothing"}}, w, false, "not run"},
		{verify.Probe{Kind: "exec"}, w, false, "not asked"},
		{verify.Probe{Kind: "exec", Args: []string{"true"}}, World{}, false, "not asked"},
		{verify.Probe{Kind: "smoke"}, w, false, "not asked"},
		{verify.Probe{Kind: "tcp", Address: "x"}, w, false, "not asked"},
		{verify.Probe{Kind: "unix", Address: "x"}, w, false, "not asked"},
	}
	for _, test := range tests {
		if a := Ask(t.Context(), test.p, test.w); a.OK != test.ok || a.Shape != test.shape || a.OK != (a.Error == "") {
			t.Errorf("%+v: got %+v", test.p, a)
		}
	}
}

// serve gives each connection to a listener to f, until the test ends.
func serve(t *testing.T, l net.Listener, f func(net.Conn)) verify.Socket {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	if strings.HasPrefix(l.Addr().Network(), "unix") {
		return verify.Socket{Proto: "unix", Address: l.Addr().String()}
	}
	return verify.Socket{Proto: "tcp", Address: "127.0.0.1", Port: uint16(l.Addr().(*net.TCPAddr).Port)}
}

func loopback(t *testing.T) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAskBytes(t *testing.T) {
	t.Parallel()
	echo := serve(t, loopback(t), func(c net.Conn) { io.Copy(c, c) })
	parts := serve(t, loopback(t), func(c net.Conn) {
		io.ReadFull(c, make([]byte, 2))
		for _, part := range []string{"error: ", "permission", " denied, wait ", "… it works"} {
			fmt.Fprint(c, part)
			time.Sleep(150 * time.Millisecond)
		}
		time.Sleep(time.Second)
	})
	closes := serve(t, loopback(t), func(c net.Conn) { c.Read(make([]byte, 1)) })
	tests := []struct {
		socket       verify.Socket
		send, expect string
		ok           bool
		shape        string
	}{
		{echo, "hello", "^hello$", true, "answers"},
		{echo, "hello", "", true, "answers"},
		{echo, "hello", "other", false, "answers"},
		{parts, "hi", "it works", true, "answers"},
		{parts, "hi", "never", false, "answers"},
		{closes, "hi", "", false, "closes"},
		{closes, "hi", ".*", false, "closes"},
	}
	for _, test := range tests {
		p := verify.Probe{Kind: "tcp", Address: strings.TrimPrefix(socketName(test.socket), "tcp "), Send: []byte(test.send), Expect: test.expect}
		start := time.Now()
		if a := Ask(t.Context(), p, World{}); a.OK != test.ok || a.Shape != test.shape || a.OK != (a.Error == "") {
			t.Errorf("%s %q %q: got %+v", p.Address, test.send, test.expect, a)
		}
		if took := time.Since(start); took > 9*time.Second {
			t.Errorf("%s took %v", p.Address, took)
		}
	}
}

func TestAskUDP(t *testing.T) {
	t.Parallel()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if string(buf[:n]) == "hello" {
				c.WriteTo([]byte("there"), from)
			}
		}
	}()
	a := Ask(t.Context(), verify.Probe{Kind: "udp", Address: c.LocalAddr().String(), Send: []byte("hello"), Expect: "^there$"}, World{})
	if !a.OK || a.Shape != "answers" {
		t.Errorf("got %+v", a)
	}
	if a := Ask(t.Context(), verify.Probe{Kind: "udp", Address: c.LocalAddr().String()}, World{}); a.OK || a.Shape != "silent" {
		t.Errorf("silent: got %+v", a)
	}
	c.Close()
	for _, send := range []string{"hello", ""} {
		if a := Ask(t.Context(), verify.Probe{Kind: "udp", Address: c.LocalAddr().String(), Send: []byte(send)}, World{}); a.OK || a.Shape != "refused" {
			t.Errorf("%q to nobody: got %+v", send, a)
		}
	}
}

// TestUnixSockets finds sockets as a process whose root is Root would: symlinks stay inside, and paths may be longer than
// an address of a socket.
func TestUnixSockets(t *testing.T) {
	t.Parallel()
	root := shortDir(t)
	long := filepath.Join(strings.Repeat("long/", 30) + "s")
	for _, dir := range []string{"run/x", "var", filepath.Dir(long)} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"var/run": "/run", "out": filepath.Join("../../../../../..", root, "outside"), "abs": root + "/outside"} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	hello := func(c net.Conn) { fmt.Fprint(c, "SSH-2.0-x\r\n") }
	listenUnix := func(name string) net.Listener {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	serve(t, listenUnix(filepath.Join(root, "run/x/s")), hello)
	serve(t, listenUnix(filepath.Join(root, "outside")), hello)
	serve(t, listenUnix("@unroot-probe-"+filepath.Base(root)), hello)
	serve(t, listenUnix(filepath.Join(root, "l")), hello)
	if err := os.Rename(filepath.Join(root, "l"), filepath.Join(root, long)); err != nil {
		t.Fatal(err)
	}
	datagrams, err := net.ListenPacket("unixgram", filepath.Join(root, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	packets, err := net.Listen("unixpacket", filepath.Join(root, "packets"))
	if err != nil {
		t.Fatal(err)
	}
	serve(t, packets, hello)
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/run/x/s": "ssh 2.0", "/var/run/x/s": "ssh 2.0", "/../../var/./run/x/s": "ssh 2.0", "/" + long: "ssh 2.0", "@unroot-probe-" + filepath.Base(root): "ssh 2.0",
		"/log": "datagrams", "/packets": "ssh 2.0", "/nothing": "missing", "/file/s": "missing", "/file": "refused", "/out": "missing", "/abs": "missing",
	} {
		if a := Ask(t.Context(), verify.Probe{Kind: "unix", Address: name}, World{Root: root}); a.Shape != want || a.OK != (want == "ssh 2.0" || want == "datagrams") {
			t.Errorf("%s: got %+v, want %s", name, a, want)
		}
	}
}

// TestNet proves that what is asked is in the network of World.Net, with a real network namespace and a real server in it, on
// a port that only the namespace has.
func TestNet(t *testing.T) {
	t.Parallel()
	oracle.Root(t)
	ns := newNetwork(t)
	w := World{Net: ns.on}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "inside") })
	var web, abstract net.Listener
	if err := ns.on(func() (err error) {
		if web, err = listenOn(80); err == nil {
			abstract, err = net.Listen("unix", "@unroot-probe-net")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	go http.Serve(web, mux)
	defer web.Close()
	serve(t, abstract, func(c net.Conn) { fmt.Fprint(c, "+OK\r\n") })
	for range 20 { // the runtime moves goroutines: once is no proof
		a := Ask(t.Context(), verify.Probe{Kind: "http", Address: "http://127.0.0.1:80/", Expect: "^inside$"}, w)
		if !a.OK {
			t.Fatalf("inside: %+v", a)
		}
		if a := Ask(t.Context(), verify.Probe{Kind: "unix", Address: "@unroot-probe-net"}, w); a.Shape != "pop3 ok" {
			t.Fatalf("abstract, inside: %+v", a)
		}
		if a := Ask(t.Context(), verify.Probe{Kind: "unix", Address: "@unroot-probe-net"}, World{}); a.Shape != "refused" {
			t.Fatalf("abstract, outside: %+v", a)
		}
		if a := Ask(t.Context(), verify.Probe{Kind: "http", Address: "http://127.0.0.1:80/"}, World{}); strings.Contains(a.Sample, "inside") {
			t.Fatalf("outside: %+v", a)
		}
	}
}

// network is a network namespace of a test.
type network struct{ fd int }

// newNetwork makes one, with its loopback up.
func newNetwork(t *testing.T) network {
	made := make(chan error)
	var n network
	go func() {
		runtime.LockOSThread() // and never back: the thread ends with the goroutine
		made <- func() (err error) {
			if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			if n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
				return err
			}
			s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(s)
			request, err := unix.NewIfreq("lo")
			if err != nil {
				return err
			}
			request.SetUint16(unix.IFF_UP)
			return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request)
		}()
	}()
	if err := <-made; err != nil {
		oracle.Missing(t, "network namespaces: %v", err)
	}
	t.Cleanup(func() { unix.Close(n.fd) })
	return n
}

// on runs f on a thread that is in the namespace.
func (n network) on(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// listenOn listens on the loopback of the present thread's network.
func listenOn(port int) (net.Listener, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, 16); err != nil {
		return nil, err
	}
	return net.FileListener(f)
}
