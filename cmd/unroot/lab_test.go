package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"

	"unroot/internal/account"
	"unroot/internal/image"
	"unroot/internal/imagetest"
	"unroot/internal/oracle"
	"unroot/internal/verify"
)

// busybox is the name of the section of an image into which a real, static busybox is put.
const busybox = "/bin/busybox 0755"

// readBusybox is the program that images run in tests; only a static one starts in an image that has
// nothing else.
var readBusybox = sync.OnceValues(func() ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w: install busybox-static", err)
	}
	return os.ReadFile(path)
})

// boxImage builds an image of testdata/images that has a busybox.
func boxImage(text []byte) (*image.Image, error) {
	ar := txtar.Parse(text)
	if _, ok := imagetest.Section(ar, busybox); !ok {
		return nil, fmt.Errorf("no section %q", busybox)
	}
	return built(ar)
}

// built builds an image, with a real busybox where it has a place for one.
func built(ar *txtar.Archive) (*image.Image, error) {
	if _, ok := imagetest.Section(ar, busybox); ok {
		program, err := readBusybox()
		if err != nil {
			return nil, err
		}
		imagetest.SetSection(ar, busybox, string(program))
	}
	return imagetest.Image(ar)
}

// boxCommand is `box NAME REF…`: image, with a busybox in it.
func boxCommand(ts *testscript.TestScript, _ bool, args []string) {
	img, err := boxImage([]byte(ts.ReadFile(filepath.Join(ts.Getenv("IMAGES"), args[0]+".txtar"))))
	ts.Check(err)
	put(ts, image.Source{Image: img}, args[1:])
}

//go:embed testdata/images/box.txtar
var boxText []byte

// labWorks says why images cannot be run in tests here; nil where they can. It is found out by running one.
var labWorks = sync.OnceValue(func() error {
	img, err := boxImage(boxText)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w := &world{env: os.Getenv}
	runner, err := w.newRunner(ctx, runnerAsk{name: runnerEmbedded, note: func(string) {}})
	if err != nil {
		return err
	}
	defer runner.Close()
	one := verify.Run{Name: "try", Image: img, Identity: account.Identity{UID: 1000}, Args: []string{"/bin/id"}, Dir: "/", Exits: true, Timeout: time.Minute}
	outcome, err := runner.Run(ctx, one, func(verify.Progress) {})
	if err == nil && (outcome.End != verify.EndExited || outcome.Status != 0) {
		err = fmt.Errorf("a trial run: %s, status %d: %s%s", outcome.End, outcome.Status, outcome.Error, outcome.Stderr)
	}
	return err
})

// lab ends the test where images cannot be run.
func lab(t *testing.T) {
	t.Helper()
	if err := labWorks(); err != nil {
		oracle.Missing(t, "a machine that runs images: %v", err)
	}
}
