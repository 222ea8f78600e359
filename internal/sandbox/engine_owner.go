package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/moby/moby/client"
)

// ownerLabel is on every container and volume that a runner makes, with who it is: host name, boot,
// pid namespace, pid and start time of the process.
const ownerLabel = "dev.unroot.run"

// ownerName is the label of this process.
func ownerName() string {
	return fmt.Sprintf("%s %d %s", ownerPlace(), os.Getpid(), processStart(os.Getpid()))
}

// ownerPlace names the machine, its boot and the pid namespace: where a pid means something.
func ownerPlace() string {
	host, _ := os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	pids, _ := os.Readlink("/proc/self/ns/pid")
	return strings.Join([]string{strings.ReplaceAll(host, " ", "_"), string(bytes.TrimSpace(boot)), pids}, " ")
}

// processStart is the starttime of a process, proc_pid_stat(5), which tells it from a later one with the
// same pid; "" where there is none.
func processStart(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// the program's name, in parentheses, may hold anything; starttime is the 20th field after it
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 20 {
		return ""
	}
	return f[19]
}

// ownerGone reports whether the process of a label has ended. Of a process of another machine or pid
// namespace nothing is known; of another boot of this machine none is left.
func ownerGone(label string) bool {
	f := strings.Fields(label)
	here := strings.Fields(ownerPlace())
	if len(f) < 4 || len(f) > 5 || len(here) != 3 || f[0] != here[0] {
		return false
	}
	if f[1] != here[1] {
		return true
	}
	pid, err := strconv.Atoi(f[3])
	if err != nil || f[2] != here[2] {
		return false
	}
	return len(f) == 5 && processStart(pid) != f[4]
}

// removeLeftovers removes what killed runners have left. A failure is no reason not to run.
func (e *Engine) removeLeftovers(ctx context.Context) {
	filter := client.Filters{}.Add("label", ownerLabel)
	containers, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		return
	}
	for _, c := range containers.Items {
		if ownerGone(c.Labels[ownerLabel]) {
			_ = e.removeContainer(ctx, c.ID)
		}
	}
	volumes, err := e.client.VolumeList(ctx, client.VolumeListOptions{Filters: filter})
	if err != nil {
		return
	}
	for _, v := range volumes.Items {
		if ownerGone(v.Labels[ownerLabel]) {
			_, _ = e.client.VolumeRemove(ctx, v.Name, client.VolumeRemoveOptions{Force: true})
		}
	}
}
