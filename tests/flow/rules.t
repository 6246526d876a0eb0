#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rules.t: rules that equal trees at the end do not prove, or seldom: when
# contents are due, in which order they travel, what SYNCED may be said of. Whole
# lentos with a scripted source. IZO_SEED, IZO_ONLY as in pair.t. Root.
set -u
here=$(dirname "$0")
# shellcheck source=tests/flow/flow.sh
. "$here/flow.sh"

soon() {	# all is there long before contents would be due by time alone
	pair_quiet $((10 * slow)) && pair_same
}

slow_pair() {	# HOST...: contents are due after a minute, or at an order point
	settle=60000
	script_pair "$@"
	alpha_start
	lento_start beta
}

order_points() {
	slow_pair alpha beta
	tell "create closed 0644" "write closed 0 5000 c" "close closed"
	soon
	tell "create synced 0644" "write synced 0 5000 s" "fsync synced"
	soon
	tell "create t 0644" "write t 0 5000 r" "rename t renamed"
	soon
	tell "create linked 0644" "write linked 0 5000 l" "link linked linked2"
	soon
	tell "write linked 5000 5000 m" "truncate linked 7000"
	soon
	tell "write linked 0 100 n" "fallocate linked 3 4096 1000"
	soon
	tell "write linked 0 100 o" "write synced 0 100 p" syncfs
	soon
}

# The marks and the point come in one drain cycle, in whatever order.
points_in_one_cycle() {
	local n
	slow_pair alpha beta
	for n in 1 2 3; do
		tell "auto 0" "create f$n 0644" "write f$n 0 5000 a" "close f$n" \
			"write f1 $((n * 8192)) 100 b" "fsync f1" cycle "auto 1"
		soon
	done
}

# A layout record alone, without a mark beside it, makes its range due.
layout_marks() {
	slow_pair alpha beta
	tell "create f 0644" "write f 0 8000 a" "write f 8000 8000 b" "close f"
	soon
	tell "truncate f 100"
	soon
	tell "truncate f 20000"
	soon
	tell "write f 0 8192 c" "write f 8192 8192 d" "close f"
	soon
	tell "fallocate f 3 4096 4096"
	soon
	tell "fallocate f 0 0 40000"
	soon
	printf cloned | dd of="$src/f" bs=1 seek=8192 conv=notrunc status=none
	tell "remap f 8192 4096"
	soon
	printf anything > "$src/f"
	tell "rescan f"
	soon
}

# What a replica is sent for a file that is written and then published: its
# contents stand before the records of the batch.
contents_first() {
	local uuid=6b1f4a527d0e4b559c1e00000000da7a spy got
	script_pair alpha beta
	alpha_start
	"$B/tests/flow/badpeer" "$pair_base_port" frames beta "$uuid" > "$dir/frames" & spy=$!
	wait_until $((20 * slow)) grep -q STREAM "$dir/frames"
	tell "auto 0" "create t 0644" "write t 0 5000 t" "close t" "rename t f" cycle
	wait $spy
	got=$(tr '\n' ' ' < "$dir/frames")
	[ "$got" = "STREAM BATCH DATA DATA_END RECORDS BATCH_END " ] || pair_fail "sent: $got"
}

not_synced() { ! pair_is "$1" SYNCED; }

# The replica stands still: what it has not said to have is not SYNCED.
lag_is_not_synced() {
	local synced=
	script_pair alpha beta
	alpha_start
	lento_start beta
	all_synced
	kill -STOP "$(cat "$dir/beta/pid")"
	tell "mkdir late 0755"
	wait_until 10 number_past alpha lag_records 0
	sleep_steps 10 not_synced alpha || synced=1
	kill -CONT "$(cat "$dir/beta/pid")"
	[ -z "$synced" ] || pair_fail "SYNCED while records are to be applied"
	all_synced
	lento_stop beta
	wait_until 10 pair_is alpha DISCONNECTED || pair_fail "not DISCONNECTED without its replica"
}

sleep_steps() {	# N COMMAND...: true N times, some time apart
	local n=$1
	shift
	while ((n-- > 0)); do
		"$@" || return 1
		read -rt 0.05 <> <(:) || :
	done
}

# Bytes of which the replica has not heard: the journal's end is reached, and yet.
pending_is_not_synced() {
	slow_pair alpha beta
	tell "create f 0644" "close f"
	soon
	tell "write f 0 5000 p"
	wait_until 10 number_is alpha pending 1
	wait_until 10 journaled_all
	sleep_steps 5 not_synced alpha || pair_fail "SYNCED while contents wait"
	tell "fsync f"
	soon
}
journaled_all() { [ "$(pair_number beta position_seq)" -ge "$(pair_number alpha seq)" ]; }
number_past() { [ "$(pair_number "$1" "$2")" -gt "$3" ]; }
number_is() { [ "$(pair_number "$1" "$2" 2>/dev/null)" = "$3" ]; }

