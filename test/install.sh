#!/bin/bash
# Installs the Debian packages of packages.txt that are missing, and starts none of their services.
# Where that cannot be done it says what is missing and goes on: the tests that need it say so too,
# and fail where UNROOT_REQUIRE_ALL=1.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
while read -r name _; do
	case $name in ''|'#'*) continue ;; esac
	if ! command -v dpkg-query >/dev/null ||
		[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
		missing+=("$name")
	fi
done <packages.txt
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "missing, and only root on Debian can install it here: ${missing[*]}" >&2
	if [ "${UNROOT_REQUIRE_ALL:-}" = 1 ]; then exit 1; else exit 0; fi
fi

# invoke-rc.d(8) asks this program before a package starts its service
policy=/usr/sbin/policy-rc.d
restore() {
	rm -f "$policy"
	if [ -e "$policy.unroot" ] || [ -L "$policy.unroot" ]; then mv "$policy.unroot" "$policy"; fi
}
trap restore EXIT
if [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$policy.unroot"; fi
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod +x "$policy"

export DEBIAN_FRONTEND=noninteractive
echo "installing: ${missing[*]}" >&2
apt-get -q update >/dev/null
apt-get -q install -y --no-install-recommends "${missing[@]}" >/dev/null
