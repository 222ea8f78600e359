//go:build ignore

// Command generate writes numbers/*.txt from the tables of golang.org/x/sys/unix, which follow the newest kernel.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

var constant = regexp.MustCompile(`(?m)^\tSYS_([A-Z0-9_]+)\s+= ([0-9]+)$`)

func main() {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		log.Fatal(err)
	}
	for _, goarch := range []string{"386", "amd64", "arm", "arm64"} {
		source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "unix", "zsysnum_linux_"+goarch+".go"))
		if err != nil {
			log.Fatal(err)
		}
		var b bytes.Buffer
		for _, m := range constant.FindAllSubmatch(source, -1) {
			fmt.Fprintf(&b, "%s %s\n", bytes.ToLower(m[1]), m[2])
		}
		if goarch == "arm" {
			// arch/arm/include/uapi/asm/unistd.h, __ARM_NR_BASE; the table has none of them
			for i, name := range []string{"breakpoint", "cacheflush", "usr26", "usr32", "set_tls", "get_tls"} {
				fmt.Fprintf(&b, "%s %d\n", name, 0xf0001+i)
			}
		}
		if err := os.WriteFile(filepath.Join("numbers", goarch+".txt"), b.Bytes(), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