# What a change of owner takes away is there at the end: owner first, then mode.
set_id_bits() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "mkdir sg 0755" "chown sg 0 12" "chmod sg 02775"
	tell "create sg/uid 04755" "create sg/gid 02755" "mkdir sg/dir 0755"
	[ "$(stat -c %g:%a "$src/sg/uid")" = 12:4755 ]
	all_synced
	lento_stop beta
	rm -rf "${dir:?}/beta/root"/* "$dir/beta/root/.intermezzo"
	lento_start beta
	all_synced
}

# Told of in the journal as dirty, and not sent yet: a lento that is killed has not
# forgotten it.
pending_outlives_kill() {
	slow_pair alpha beta
	tell "create f 0644" "close f"
	soon
	tell "write f 0 5000 p"
	wait_until 10 number_is alpha pending 1
	wait_until 10 journaled_all
	lento_kill alpha
	alpha_start
	tell "fsync f"
	soon
	times beta "fill, stream will start" 1
}

# Each lento finds in the ring what the one before it has journaled, and did not live
# to release.
killed_before_release() {
	local i
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "mkdir d 0755" "create d/f 0644" "close d/f"
	all_synced
	lento_stop alpha
	touch "$dir/sock.keep"
	for i in 1 2 3 4; do
		alpha_start
		tell "auto 0" "mkdir a$i 0755" "rename d/f a$i/f" "create n$i 0644"
		[ $i = 1 ] || tell "rename a$i/f d/f" "rename a$((i - 1)) a$i/in" "unlink n$((i - 1))"
		[ $i = 1 ] && tell "rename a1/f d/f"
		tell cycle
		wait_until 10 journaled_all
		wait_until 10 on_replica n$i
		lento_kill alpha
	done
	rm "$dir/sock.keep"
	alpha_start
	all_synced
	times beta "fill, stream will start" 1
	# each once
	journal_has 1 '"n1"' create
	journal_has 1 '"a1"' mkdir
}
on_replica() { [ -e "$(pair_root beta)/$1" ]; }
journal_has() {	# TIMES NAME KIND
	local n
	n=$("$B/inconfig/inconfig" log "$src/.intermezzo/data/journal" | grep -cE " $3 .*$2")
	[ "$n" = "$1" ] || pair_fail "$n times: $3 $2"
}

many_cycles() {	# N: more than some segments hold
	local i
	tell "mkdir many 0755"
	for ((i = 0; i < $1; i++)); do echo "chmod many 07$((i % 8))5"; done | "$say" "$dir/sock"
}

# The server has noted what a replica holds durably, and cut the journal by that.
trimmed_for() {	# HOST
	local at
	at=$(awk -v h="$1" '$1 == h { print $3 }' "$src/.intermezzo/data/peers" 2>/dev/null)
	[ -n "$at" ] && [ $((16#$at)) -ge "$(pair_number alpha seq)" ]
}

# A DIRTY record of long ago is all that tells of contents that wait.
kept_for_pending() {
	export IZO_HORIZON_S=1
	slow_pair alpha beta
	tell "create f 0644" "close f"
	soon
	tell "write f 0 5000 p"
	wait_until 10 number_is alpha pending 1
	many_cycles 700
	wait_until $((20 * slow)) trimmed_for beta
	sleep_steps 4 true
	lento_kill alpha
	alpha_start
	tell "fsync f"
	soon
	times beta "fill, stream will start" 1
	# and not for longer: by what comes after the horizon
	sleep_steps 40 true
	tell "close f"		# else it is open for writing, and named from then on
	wait_until $((20 * slow)) trimmed_for beta
	wait_until $((20 * slow)) first_segment_gone
}
first_segment_gone() { [ ! -e "$src/.intermezzo/data/journal/kml.0000000000000001" ]; }

# The contents are due, and the disk does not take the record that says so.
due_is_committed() {
	local journal
	settle=4000
	script_pair alpha beta
	journal=$src/.intermezzo/data/journal
	mkdir -p "$journal"
	truncate -s 100M "$dir/img"
	mkfs.ext4 -qF "$dir/img"
	mount -o loop "$dir/img" "$journal"
	alpha_start
	lento_start beta
	tell "create f 0644" "close f"
	all_synced
	tell "write f 0 5000 p"
	wait_until 10 number_is alpha pending 1
	wait_until 10 trimmed_for beta	# till it is due nothing more is to be written
	fsfreeze -f "$journal"
	sleep_steps 80 not_synced || { fsfreeze -u "$journal"; return 1; }
	fsfreeze -u "$journal"
	all_synced
}
not_synced() { ! pair_is alpha SYNCED || pair_fail "SYNCED before the record is written"; }

# One that is away keeps the journal, also past a restart of the server.
kept_for_absent() {
	export IZO_HORIZON_S=1
	script_pair alpha beta gamma
	alpha_start
	lento_start beta
	lento_start gamma
	tell "create f 0644" "close f"
	all_synced
	wait_until $((20 * slow)) trimmed_for gamma
	lento_stop gamma
	lento_stop alpha
	alpha_start
	many_cycles 700
	sleep_steps 40 true		# past the horizon
	tell "chmod many 0700" "chmod many 0750"
	wait_until $((20 * slow)) trimmed_for beta
	sleep_steps 4 true
	lento_start gamma
	all_synced
	times gamma "fill, stream will start" 1
}

# rename(2) in each of its ways: not over, exchanged, with a whiteout left behind.
every_rename() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "create a 0644" "create b 0600" "mkdir d 0755" "create d/c 0640"
	tell "rename a a2 1" "rename a2 d 2" "rename b a2/b 4" "rename a2/c a2/b 4"
	all_synced
	[ -c "$(pair_root beta)/b" ] && [ -c "$(pair_root beta)/a2/c" ]
	tell "unlink b" "rename a2/c c2"
	all_synced
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail surprises
}

# The kernel makes no record of a whiteout; what it inherits is the directory's.
whiteout_acl() {
	script_pair alpha beta
	mkdir "$src/d"
	setfacl -d -m u:9:rwx,g:8:r "$src/d"
	alpha_start
	lento_start beta
	tell "create d/a 0644" "create d/b 0644" "rename d/a d/c 4" "rename d/b e 4"
	all_synced
	getfacl -cn "$(pair_root beta)/d/a" 2>/dev/null | grep -q '^user:9:' ||
		pair_fail "no ACL on the whiteout"
	tell "rename d/a f" "create d/a 0644" "rename d/a d/c 4" "rename d/a g" "unlink g"
	all_synced
	# what happened to it before anybody had seen it
	tell "auto 0" "create d/x 0644" "rename d/x x 4" "setxattr d/x trusted.late value" \
		"chown d/x 3 4" "rename d/x y" "cycle" "auto 1"
	all_synced
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail surprises
}

# Objects are built in a folder of the replica: what that would hand down to them is
# not the source's.
inherited_here() {
	script_pair alpha beta
	setfacl -d -m u:9:rwx,g:8:r "$(pair_root beta)"
	mkdir "$src/d"
	echo x > "$src/d/x"
	alpha_start
	lento_start beta
	all_synced
	tell "create f 0644" "mkdir e 0755" "create e/g 0600" "symlink s to"
	all_synced
}

project() { lsattr -pd "$1" | awk '{ print $1 }'; }

# treecmp does not look at project ids.
project_ids() {
	local h r
	for h in alpha beta; do
		truncate -s 400M "$dir/$h.img"
		mkfs.xfs -q "$dir/$h.img"
		mkdir -p "$dir/$h/root"
		mount -o loop "$dir/$h.img" "$dir/$h/root"
	done
	script_pair alpha beta
	r=$(pair_root beta)
	mkdir "$src/d"
	touch "$src/f"
	chattr -p 77 "$src/f" "$src/d"
	alpha_start
	lento_start beta
	all_synced
	[ "$(project "$r/f")" = 77 ] && [ "$(project "$r/d")" = 77 ]
	chattr -p 78 "$src/f"
	tell "chattr f 0"
	all_synced
	[ "$(project "$r/f")" = 78 ]
}

# What had no room in its record is fetched.
cut_records() {
	script_pair alpha beta
	mkdir "$src/d"
	setfacl -d -m u:9:rwx,g:8:r "$src/d"
	alpha_start
	lento_start beta
	tell "create x 0644" cut "setxattr x user.big value"
	all_synced
	tell cut "create d/f 0644" cut "mkdir d/sub 0755" "create d/sub/g 0644"
	all_synced
}

scenario "order points make contents due at once" order_points
scenario "order points in the cycle of their marks" points_in_one_cycle
scenario "layout records make their range due" layout_marks
scenario "contents travel before the records that publish them" contents_first
scenario "not SYNCED while a replica lags" lag_is_not_synced
scenario "not SYNCED while contents wait" pending_is_not_synced
scenario "not SYNCED until the record that contents are due is written" due_is_committed
scenario "contents that wait outlive a kill" pending_outlives_kill
scenario "killed again before the ring was released" killed_before_release
scenario "the journal is kept for contents that wait" kept_for_pending
scenario "the journal is kept for a replica that is away" kept_for_absent
scenario "set-id bits" set_id_bits
scenario "every kind of rename" every_rename
scenario "what a whiteout inherits" whiteout_acl
scenario "project ids" project_ids
scenario "what does not fit a record" cut_records
scenario "a default ACL of the replica's folder" inherited_here
flow_done
