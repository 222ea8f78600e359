#!/bin/bash
# Keeps one daemon: starts it, waits until standard input ends, and then ends it with all that it
# left. Standard input is a pipe from the test's process, so this happens however that one ends.
#   keeper.sh DIR LOG BEFORE COMMAND...
# DIR is the daemon's own folder: removed at the end, after what is mounted in it and every process
# that names it. BEFORE is a shell command that is run before the daemon is ended.
set -u
dir=$1 log=$2 before=$3
shift 3
cd /

"$@" >"$log" 2>&1 &
daemon=$!
cat >/dev/null

alive() { kill -0 "$1" 2>/dev/null; }
named() { # processes that name the folder, but not this one
	local p
	for p in /proc/[0-9]*; do
		p=${p#/proc/}
		[ "$p" = $$ ] || [ "$p" = "$BASHPID" ] && continue
		tr '\0' ' ' <"/proc/$p/cmdline" 2>/dev/null | grep -qF -- "$dir/" && echo "$p"
	done
}

if alive "$daemon"; then
	timeout 60 sh -c "$before" >>"$log" 2>&1
	kill "$daemon"
	for _ in {1..150}; do
		alive "$daemon" || break
		sleep 0.1
	done
	kill -9 "$daemon" 2>/dev/null
	wait "$daemon"
fi
for p in $(named); do
	kill -9 "$p" 2>/dev/null
done
for _ in {1..50}; do
	mounts=$(awk -v d="$dir" 'index($5, d "/") == 1 || $5 == d { print $5 }' /proc/self/mountinfo | sort -r)
	[ -n "$mounts" ] || break
	umount -l $mounts 2>/dev/null
	sleep 0.1
done
rm -rf -- "$dir"
