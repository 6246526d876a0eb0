#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fid.t: FIDs on real mounts of every filesystem, xfs with short and with long
# inode numbers, btrfs with a subvolume. Enters: root, loop devices. Leaves: TAP;
# one part per filesystem. Nothing stays mounted, whatever happens.
set -u
B=${B:-build}
top=$(mktemp -d "${TMPDIR:-/tmp}/fid.XXXXXX") || exit 1
trap 'umount "$top"/*/ 2>/dev/null; rm -rf -- "$top"' EXIT

number=0
one() { # name, size, mkfs command, mount options
	local name=$1 size=$2 mkfs=$3 options=$4 out r
	number=$((number + 1))
	truncate -s "$size" "$top/$name.img"
	mkdir "$top/$name"
	if ! $mkfs "$top/$name.img" >"$top/out" 2>&1 ||
	   ! mount -o "loop$options" "$top/$name.img" "$top/$name" 2>>"$top/out"; then
		sed 's/^/# /' "$top/out"
		echo "not ok $number - $name: cannot be made or mounted"
		return
	fi
	if [ "$name" = btrfs ]; then
		btrfs subvolume create "$top/$name/snap" >"$top/out" &&
			: >"$top/$name/snap/file"
	fi
	out=$("$B/tests/flow/fidtest" "$top/$name" 2>&1)
	r=$?
	umount "$top/$name"
	if [ $r = 0 ]; then
		echo "ok $number - $name"
	else
		grep -v '^ok' <<<"$out" | sed 's/^/# /'
		echo "not ok $number - $name"
	fi
}

echo 1..4
one ext4 64M 'mkfs.ext4 -q -F' ''
one xfs 400M 'mkfs.xfs -q' ''
one xfs32 400M 'mkfs.xfs -q' ',inode32'
one btrfs 256M 'mkfs.btrfs -q' ''
