#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# heal.t: whole lentos with a scripted source where something beside them goes
# wrong or changes: power cuts, disks that are not mounted, things mounted in the
# tree, local changes on a replica, other exclusions. Each heals by itself or is
# refused by name. IZO_SEED, IZO_ONLY as in pair.t. Root.
set -u
here=$(dirname "$0")
# shellcheck source=tests/flow/flow.sh
. "$here/flow.sh"

disk() {	# HOST: its root is a filesystem of its own, mounted
	truncate -s 300M "$dir/$1.img"
	mkfs.ext4 -qF "$dir/$1.img"
	mkdir -p "$dir/$1/root"
	mount -o loop "$dir/$1.img" "$dir/$1/root"
}

state_of() {	# HOST FOLDER: where the fileset's state lies on it
	sed -i "/^path@$1/a state@$1 = $2" "$dir"/*/etc/fsetdb
}

durable_all() { [ "$(pair_number beta durable_seq)" -ge "$(pair_number alpha seq)" ]; }

# The map is made anew from the tree; then a deep subtree comes in.
replica_power_cut() {
	script_pair alpha beta
	mkdir -p "$dir/outside/a/b/c"
	echo deep > "$dir/outside/a/b/c/f"
	alpha_start
	lento_start beta
	tell "create .old 0644" "write .old 0 100 o" "close .old" "mkdir .dir 0755"
	random_lines 200 | "$say" -k "$dir/sock"
	all_synced
	wait_until 20 durable_all
	random_lines 100 $((seed + 1)) | "$say" -k "$dir/sock"
	all_synced
	lento_kill beta
	random_lines 100 $((seed + 2)) | "$say" -k "$dir/sock"
	start_after_cut beta
	all_synced
	logged beta "making the identity map anew" || pair_fail "the map was trusted"
	times beta "fill, stream will start" 1
	mv "$dir/outside/a" "$src/.moved-in"
	tell "rename .moved-in moved-in"
	all_synced
	[ -s "$(pair_root beta)/moved-in/b/c/f" ]
	# what was there before is known, and not fetched
	tell "chmod .old 0600" "rename .old .dir/old" "rename .dir .dir2"
	all_synced
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail "objects of before are not known"
}

source_power_cut() {
	script_pair alpha beta
	mkdir "$src/d"
	echo 1 > "$src/d/f"
	alpha_start
	lento_start beta
	random_lines 100 | "$say" -k "$dir/sock"
	all_synced
	lento_kill alpha
	# what a cut leaves of an index that was never synced
	truncate -s 20480 "$src/.intermezzo/data/index/data.mdb"
	dd if=/dev/urandom of="$src/.intermezzo/data/index/data.mdb" bs=4096 count=5 \
		conv=notrunc status=none
	rm -f "$dir"/sock*		# nor is there anything to adopt
	alpha_start
	all_synced
}

# Nothing was captured while lento was stopped.
capture_hole() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	random_lines 100 | "$say" -k "$dir/sock"
	all_synced
	lento_stop alpha
	rm "$dir/sock.ring"
	echo behind > "$src/behind"
	alpha_start
	logged alpha "capture was not continuous" || pair_fail "the hole is not in the log"
	all_synced
}

not_mounted() {
	disk beta
	script_pair alpha beta
	state_of beta "$dir/beta/state"
	alpha_start
	lento_start beta
	tell "create f 0644" "write f 0 1000 x" "close f"
	all_synced
	lento_stop beta
	umount "$dir/beta/root"
	lento_start beta
	wait_until 20 pair_is beta STOPPED
	logged beta "is its filesystem mounted?"
	tell "create g 0644" "close g"
	[ -z "$(ls -A "$dir/beta/root")" ] || pair_fail "something was written beside the disk"
	lento_stop beta
	mount -o loop "$dir/beta.img" "$dir/beta/root"
	lento_start beta
	all_synced
	times beta "fill, stream will start" 1
}

# Filesystems of the same type (whose roots have the tree's own inode number) and
# directories of the same one are mounted in either tree: what is seen there is not
# the fileset's, what they hide is and stays in step.
mounted_inside() {
	disk alpha; disk beta
	truncate -s 100M "$dir/more.img"
	mkfs.ext4 -qF "$dir/more.img"
	script_pair alpha beta
	mkdir "$src/mnt" "$src/d" "$src/bound" "$src/bind"
	echo hidden | tee "$src/mnt/hidden" > "$src/bind/hidden"
	echo ours | tee "$src/d/ours" > "$src/bound/shown"
	mount -o loop "$dir/more.img" "$src/mnt"
	mount --bind "$src/bound" "$src/bind"
	echo theirs > "$src/mnt/theirs"
	alpha_start
	lento_start beta
	pair_quiet $((60 * slow))
	tell "create d/in 0644" gap
	pair_quiet $((60 * slow))
	times beta "fill, stream will start" 2
	[ ! -e "$(pair_root beta)/mnt/theirs" ] || pair_fail "the mounted one is replicated"
	[ ! -e "$(pair_root beta)/bind/shown" ] || pair_fail "the bound one is replicated"
	umount "$src/mnt" "$src/bind"
	pair_same || pair_fail "what was hidden is not as it was"
	mkdir "$dir/e"
	mount -o loop "$dir/more.img" "$(pair_root beta)/d"
	mount --bind "$(pair_root beta)/bound" "$(pair_root beta)/bind"
	tell "create d/new 0644" "write d/new 0 100 n" "close d/new" \
		"unlink bind/hidden" "create bind/new 0600"
	wait_until 20 journaled_all
	umount "$(pair_root beta)/d" "$(pair_root beta)/bind"
	[ "$(mount -o loop "$dir/more.img" "$dir/e"; cat "$dir/e/theirs"; ls "$dir/e" | grep -c new; umount "$dir/e")" = "theirs
0" ] || pair_fail "the mounted filesystem was changed"
	all_synced
}
journaled_all() { [ "$(pair_number beta position_seq)" -ge "$(pair_number alpha seq)" ]; }

# A directory has gone on the source; on the replica something is mounted in it.
mounted_in_the_way() {
	local r
	truncate -s 100M "$dir/more.img"
	mkfs.ext4 -qF "$dir/more.img"
	script_pair alpha beta
	r=$(pair_root beta)
	mkdir -p "$src/d/e"
	alpha_start
	lento_start beta
	all_synced
	mount -o loop "$dir/more.img" "$r/d/e"
	echo theirs > "$r/d/e/theirs"
	rm -r "$src/d"
	tell gap
	wait_until 20 logged beta "Device or resource busy"
	umount "$r/d/e" "$r"/.intermezzo/limbo/*/e 2> /dev/null || :
	wait_until 20 not grep -q "$dir.*ext4" /proc/mounts || pair_fail "still mounted"
	all_synced
	mkdir "$dir/x"
	[ "$(mount -o loop "$dir/more.img" "$dir/x"; cat "$dir/x/theirs"; umount "$dir/x")" = theirs ] ||
		pair_fail "what was mounted has been deleted"
}

