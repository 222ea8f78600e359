//go:build linux && arm64

// Command guest is the first program of an emulated machine that runs unroot-init: it makes what a container has, starts each order
// as a user without a right, and tells what came of it.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// uid is one that no file of the machine knows.
const uid = 1000700000

func main() {
	for _, m := range [][2]string{{"proc", "/proc"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}, {"sysfs", "/sys"}} {
		must(os.MkdirAll(m[1], 0o755))
		must(unix.Mount(m[0], m[1], m[0], 0, ""))
	}
	must(os.Chmod("/tmp", 0o1777))
	must(os.Chmod("/run", 0o775))
	must(os.MkdirAll("/var", 0o755))
	must(os.Symlink("/run", "/var/run"))
	must(os.MkdirAll("/etc", 0o755))
	must(os.WriteFile("/etc/passwd", []byte("root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/sh\n"), 0o644))
	must(os.WriteFile("/etc/group", []byte("root:x:0:\nwww-data:x:33:\n"), 0o644))
	must(os.WriteFile("/tmp/script", []byte(script), 0o644))
	must(os.WriteFile("/tmp/child", []byte(child), 0o644))
	must(os.WriteFile("/tmp/other", []byte(other), 0o644))
	must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	run("layouts", 0, "/compat.test", "-test.v", "-test.timeout", "5m", "-test.run", "^Test(StatLayouts|GivenFiles|TheRestIs|ErrorsAre|ModeOf|StatMakesNo)")
	for _, step := range []string{"off", "simple", "identities", "consistent"} {
		for _, probe := range []string{"/probe64", "/probe32"} {
			run(step+" "+probe, uid, "/unroot-init", "--names=nscd", "--compat="+step, "--", probe, "/tmp/script")
		}
	}
	fmt.Println("\nUNROOT-END")
	unix.Sync()
	must(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

// script is what the probe does; the test has what is to come of it.
const script = `ids
name 1000700000
make f 0644
chown f 33 34
stat f
fstat f
statx f
fchownempty f 33 35
lstat f
chmod f 04755
stat f
make g 0644
stat g
script /tmp/other
stat h
stat d
setgroups 34
setgid 33
setuid 33
setuid 0
ids
chown f 0 0
stat f
peer
script /tmp/child
`

const other = `setgid 33
setuid 33
make h 0640
mkdir d 0755
symlink h l
chown h 34 -1
stat h
lstat l
stat g
`

const child = `ids
stat f
setuid 0
`

func run(what string, id uint32, words ...string) {
	dir, err := os.MkdirTemp("/tmp", "run-")
	must(err)
	must(os.Chown(dir, int(id), 0))
	fmt.Printf("\nUNROOT-RUN %s\n", what)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stdout
	cmd.Env = []string{"PATH=/", "TMPDIR=" + dir}
	if id != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: 0, Groups: []uint32{}}}
	}
	err = cmd.Run()
	fmt.Printf("\nUNROOT-RESULT %v\n", err)
}

func must(err error) {
	if err != nil {
		fmt.Println("guest:", err)
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}
}
