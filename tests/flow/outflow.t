#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# outflow.t: which blocks leave a source as holes, on each filesystem; see
# outtest.c. Root.
set -u
B=${B:-build}
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP needs root"
	exit 0
fi
top=$(mktemp -d) || exit 1
trap 'umount "$top"/m 2>/dev/null; rm -rf -- "$top"' EXIT
mkdir "$top/m"
number=0
for fs in ext4 xfs btrfs; do
	number=$((number + 1))
	rm -f "$top/img"
	truncate -s 512M "$top/img"
	if ! { mkfs."$fs" "$top/img" && mount -o loop "$top/img" "$top/m"; } \
		> "$top/out" 2>&1; then
		sed 's/^/# /' "$top/out"
		echo "not ok $number - $fs: cannot be made or mounted"
		continue
	fi
	if "$B/tests/flow/outtest" "$top/m" > "$top/out" 2>&1; then
		echo "ok $number - $fs"
	else
		sed 's/^/# /' "$top/out"
		echo "not ok $number - $fs"
	fi
	umount "$top/m"
done
echo "1..$number"
