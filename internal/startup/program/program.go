// Package program is unroot-init itself, built for every platform that images are made for.
package program

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

//go:generate go test -count=1 -timeout 30m -run TestRebuilt -all -update .

// built holds one zstd file a platform, named after File, and the version of Go that built them.
//
//go:embed built
var built embed.FS

// toolchainFile names the file beside the programs that says which version of Go built them.
const toolchainFile = "built/toolchain.txt"

// MaxSize is the most bytes that a program may have.
const MaxSize = 2_500_000

// Platform is an operating system and an architecture, as image indexes name them. A program for one
// runs on every variant of it.
type Platform struct{ OS, Arch string }

func (p Platform) String() string { return p.OS + "/" + p.Arch }

// File is the name of a platform's program, as `unroot init export` writes it.
func (p Platform) File() string { return "unroot-init-" + p.OS + "-" + p.Arch }

// platforms has one build for all of arm: GOARM=5 runs on v5, v6 and v7 alike (images exist for each),
// looks at start for the atomic instructions of v7, and does without floating point, which unroot-init
// has no use for.
var platforms = []Platform{
	{"linux", "386"},
	{"linux", "amd64"},
	{"linux", "arm"},
	{"linux", "arm64"},
	{"linux", "ppc64le"},
	{"linux", "riscv64"},
	{"linux", "s390x"},
}

// Platforms lists the platforms that there is a program for, sorted.
func Platforms() []Platform { return slices.Clone(platforms) }

// For gives the program for a platform as an image's config names it; every variant has the same. ok
// is false where there is none for that platform.
func For(os, arch, variant string) (content []byte, ok bool, err error) {
	p := Platform{os, arch}
	if !slices.Contains(platforms, p) {
		return nil, false, nil
	}
	if had, ok := unpacked.Load(p); ok {
		return had.([]byte), true, nil
	}
	packed, err := built.ReadFile("built/" + p.File() + ".zst")
	if err != nil {
		return nil, false, fmt.Errorf("this unroot was built without unroot-init for %s: %w", p, err)
	}
	content, err = unpack(packed)
	if err != nil {
		return nil, false, fmt.Errorf("[internal error] unpacking unroot-init for %s: %w", p, err)
	}
	unpacked.Store(p, content)
	return content, true, nil
}

// unpacked is the programs that were asked for before, by Platform: a conversion in rounds asks often.
var unpacked sync.Map

func unpack(packed []byte) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err == nil && len(content) > MaxSize {
		err = fmt.Errorf("more than %d bytes", MaxSize)
	}
	return content, err
}

// Toolchain is the version of Go that built the programs, such as go1.26.8.
func Toolchain() string {
	content, err := built.ReadFile(toolchainFile)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(content))
}
