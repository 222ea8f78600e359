package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
)

// libraryFolders is where loaders look by default, on Debian's and on other systems' layouts.
var libraryFolders = []string{
	"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu",
	"/lib64", "/usr/lib64", "/lib", "/usr/lib",
}

// librariesOf is what a program needs beside itself to run in an image that has nothing else: its
// loader and, over and over, the shared libraries that it names, by their paths on this machine.
// Go links to the C library where it finds a C compiler. Empty for a program that stands alone.
func librariesOf(program []byte) (map[string][]byte, error) {
	found := map[string][]byte{}
	waiting := [][]byte{program}
	for len(waiting) > 0 {
		file, err := elf.NewFile(bytes.NewReader(waiting[0]))
		if err != nil {
			return nil, nil // of another system: it does not run in a Linux image anyway
		}
		waiting = waiting[1:]
		for _, p := range needed(file) {
			if found[p] != nil {
				continue
			}
			content, err := os.ReadFile(p)
			if err != nil {
				return nil, fmt.Errorf("reading what the demo's server needs: %w", err)
			}
			found[p] = content
			waiting = append(waiting, content)
		}
	}
	return found, nil
}

// needed is the paths of the loader and of the libraries that an ELF file names.
func needed(file *elf.File) []string {
	var paths []string
	for _, p := range file.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > 4096 {
			continue
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err == nil {
			paths = append(paths, string(bytes.TrimRight(name, "\x00")))
		}
	}
	libraries, _ := file.ImportedLibraries()
	for _, name := range libraries {
		for _, dir := range libraryFolders {
			p := filepath.Join(dir, name)
			if _, err := os.Stat(p); err == nil {
				paths = append(paths, p)
				break
			}
		}
	}
	return paths
}
