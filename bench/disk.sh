# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# bench/disk.sh: to be sourced.
#   bench_format DISK DIR [MKFS OPTION...]   a new $FS, mounted at DIR
bench_format() {
	local disk=$1 dir=$2 force=-f
	shift 2
	[[ $FS != ext4 ]] || force=-F
	mkdir -p "$dir"
	"mkfs.$FS" -q "$force" "$@" "$disk" && mount -o noatime "$disk" "$dir"
}