# Somebody removes a directory of the replica.
local_removal() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "mkdir d 0755" "create d/f 0644" "write d/f 0 100 x" "close d/f"
	all_synced
	pair_quiet 20		# what comes now is no repetition after the fill
	rm -rf "$(pair_root beta)/d"
	tell "create d/g 0644" "write d/g 0 50 y" "close d/g"
	all_synced
}

surprises() { [ "$(pair_number beta surprises)" -ge "$1" ]; }
surprised() { wait_until 20 surprises "$1" || pair_fail "not told: surprise $1"; }

# Somebody has put files of his own where records lead to: that is told, and
# nothing is removed that no record means.
local_files() {
	local r
	script_pair alpha beta
	r=$(pair_root beta)
	alpha_start
	lento_start beta
	tell "create y 0644" "write y 0 100 y" "close y"
	all_synced
	echo mine > "$r/x"
	tell "rename y x"
	all_synced
	surprised 1
	echo mine > "$r/t"; mv "$r/t" "$r/x"
	tell "unlink x"
	surprised 2
	[ "$(cat "$r/x")" = mine ] || pair_fail "a local file was removed"
	# moved aside it stays until the records have been told once more
	in_limbo beta || pair_fail "nothing was moved aside"
	lento_kill beta
	start_after_cut beta
	wait_until 20 not in_limbo beta || pair_fail "what was moved aside stays for ever"
}
in_limbo() { compgen -G "$(pair_root "$1")/.intermezzo/limbo/*" > /dev/null; }
not() { ! "$@"; }

