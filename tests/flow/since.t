#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# since.t: after a gap in capture two whole lentos with a scripted source compare the
# contents of those files alone that may have changed since the replica's position:
# what the journal names and what has a later ctime. The source's disk gets old
# ctimes by debugfs, and a change that nothing shows: so it is seen which files were
# looked into. Root.
set -u
here=$(dirname "$0")
# shellcheck source=tests/flow/flow.sh
. "$here/flow.sh"
files=40

disk() {	# HOST
	truncate -s 300M "$dir/$1.img"
	mkfs.ext4 -qF "$dir/$1.img"
	mkdir -p "$dir/$1/root"
	mount -o loop "$dir/$1.img" "$dir/$1/root"
}

# FILE...: with the source's disk unmounted, ctimes of years ago.
make_old() {
	local f
	umount "$src"
	for f; do
		echo "set_inode_field /$f ctime 20200101000000"
		echo "set_inode_field /$f ctime_extra 0"
	done | debugfs -w -f - "$dir/alpha.img" > "$dir/debugfs" 2>&1
	mount -o loop "$dir/alpha.img" "$src"
}

# The bytes are others, and nothing tells of it.
change_unseen() {	# FILE...
	local f t
	for f; do
		t=$(stat -c %y "$src/$f")
		printf 'OTHER' | dd of="$src/$f" conv=notrunc status=none
		touch -m -d "$t" "$src/$f"
	done
	make_old "$@"
}

# alpha and beta in step, with old files; then alpha is stopped.
begin() {
	local f
	disk alpha
	script_pair alpha beta
	mkdir "$src/d"
	for ((f = 1; f <= files; f++)); do echo "file $f of many" > "$src/d/f$f"; done
	# shellcheck disable=SC2046
	make_old $(cd "$src" && echo d/f*)
	alpha_start
	lento_start beta
	tell "create new 0644" "write new 0 100 n" "close new" "$@"
	all_synced
}

hole() {	# a gap that nobody watched
	lento_stop alpha
	rm -f "$dir/sock.ring"
}
go_on() {
	alpha_start
	pair_quiet $((60 * slow))
}
kept_is() {	# N
	[ "$(pair_number beta fill_kept)" = "$1" ] ||
		pair_fail "$(pair_number beta fill_kept) kept, not $1"
}
differs() {	# FILE...: these and no others
	"$B/tests/treecmp" "$src" "$(pair_root beta)" > "$dir/compared" || :
	grep -o 'd/f[0-9]*' "$dir/compared" | sort -u | paste -sd' ' > "$dir/which"
	[ "$(cat "$dir/which")" = "$*" ] || pair_fail "these differ: $(cat "$dir/which")"
}

old_are_kept() {
	begin
	hole
	echo behind > "$src/d/f3"
	echo more > "$src/d/more"
	rm "$src/d/f4"
	mv "$src/d/f5" "$src/g5"	# a later ctime
	go_on
	all_synced
	kept_is $((files - 3))
}

# Without the rule nothing would be looked into: f7 shows that the test can tell.
journal_names() {
	begin "openw d/f6" "truncate d/f8 3" "write d/f9 0 4 x" "fsync d/f9"
	hole
	change_unseen d/f6 d/f7 d/f8 d/f9
	go_on
	differs d/f7
	kept_is $((files - 3))
}

# Open since long, but closed: only what came after the position counts.
closed_again() {
	begin "openw d/f6" "openw d/f7" "close d/f7"
	lento_stop alpha
	alpha_start			# and the journal tells it to the next lento
	tell "write new 0 10 z" "close new"
	all_synced
	hole
	change_unseen d/f6 d/f7 d/f10
	go_on
	differs d/f10			# both within the last two minutes
	kept_is $((files - 2))
}

changed_here() {
	begin
	hole
	printf FILE | dd of="$(pair_root beta)/d/f11" conv=notrunc status=none
	printf '%s' longer >> "$(pair_root beta)/d/f12"
	go_on
	all_synced
	kept_is $((files - 2))
}

# The comparison itself is cut off: what it is based on stays.
cut_off() {
	begin
	hole
	echo behind > "$src/d/f13"
	lento_stop beta
	alpha_start
	lease "$src/d/f20" 1		# alpha waits in the midst of its answer
	lento_start beta
	lease_is wanted
	lento_kill beta
	hole				# once more
	echo behind > "$src/d/f14"
	alpha_start
	lento_start beta
	all_synced
	kept_is $((files - 2))
}

not_known() {	# WHY
	logged alpha "all contents are compared: $1" || pair_fail "not said: $1"
	all_synced
	kept_is 0
}

told_gap() {
	begin
	tell gap
	wait_until $((20 * slow)) logged alpha "contents are compared where"
	all_synced
	kept_is $files
	hole
	change_unseen d/f15
	go_on
	differs d/f15
}

journal_gone() {
	begin
	hole
	rm -r "$src/.intermezzo/data/journal"
	change_unseen d/f17
	go_on
	not_known "its last position is not in the journal"
}

first_fill() {
	begin
	kept_is 0
	logged alpha "all contents are compared: it has no position"
}

scenario "the first fill compares all" first_fill
scenario "old files are kept as they are, the others compared" old_are_kept
scenario "what the journal names is compared" journal_names
scenario "a restart in between knows what is open" closed_again
scenario "what somebody has changed on the replica" changed_here
scenario "a comparison that is cut off" cut_off
scenario "a gap that capture itself tells of" told_gap
scenario "without the journal all is compared" journal_gone
flow_done
