#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# borders.t: two whole lentos with a scripted source, the fileset a directory beside
# others on its filesystem: renames, links and exchanges across its border, at random
# and one by one. IZO_SEED makes the random lines again. Root.
set -u
here=$(dirname "$0")
# shellcheck source=tests/flow/flow.sh
. "$here/flow.sh"
out=../../outside

border_pair() {
	script_pair alpha beta
	mkdir "$dir/outside"
	dst=$(pair_root beta)
	alpha_start
	lento_start beta
	all_synced
}

# A crossing may cost the comparison of what crossed, never of the whole tree.
quiet_and_same() {
	all_synced
	times beta "fill, stream will start" 1
}
no_surprise() {
	quiet_and_same
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail surprises
}

crossing_lines() {	# N SEED
	awk -v seed="$2" -v n="$1" -v out="$out" -f "$here/randops.awk"
}

at_random() {
	border_pair
	crossing_lines 1500 "$seed" | "$say" -k "$dir/sock"
	quiet_and_same
}

at_random_in_cycles() {
	border_pair
	{
		echo "auto 0"
		crossing_lines 1500 "$seed" | awk '{ print } NR % 20 == 0 { print "cycle" }'
		echo cycle; echo "auto 1"
	} | "$say" -k "$dir/sock"
	quiet_and_same
}

# What left a directory while that was outside is outside when it comes back.
child_stays_out() {
	border_pair
	tell "mkdir d 0755" "mkdir d/sub 0755" "create d/f 0644" "write d/f 0 5 f" \
		"close d/f" "create d/sub/g 0644" "create d/stays 0644"
	all_synced
	tell "rename d $out/d" "rename $out/d/f $out/f" "rename $out/d/sub $out/sub" \
		"rename $out/d d"
	no_surprise
	tell "write $out/f 0 4000 s" "close $out/f" "chmod $out/f 0600" \
		"create $out/sub/new 0644" "write $out/sub/g 0 99 s" "close $out/sub/g" \
		"chmod $out/sub/g 0640" "link $out/f l" "create d/f 0600" "write d/stays 0 9 x" \
		"close d/stays" "rename $out/sub/g d/g"
	no_surprise
	[ -z "$(ls "$dst/.intermezzo/stage")" ] || pair_fail "contents from outside came along"
	! journaled "new" || pair_fail "the journal tells what happened outside"
}

# A file is written, its directory moved out, and it is removed there before its contents
# are read: nobody waits for a record that never comes.
gone_with_its_directory() {
	local i
	border_pair
	for i in 1 2 3; do tell "mkdir d$i 0755" "mkdir d$i/sub 0755" "create d$i/sub/f 0644"; done
	all_synced
	lento_stop beta
	for i in 1 2 3; do
		tell "write d$i/sub/f 0 9000 f" "close d$i/sub/f" "rename d$i $out/d$i" \
			"unlink $out/d$i/sub/f"
	done
	lento_start beta
	no_surprise
	! logged alpha "whose removal is not in the journal" || pair_fail "it was waited for"
}

# A directory comes in, and before lento looks into it a name of it is gone again: that
# the directory changed then is told, for what happened before is told as well.
gone_before_the_walk() {
	local i
	border_pair
	mkdir "$dir/outside/d1"
	cp -r "$dir/outside/d1" "$dir/outside/d2"
	for i in 1 2 3 4 5 6; do mkdir -p "$dir/outside/d$i/s"; echo "$i" > "$dir/outside/d$i/f"; done
	tell "create known 0644" "mkdir dir 0755" "create dir/in 0644"
	all_synced
	tell "auto 0"
	for i in 1 2 3 4 5 6; do tell "rename $out/d$i d$i" "create d$i/g 0644"; done
	tell "unlink d1/f" "rename d2/f $out/f2" "rmdir d3/s" "rename d4/f dir/f4" \
		"rename d5/f known 2" "rename known d6/f 2" "rename d6/s dir 2" "cycle" "auto 1"
	no_surprise
	tell "unlink d6/s/f4" "rename d6/s/in back" "create dir/n 0644" "unlink known"
	no_surprise
}

# What left and comes back has the time that it has now, whatever was told of it before
# in the same batch.
comes_back_older() {
	border_pair
	mkdir "$dir/outside/o"
	tell "mkdir d 0755" "create d/f 0644" "mkdir e 0755"
	all_synced
	tell "auto 0" "utimens d 2000000 222" "rename d $out/o 2" \
		"utimens $out/o 3000000 333" "rename $out/o e/x" "cycle" "auto 1"
	no_surprise
	tell "rename e/x $out/y"
	no_surprise
	touch -d @4000000.000000444 "$dir/outside/y"
	tell "rename $out/y y"
	no_surprise
}

journaled() { "$B/inconfig/inconfig" log "$src/.intermezzo/data/journal" | grep -q "\"$1\""; }

scenario "1500 random lines across the border" at_random
scenario "1500 random lines across the border, 20 a cycle" at_random_in_cycles
scenario "a child that left its directory outside" child_stays_out
scenario "names that were gone before their directory was walked" gone_before_the_walk
scenario "a directory that comes back with another time" comes_back_older
scenario "files that were gone with their directory" gone_with_its_directory
flow_done
