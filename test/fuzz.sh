#!/bin/bash
# Runs every fuzz target of the module, each for the time given: fuzz.sh 3s
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?how long each, such as 3s}

count=0
while read -r package; do
	while read -r target; do
		printf '%s %s\n' "${package#unroot/}" "$target"
		# two workers: more would only wait for each other on the two cores of a small machine
		go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -parallel 2 >"${log:=$(mktemp)}" 2>&1 ||
			{ cat "$log"; exit 1; }
		tail -n 1 "$log"
		count=$((count + 1))
	done < <(go test "$package" -list '^Fuzz' | grep '^Fuzz')
done < <(grep -rl --include='*_test.go' '^func Fuzz' internal cmd | xargs -r -n 1 dirname | sort -u | sed 's|^|unroot/|')
rm -f "${log:-}"
echo "fuzz: $count targets, $time each"
[ "$count" -gt 0 ]
