//go:build linux

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"unroot/internal/verify"
)

// listeners reads the socket tables of the run's network through any of its processes.
func (o *observer) listeners(tasks []task) []listener {
	for _, t := range tasks {
		var found []listener
		read := 0
		for _, table := range tables {
			text, err := readSome(filepath.Join(o.proc, strconv.Itoa(t.PID), "net", table.name), maxTable)
			if err != nil {
				continue // gone, or a kernel without IPv6
			}
			read++
			found = append(found, table.parse(text)...)
		}
		if read > 0 {
			return found[:min(len(found), maxSockets)]
		}
	}
	return nil
}

// holders finds the processes that hold sockets, by inode.
func (o *observer) holders(tasks []task) map[uint64]task {
	held := map[uint64]task{}
	budget := maxFiles
	for _, t := range tasks { // by pid: of a parent and its children the parent is named
		dir := filepath.Join(o.proc, strconv.Itoa(t.PID), "fd")
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		names, _ := f.Readdirnames(budget)
		f.Close()
		budget -= len(names)
		for _, name := range names {
			link, err := os.Readlink(filepath.Join(dir, name))
			inode, ok := socketInode(link)
			if _, known := held[inode]; err == nil && ok && !known {
				held[inode] = t
			}
		}
		if budget <= 0 {
			break
		}
	}
	return held
}

// socketInode reads "socket:[12345]", as sockfs_dname of net/socket.c writes it.
func socketInode(link string) (uint64, bool) {
	number, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
	return inode, err == nil
}

// sockets gives what the run's processes listen on, with the program that holds each. Looking
// through all descriptors costs much more than reading the tables, so it is done only when either
// the sockets or the processes are not those of the last time.
func (o *observer) sockets(tasks []task) []verify.Socket {
	found := o.listeners(tasks)
	same := signature(tasks) + fmt.Sprint(found)
	if same != o.same {
		o.same, o.last = same, o.held(found, tasks)
	}
	return slices.Clone(o.last)
}

// held is what of the sockets belongs to the run.
func (o *observer) held(found []listener, tasks []task) []verify.Socket {
	if len(found) == 0 {
		return nil
	}
	held := o.holders(tasks)
	var sockets []verify.Socket
	for _, l := range found {
		s := l.Socket
		holder, known := held[l.inode]
		switch {
		case known:
			dir, _ := os.Readlink(filepath.Join(o.proc, strconv.Itoa(holder.PID), "cwd"))
			s = absolute(s, dir)
			s.Program = holder.Program
		case o.shared:
			continue // another's
		default:
			s.Program = o.seen.binder(s)
		}
		if !o.seen.passing(s) {
			sockets = append(sockets, s)
		}
	}
	return distinct(sockets)
}

// marks is which sockets there are, as something to compare.
func marks(sockets []verify.Socket) string {
	var b strings.Builder
	for _, s := range sockets {
		b.WriteString(describe(s))
		b.WriteByte('\n')
	}
	return b.String()
}