flags_in_resync() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "create f 0644" "write f 0 10 x" "close f" "create g 0644"
	tell "chattr f 16" "chattr g 64"	# immutable, nodump
	all_synced
	chattr -i "$src/f"
	chattr -d "$src/g"
	echo more >> "$src/f"
	tell gap
	all_synced
	[ "$(lsattr "$(pair_root beta)/f" | cut -c5)" = - ] || pair_fail "still immutable"
}

has_flag() { [ "$(lsattr "$1" | cut -c5)" = i ]; }

# Killed while an immutable file has its flag off to get its contents: it is set
# again before anything comes from the source.
lifted_at_kill() {
	local r n cut=
	script_pair alpha beta
	r=$(pair_root beta)
	alpha_start
	lento_start beta
	tell "create f 0644" "close f" "chattr f 16"
	all_synced
	for ((n = 0; n < 5; n++)); do
		chattr -i "$src/f"
		head -c 64M /dev/urandom > "$src/f"
		tell "auto 0" "chattr f 0" "fallocate f 0 0 67108864" "chattr f 16" \
			cycle "auto 1"
		until compgen -G "$r/.intermezzo/lifted/*" > /dev/null || journaled_all; do :; done
		lento_kill beta
		has_flag "$r/f" || { cut=1; break; }
		lento_start beta
	done
	[ -n "$cut" ] || pair_fail "each kill came too late"
	lento_stop alpha
	lento_start beta
	wait_until 10 has_flag "$r/f" || pair_fail "the flag is still off"
	alpha_start
	all_synced
	chattr -i "$src/f" "$r/f"
}

# Out of the fileset and back within one batch.
left_and_back() {
	pair_exclude='*.bak'
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "create f 0644" "write f 0 1000 x" "close f" "create g 0644" \
		"write g 0 100 g" "close g" "link g h"
	all_synced
	tell "auto 0" "rename f f.bak" "write f.bak 0 10 y" "close f.bak" \
		"rename f.bak f" "rename g g.bak" "rename h h2" "rename g.bak g" \
		cycle "auto 1"
	all_synced
	[ -s "$(pair_root beta)/f" ]
	[ "$(pair_number beta hollow)" = 0 ] || pair_fail "something stays hidden"
	# what has no contents comes in as well
	tell "mknod p.bak 010644 0" "symlink s.bak to" "rename p.bak p" "rename s.bak s"
	all_synced
	[ -p "$(pair_root beta)/p" ] && [ -L "$(pair_root beta)/s" ]
}

