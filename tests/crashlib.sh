# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# crashlib.sh: a pair of lentos that faults strike while a source works. To be
# sourced after pair.sh, in a guest, as root.
#
#   crash_pair FS DIR      a new pair on IZO_DISK1 and 2, each below a device mapper
#       table, in network namespaces of their own
#   crash_pair_done
#   crash_round FAULT HOST  work, and in its midst the fault at that host; then all
#       goes on by itself: 0 when the fileset comes to SYNCED and the trees are
#       identical. crash_why tells what was wrong.
#
# FAULT:
#   kill   lento gets SIGKILL and is started again
#   link   the host's network is down for a while
#   cut    the power: from one moment on nothing comes to the disk, what was not
#          written is gone, capture with it; the disk is mounted again
#
# A round writes two files just before: kept (fsync), which must be there afterwards,
# and loose, with the number crash_loose in it, which a cut of the source may take.
# crash_cuts counts the cuts of a source, crash_lost those that took it: none would
# mean that no cut was one.
# Nothing of this may run in a subshell: lentos are children of the shell.

: "${crash_wait:=120}"
crash_rounds=0 crash_cuts=0 crash_lost=0 crash_loose=0 crash_operations=0
crash_why=''

crash_failed() { crash_why=$1; return 1; }
crash_seconds() { read -rt "$1" <> <(:) || :; }

# --- disks --------------------------------------------------------------------

crash_table() {	# HOST linear|error: without a word to the filesystem
	local disk=$IZO_DISK1 name=izo-$1 size
	[ "$1" = alpha ] || disk=$IZO_DISK2
	size=$(blockdev --getsz "$disk")
	case $2 in
	linear) echo "0 $size linear $disk 0" ;;
	error) echo "0 $size error" ;;
	esac > "$crash_dir/table"
	if ! dmsetup status "$name" > /dev/null 2>&1; then
		# nobody makes its node, nor takes away the one of before
		dmsetup create "$name" --noudevsync < "$crash_dir/table" &&
			rm -f "/dev/mapper/$name" && dmsetup mknodes "$name"
		return
	fi
	dmsetup suspend --nolockfs --noflush "$name" &&
		dmsetup load "$name" < "$crash_dir/table" &&
		dmsetup resume --noudevsync "$name"
}

crash_mount() {	# HOST
	mkdir -p "$crash_dir/$1/root" && mount "/dev/mapper/izo-$1" "$crash_dir/$1/root"
}

crash_format() {	# FS HOST
	crash_table "$2" linear || return
	case $1 in
	ext4) mkfs.ext4 -qF "/dev/mapper/izo-$2" ;;
	xfs) mkfs.xfs -qf "/dev/mapper/izo-$2" ;;
	btrfs) mkfs.btrfs -qf "/dev/mapper/izo-$2" > /dev/null ;;
	esac && crash_mount "$2"
}

crash_pair() {
	crash_dir=$2
	crash_format "$1" alpha && crash_format "$1" beta || return
	pair_netns alpha beta
	pair_init "$2" alpha beta
	lento_start alpha && lento_start beta && pair_quiet "$crash_wait"
}

crash_pair_done() {
	lento_kill alpha; lento_kill beta
	rm -rf /sys/fs/bpf/intermezzo/data
	pair_netns_done alpha beta
	umount "$crash_dir/alpha/root" "$crash_dir/beta/root"
	dmsetup remove izo-alpha; dmsetup remove izo-beta
}

# --- faults -------------------------------------------------------------------

crash_umounted() { umount "$crash_dir/$1/root" 2> /dev/null; }

crash_fault_kill() { lento_kill "$1"; lento_start "$1"; }

crash_fault_link() {
	ip -n "izo-$1" link set eth0 down
	crash_seconds $((RANDOM % 6)).$((RANDOM % 10))
	ip -n "izo-$1" link set eth0 up
}

# lento stands still from the moment on, like everything on a host without power.
crash_fault_cut() {
	kill -STOP "$(cat "$pair_dir/$1/pid")"
	crash_table "$1" error || return
	! dd if="/dev/mapper/izo-$1" of=/dev/null iflag=direct count=8 2> /dev/null ||
		{ crash_failed "the disk has power"; return; }
	lento_kill "$1"
	if [ "$1" = alpha ]; then
		kill -KILL "$crash_worker" 2> /dev/null
		wait "$crash_worker" 2> /dev/null
		rm -rf /sys/fs/bpf/intermezzo/data
	fi
	wait_until 30 crash_umounted "$1" || { crash_failed "cannot unmount"; return; }
	crash_table "$1" linear && crash_mount "$1" || { crash_failed "cannot mount"; return; }
	[ "$1" != alpha ] || crash_count_lost || return
	lento_start "$1"
}

# --- a round ------------------------------------------------------------------

# Work in a folder of its own, in the background (crash_worker), and the two files.
crash_work() {	# OPERATIONS
	local root=$crash_dir/alpha/root procs=$((RANDOM % 3 + 1))
	rm -f "$root/kept" "$root/loose"
	mkdir "$root/work-$crash_rounds" || return
	"$B/tests/fswork" --seed "$RANDOM" --procs "$procs" --ops $(($1 / procs)) \
		"$root/work-$crash_rounds" > "$crash_dir/fswork" 2>&1 &
	crash_worker=$!
	crash_seconds $((RANDOM % 4)).$((RANDOM % 10))
	echo "$crash_rounds" > "$root/kept" && sync "$root/kept" "$root" &&
		echo $((++crash_loose)) > "$root/loose"
}

# After the cut of a source.
crash_count_lost() {
	crash_cuts=$((crash_cuts + 1))
	local n
	n=$(cat "$crash_dir/alpha/root/loose" 2> /dev/null)
	[ "${n:-0}" -ge "$crash_loose" ] || crash_lost=$((crash_lost + 1))
	[ -s "$crash_dir/alpha/root/kept" ] || crash_failed "a file is lost in spite of fsync"
}

crash_worked() {	# FAULT-HOST
	local n status
	wait "$crash_worker"; status=$?
	n=$(sed -n 's/^fswork: \([0-9]*\) .*/\1/p' "$crash_dir/fswork")
	crash_operations=$((crash_operations + ${n:-0}))
	# a cut of the source ended it
	[ "$1" = cut-alpha ] || [ $status = 0 ] ||
		crash_failed "fswork: $(tail -n 1 "$crash_dir/fswork")"
}

crash_round() {	# FAULT HOST
	crash_rounds=$((crash_rounds + 1)) crash_why=
	crash_work 600 || { crash_failed "no work"; return; }
	"crash_fault_$1" "$2" ||
		{ crash_failed "${crash_why:-the fault itself failed}"; return; }
	crash_worked "$1-$2" && crash_same
}

crash_same() {
	pair_quiet "$crash_wait" 2> "$crash_dir/stuck" ||
		{ crash_failed "not quiet: $(head -n 1 "$crash_dir/stuck")"; return; }
	pair_same > "$crash_dir/compared" ||
		crash_failed "the trees differ"
}
