#!/bin/bash
# Runs every fuzz target of the module, each for the time given: fuzz.sh 3s
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?how long each, such as 3s}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

fuzz() {
	go test "./$1" -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x >"$log" 2>&1
}

# On a busy machine go test sometimes takes the end of its own time for a failure (golang/go#48591); it has
# found nothing then.
late() {
	grep -q 'context deadline exceeded' "$log" && ! grep -q 'Failing input' "$log"
}

count=0
for package in $(grep -rl --include='*_test.go' '^func Fuzz' internal cmd | xargs -n 1 dirname | sort -u); do
	targets=$(go test "./$package" -list '^Fuzz')
	for target in $(grep '^Fuzz' <<<"$targets"); do
		printf '%s %s ' "$package" "$target"
		# minimising an input that only looks new would take up the whole short time
		if ! fuzz "$package" "$target" && ! { late && fuzz "$package" "$target"; }; then
			echo
			cat "$log"
			exit 1
		fi
		tail -n 1 "$log"
		count=$((count + 1))
	done
done
echo "fuzz: $count targets, $time each"
[ "$count" -gt 0 ]
