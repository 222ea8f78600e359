package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"unroot/internal/verify"
)

// shortDir makes a directory whose path leaves room for a socket's name in sun_path, and that others may enter.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func writeKey(t *testing.T, name string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	if err := os.WriteFile(name, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func socketAt(t *testing.T, where string) verify.Socket {
	proto, rest, _ := strings.Cut(where, " ")
	if proto == "unix" {
		return verify.Socket{Proto: proto, Address: rest}
	}
	port, err := strconv.ParseUint(rest, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return verify.Socket{Proto: proto, Address: "127.0.0.1", Port: uint16(port)}
}

func awaitListening(t *testing.T, sockets []verify.Socket) {
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		waits := listening(t, sockets)
		if waits == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not listen: %v", waits)
		}
	}
}

func listening(t *testing.T, sockets []verify.Socket) error {
	for _, s := range sockets {
		if s.Proto == "udp" {
			if !boundUDP(s.Port) {
				return fmt.Errorf("udp %d is not bound", s.Port)
			}
			continue
		}
		conn, err := dial(t.Context(), socketEndpoint(s), World{})
		if err != nil {
			return err
		}
		conn.Close()
	}
	return nil
}

// boundUDP looks into /proc/net/udp (proc(5)).
func boundUDP(port uint16) bool {
	table, _ := os.ReadFile("/proc/net/udp")
	return strings.Contains(string(table), fmt.Sprintf(":%04X 00000000:0000", port))
}
