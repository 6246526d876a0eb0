#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fidelity.t: two whole lentos and everything odd that a tree can hold (nasty.c):
# made before the start, so that the fill carries it, then changed through the
# scripted source. On ext4, xfs and btrfs, and from each to another where the
# replica's filesystem can hold less. IZO_FS and IZO_GROUPS make a part. Root.
set -u
here=$(dirname "$0")
# shellcheck source=tests/flow/flow.sh
. "$here/flow.sh"
nasty=$B/tests/flow/nasty
# What a daemon has where nobody raises it: depth must not need descriptors.
ulimit -Sn 1024
read -ra groups <<< "${IZO_GROUPS:-names deep deeper links sparse times owners attrs nodes flags empties}"

format() {	# FS HOST: an empty filesystem as that host's root
	local image=$dir/$2.img
	truncate -s 2G "$image"
	case $1 in
	ext4) mkfs.ext4 -qF -N 200000 "$image" ;;
	xfs) mkfs.xfs -qf "$image" ;;
	btrfs) mkfs.btrfs -qf "$image" > /dev/null ;;
	esac
	mkdir -p "$dir/$2/root"
	mount -o noatime "$image" "$dir/$2/root"
}

disk_pair() {	# FS [FS OF BETA]
	format "$1" alpha
	format "${2:-$1}" beta
	script_pair alpha beta
	dst=$(pair_root beta)
}

used() { df --output=used -k "$1" | tail -n 1; }

# What a hole costs: nothing, beyond what the state of both weighs.
no_space_for_holes() {
	[ "$(du -sk "$dst/sparse" | cut -f 1)" -le $(($(du -sk "$src/sparse" | cut -f 1) + 64)) ] ||
		pair_fail "holes take space: $(du -k "$dst"/sparse/*)"
}

has() { case " ${groups[*]} " in *" $1 "*) ;; *) return 1 ;; esac; }

same_times() {	# as they were set, atimes too: the fill brings them
	"$B/tests/treecmp" --atime "$src/times" "$dst/times" || pair_fail "times differ"
}

# The replica holds things that have to go, as deep as what comes.
extra_on_replica() {
	mkdir -p "$dst/extra"
	"$nasty" make "$dst/extra" "$seed" deep deeper names flags
}

whole() {	# FS
	local t0=$SECONDS
	disk_pair "$1"
	"$nasty" make "$src" "$seed" "${groups[@]}"
	extra_on_replica
	alpha_start
	lento_start beta
	all_synced
	echo "# filled in $((SECONDS - t0)) s"
	! has sparse || no_space_for_holes
	! has times || same_times
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail "surprises in the fill"
	t0=$SECONDS
	change
	echo "# changed in $((SECONDS - t0)) s"
	! has sparse || no_space_for_holes
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail "surprises in the stream"
	compare
	power_cut
}

# Every line must succeed: one that the source refuses tests nothing.
change() {
	"$nasty" lines "$seed" "${groups[@]}" > "$dir/lines"
	{ echo "auto 0"; awk '{ print } NR % 50 == 0 { print "cycle" }' "$dir/lines"
	  echo cycle; echo "auto 1"; } | "$say" "$dir/sock"
	all_synced
}

# What was not captured is found, and of what is equal nothing is sent: a digest of
# the 1 TiB files would take an hour if it read their holes.
compare() {
	local t0=$SECONDS
	"$nasty" unseen "$src" "$seed" "${groups[@]}"
	tell gap
	wait_until $((60 * slow)) logged alpha "the tree is compared"
	all_synced
	echo "# compared in $((SECONDS - t0)) s"
}

power_cut() {
	lento_kill beta
	start_after_cut beta
	logged beta "making the identity map anew" || pair_fail "the map was trusted"
	tell "create after-cut 0644"
	all_synced
	times beta "fill, stream will start" 2
}

whole_ext4() { whole ext4; }
whole_xfs() { whole xfs; }
whole_btrfs() { whole btrfs; }

# The replica's filesystem can not hold an object: it says which and why, and goes on
# when that object is gone.
too_much() {
	disk_pair btrfs ext4
	mkdir "$src/d"
	truncate -s 1P "$src/d/petabyte"
	alpha_start
	lento_start beta
	refused petabyte "File too large"
	tell "unlink d/petabyte"
	all_synced
	tell "create d/again 0644" "truncate d/again 1125899906842624"
	# contents come before their record: there is no name yet
	refused "inode" "File too large"
	tell "unlink d/again" "create d/small 0644"
	all_synced
}

too_odd() {
	disk_pair btrfs xfs
	mkdir "$src/d"
	mknod "$src/d/device" c 4095 1
	alpha_start
	lento_start beta
	refused device "Invalid argument"
	tell "unlink d/device"
	all_synced
	tell "mknod d/more 020600 $((4095 << 8))"
	refused more "Invalid argument"
	tell "unlink d/more"
	all_synced
}

refused() {	# NAME WHY: in the status and in the log
	wait_until $((30 * slow)) told "$1" "$2" || pair_fail "the error does not name $1"
	grep -F -- "$1" "$dir/beta/log" | grep -qF -- "$2" || pair_fail "the log does not name it"
}
told() { pair_status beta | grep "cannot apply" | grep -F -- "$1" | grep -qF -- "$2"; }

for fs in ${IZO_FS:-ext4 xfs btrfs}; do
	scenario "everything odd, on $fs" "whole_$fs"
done
scenario "a file that the replica cannot hold" too_much
scenario "a device that the replica cannot hold" too_odd
flow_done