other_exclusions() {
	pair_exclude='*.tmp'
	script_pair alpha beta
	echo 1 > "$src/a.tmp"; echo 2 > "$src/b.o"; echo 3 > "$src/c"
	alpha_start
	lento_start beta
	all_synced --exclude '*.tmp'
	lento_stop alpha
	sed -i 's/^exclude = .*/exclude = *.o/' "$dir"/*/etc/fsetdb
	alpha_start
	all_synced --exclude '*.o'
	[ -s "$(pair_root beta)/a.tmp" ] || pair_fail "a.tmp is still left out"
	[ ! -e "$(pair_root beta)/b.o" ] || pair_fail "b.o is still there"
}

# With nothing to settle a mark is due at once, even before its CREATE.
marks_before_records() {
	local n
	settle=0
	script_pair alpha beta
	alpha_start
	lento_start beta
	all_synced
	for n in 1 2 3; do
		tell "auto 0" early "create f$n 0644" "write f$n 0 5000 x" cycle "auto 1"
		all_synced
		[ -s "$(pair_root beta)/f$n" ]
	done
}

# A close may have gone by unseen: what is written is sent now, and nothing is
# compared.
missed_points() {
	settle=60000
	script_pair alpha beta
	alpha_start
	lento_start beta
	all_synced
	tell "auto 0" "create f 0644" "write f 0 5000 x" cycle
	wait_until $((20 * slow)) test -e "$(pair_root beta)/f"
	[ ! -s "$(pair_root beta)/f" ] || pair_fail "f is not waiting"
	tell points
	wait_until $((20 * slow)) test -s "$(pair_root beta)/f"
	times alpha SUSPECT 0
}

# The source's disk is full: the journal waits for room, and goes on.
journal_disk_full() {
	local talk i
	disk alpha
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "create f 0644"
	all_synced
	dd if=/dev/zero of="$src/filler" bs=64k status=none 2>/dev/null || :
	for ((i = 0; i < 4000; i++)); do echo "chmod f $((i % 2 ? 600 : 644))"; done |
		"$say" -k "$dir/sock" & talk=$!
	wait_until 30 logged alpha "no space for the journal"
	wait_until 10 pair_is alpha SUSPECT
	rm "$src/filler"
	wait $talk
	tell "create g 0644"
	all_synced
	logged alpha "there is room for the journal again"
	times beta "fill, stream will start" 1
}

# Killed while a cycle cannot be journaled: the ring has it still.
killed_without_room() {
	local talk i
	disk alpha
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "create f 0644"
	all_synced
	dd if=/dev/zero of="$src/filler" bs=64k status=none 2>/dev/null || :
	for ((i = 0; i < 4000; i++)); do echo "chmod f $((i % 2 ? 600 : 644))"; done |
		"$say" "$dir/sock" 2> /dev/null & talk=$!
	wait_until 30 logged alpha "no space for the journal"
	lento_kill alpha
	wait $talk || :
	rm "$src/filler"
	alpha_start
	tell "create g 0644"
	all_synced
	times beta "fill, stream will start" 1
}

# What the replica says to be durable is on its disk: it goes on with a copy of the
# disk as it was at that moment, whatever the kernel had not written yet.
replica_disk_cut() {
	disk beta
	script_pair alpha beta
	alpha_start
	lento_start beta
	all_synced
	random_lines 200 | "$say" -k "$dir/sock"
	tell "create whole 0644" "write whole 0 8000 w" "close whole"
	all_synced
	wait_until 20 durable_all
	cp --sparse=always "$dir/beta.img" "$dir/cut.img"
	lento_kill beta
	umount "$dir/beta/root"
	mount -o loop "$dir/cut.img" "$dir/beta/root"
	start_after_cut beta
	all_synced
	times beta "fill, stream will start" 1
}

leased_files() {
	script_pair alpha beta
	echo filled > "$src/f"
	alpha_start
	lease "$src/f" 1
	lento_start beta
	all_synced
	lease_is wanted
	times alpha "temporarily unavailable" 0
}

scenario "power cut of the replica: the map is made anew" replica_power_cut
scenario "power cut of the source: the index is made anew" source_power_cut
scenario "capture had a hole while lento was stopped" capture_hole
scenario "the replica's disk is not mounted" not_mounted
scenario "filesystems mounted inside" mounted_inside
scenario "something mounted in a directory that has gone" mounted_in_the_way
scenario "a directory of the replica is removed" local_removal
scenario "local files of the replica are in the way" local_files
scenario "flags that the source has taken away" flags_in_resync
scenario "killed while a flag is off" lifted_at_kill
scenario "out of the fileset and back in one batch" left_and_back
scenario "other exclusions" other_exclusions
scenario "marks before their records, settle = 0" marks_before_records
scenario "missed order points: what waits is sent" missed_points
scenario "the journal's disk is full" journal_disk_full
scenario "killed while the journal's disk is full" killed_without_room
scenario "power cut of the replica's disk" replica_disk_cut
scenario "files that others hold leases on" leased_files
flow_done
