package demoserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestServesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	config := filepath.Join(dir, "demo.conf")
	text := fmt.Sprintf("# test\nlisten = %s\npid-file = %s/pid\nlog-file = %s/log\ndata-dir = %s\n", address, dir, dir, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, config) }()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if err = Probe(ctx, "http://"+address+"/"); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pid")); !os.IsNotExist(err) {
		t.Errorf("the pid file stays: %v", err)
	}
	if visits, err := os.ReadFile(filepath.Join(dir, "visits")); err != nil || string(visits) != "." {
		t.Errorf("visits %q, %v", visits, err)
	}
}

func TestRefusesUnknownSettings(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "demo.conf")
	if err := os.WriteFile(config, []byte("listen = :0\nlissen = :1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Run(context.Background(), config); err == nil {
		t.Fatal("an unknown setting was taken")
	}
}
