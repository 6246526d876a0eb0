#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# pair.t: two and three whole lentos with a scripted capture source: fill, live,
# kills, stops, gaps, filters. IZO_SEED makes the random lines again, IZO_ONLY
# picks scenarios by a part of their name. Root.
set -u
here=$(dirname "$0")
# shellcheck source=tests/flow/flow.sh
. "$here/flow.sh"

make_tree() {	# DIR: one of everything
	local d=$1 i
	mkdir -p "$d/d1/e" "$d/many" "$d/deep/a/b/c"
	for ((i = 0; i < 1000; i++)); do echo "file $i" > "$d/many/f$i"; done
	echo linked > "$d/one"
	ln "$d/one" "$d/two"
	ln "$d/one" "$d/d1/three"
	ln -s ../one "$d/d1/sym"
	ln -s "$(printf '%0250d' 7)" "$d/d1/long"
	mkfifo -m 0640 "$d/d1/fifo"
	mknod "$d/d1/null" c 1 3
	echo x > "$d/d1/x"
	setfattr -n user.a -v 1 "$d/d1/x"
	setfattr -n user.empty "$d/d1/x"
	setfattr -n trusted.t -v 0x00ff00 "$d/d1"
	setfacl -m u:7:rw,g:8:r "$d/d1/x"
	setfacl -d -m u:9:rwx "$d/d1/e"
	truncate -s 8M "$d/sparse"
	printf middle | dd of="$d/sparse" bs=1 seek=4M conv=notrunc status=none
	head -c 3000000 /dev/urandom > "$d/big"
	chown 11:12 "$d/big"
	chmod 04755 "$d/big"
	touch -h -d '2001-02-03 04:05:06.789' "$d/big" "$d/d1/sym"
	touch -d '2002-02-03 04:05:06.789' "$d/deep/a/b"
}

fill_then_live() {
	script_pair alpha beta
	make_tree "$src"
	alpha_start
	lento_start beta
	all_synced
	tell "create d1/new 0644" "write d1/new 0 5000 n" "close d1/new" \
		"setxattr d1/new user.k v" "rename d1/new many/new" "unlink two" \
		"write sparse 6000000 100 s" "close sparse" "truncate big 100"
	all_synced
	[ "$(pair_number beta surprises)" = 0 ]
}

number_is() { [ "$(pair_number "$1" "$2" 2>/dev/null)" = "$3" ]; }

lines() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	random_lines 600 | "$say" -k "$dir/sock"
	all_synced
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail surprises
}

lines_in_cycles() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	{
		echo "auto 0"
		random_lines 600 | awk '{ print } NR % 20 == 0 { print "cycle" }'
		echo cycle; echo "auto 1"
	} | "$say" -k "$dir/sock"
	all_synced
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail surprises
}

# What the fill found is then removed, moved and made hollow by the stream.
lines_in_fill() {
	local n=0
	for n in 1 2; do
		pair_hosts=(alpha beta)
		script_pair alpha beta
		rm -rf "${dir:?}"/*/root "$dir"/sock*; mkdir "$dir"/{alpha,beta}/root
		make_tree "$src"
		alpha_start
		lento_start beta
		random_lines 300 $((seed + n)) | "$say" -k "$dir/sock"
		all_synced
		[ "$(pair_number beta surprises)" = 0 ] || pair_fail "surprises, round $n"
		lento_stop alpha; lento_stop beta
	done
}

many_files() {	# DIRS: of 100 files each
	local i n
	for ((i = 0; i < $1; i++)); do
		mkdir "$src/d$i"
		for ((n = 0; n < 100; n++)); do echo "$i $n" > "$src/d$i/f$n"; done
	done
}

# Each directory is listed with files that are gone before the stream begins.
short_lives_in_fill() {
	script_pair alpha beta
	many_files 30
	alpha_start
	lento_start beta
	for ((n = 0; n < 1500; n++)); do
		echo "create d$((n % 30))/e$n 0644"
		((n < 150)) || echo "unlink d$(((n - 150) % 30))/e$((n - 150))"
	done | "$say" "$dir/sock"
	all_synced
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail surprises
}

number_past() {	# HOST KEY N
	local n
	n=$(pair_number "$1" "$2" 2>/dev/null) && [ -n "$n" ] && [ "$n" -ge "$3" ]
}

kill_replica() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	all_synced
	random_lines 1500 | "$say" -k "$dir/sock" & local talk=$!
	local n
	for n in 1 2 3; do
		wait_until $((30 * slow)) number_past beta position_seq $((n * 200 - 100))
		lento_kill beta
		lento_start beta
		wait_until $((30 * slow)) said beta "stream from position" $n
	done
	wait $talk
	all_synced
	times beta "fill, stream will start" 1
}

journaled() {	# PATTERN: how often; 1 if never
	"$B/inconfig/inconfig" log "$src/.intermezzo/data/journal" 2>/dev/null | grep -c -- "$1"
}

# What lay in the ring file is journaled once, also where the kill came between
# the journal's commit and the ring's release: the old ring file laid back.
kill_source() {
	local n
	script_pair alpha beta
	alpha_start
	lento_start beta
	all_synced
	for n in 1 2 3 4; do
		random_lines 100 $((seed + n)) | "$say" -k "$dir/sock"
		# no cycle of late contents may come after the one laid back
		wait_until 20 number_is alpha pending 0
		tell "auto 0" "create ring$n 0644" "write ring$n 0 8000 r" \
			"close ring$n" "mkdir dir$n 0755" "rename ring$n dir$n/r"
		[ $((n % 2)) = 0 ] || cp "$dir/sock.ring" "$dir/ring"
		[ $((n % 2)) = 0 ] || { tell cycle; wait_until 20 journaled "mkdir .*\"dir$n\""; }
		lento_kill alpha
		[ $((n % 2)) = 0 ] || mv "$dir/ring" "$dir/sock.ring"
		alpha_start
	done
	all_synced
	times alpha "indexed" 1
	for n in 1 2 3 4; do
		[ -s "$(pair_root beta)/dir$n/r" ]
		[ "$(journaled "mkdir .*\"dir$n\"")" = 1 ] || pair_fail "dir$n not once"
	done
}

stop_and_start() {
	local h
	script_pair alpha beta
	alpha_start
	lento_start beta
	random_lines 100 | "$say" -k "$dir/sock"
	all_synced
	for h in alpha beta; do lento_stop $h; done
	alpha_start
	lento_start beta
	wait_until $((20 * slow)) pair_is alpha SYNCED
	tell "create after 0644"
	all_synced
	times beta "fill, stream will start" 1
	times alpha indexed 1
}

peer_synced() {	# HOST
	pair_mark; wait_until $((30 * slow)) [ -d "$(pair_root "$1")/.izo-marker-$pair_marker" ]
	wait_until $((30 * slow)) pair_is "$1" SYNCED
}

late_gamma() {
	script_pair alpha beta gamma
	alpha_start
	lento_start beta
	random_lines 200 | "$say" -k "$dir/sock"
	random_lines 500 $((seed + 1)) | "$say" -k "$dir/sock" & local talk=$!
	lento_start gamma
	wait $talk
	all_synced
	lento_stop gamma
	random_lines 500 $((seed + 2)) | "$say" -k "$dir/sock"
	peer_synced beta
	lento_start gamma
	all_synced
	times gamma "fill, stream will start" 1
	times gamma "stream from position" 1
}

nothing_excluded() {
	! find "$(pair_root beta)" -name '*.tmp' -o -name cache | grep . ||
		pair_fail "excluded names on the replica"
}

# A directory's times tell of excluded names too.
included_same() { all_synced --no-dir-times --exclude '*.tmp' --exclude cache; }

exclusion() {
	pair_exclude='*.tmp cache/'
	script_pair alpha beta
	mkdir -p "$src/cache/in" "$src/d"
	echo 1 > "$src/cache/in/f"; echo 2 > "$src/d/x.tmp"; echo 3 > "$src/d/y"
	alpha_start
	lento_start beta
	included_same
	nothing_excluded
	tell "create a.tmp 0644" "write a.tmp 0 5000 a" "close a.tmp" \
		"mkdir d/cache 0755" "create d/cache/f 0644" "write d/y 0 10 y" \
		"create b 0600" "write b 0 20 b" "close b" "mkdir dd 0755" \
		"create dd/1 0644" "create dd/2.tmp 0644"
	included_same
	nothing_excluded
	# out of the excluded, into it, and over a name
	tell "rename a.tmp a" "rename d/cache d/kept" "rename b b.tmp" \
		"rename dd dd.tmp" "create c.tmp 0644" "write c.tmp 0 7 c" \
		"close c.tmp" "create c 0600" "rename c.tmp c"
	included_same
	nothing_excluded
	[ -s "$(pair_root beta)/a" ]; [ -e "$(pair_root beta)/d/kept/f" ]
	[ ! -e "$(pair_root beta)/b" ]; [ ! -e "$(pair_root beta)/dd" ]
	[ -s "$(pair_root beta)/c" ]
	[ "$(pair_number beta surprises)" = 0 ] || pair_fail surprises
}

epoch() { pair_status "$1" | tr -d ' \n' | sed 's/.*"epoch":"\([0-9a-f]*\)".*/\1/'; }

gap() {
	local before n
	script_pair alpha beta
	make_tree "$src"
	mkdir "$src/kept"
	ln -s ../one "$src/kept/sym"
	alpha_start
	lento_start beta
	random_lines 100 | "$say" -k "$dir/sock"
	all_synced
	before=$(epoch alpha)
	# behind the script's back
	echo new > "$src/behind"
	rm "$src/many/f1"; mv "$src/many/f2" "$src/many/moved"
	echo changed > "$src/many/f3"
	chmod 0600 "$src/many/f4"; setfattr -n user.z -v z "$src/many/f5"
	rm -r "$src/deep"; echo file > "$src/deep"
	rm "$src/kept/sym"; mkdir "$src/kept/sym"
	ln "$src/many/f6" "$src/many/f6b"
	tell gap
	wait_until $((20 * slow)) logged alpha SUSPECT
	all_synced
	[ "$(epoch alpha)" != "$before" ] || pair_fail "the epoch is the old one"
	[ "$(epoch alpha)" = "$(epoch beta)" ]
	# lines right behind a gap must not carry the replica past it
	for n in 1 2 3; do
		echo "$n" > "$src/many/f3"
		tell gap "mkdir g$n 0755" "create g$n/f 0644" "mkdir h$n 0755"
		all_synced
	done
	random_lines 100 $((seed + 1)) | "$say" -k "$dir/sock"
	all_synced
}

two_ways_fsetdb() {	# SOCKET-OF-DATA SOCKET-OF-OTHER
	local s=$dir
	cat <<- END
	[fileset data]
	uuid = 6b1f4a52-7d0e-4b55-9c1e-00000000da7a
	server = alpha
	replicators = beta
	settle = 20
	segment = 1M
	capture = script:$s/sock
	path@alpha = $s/alpha/data
	path@beta = $s/beta/data
	[fileset other]
	uuid = 6b1f4a52-7d0e-4b55-9c1e-00000000da7b
	server = beta
	replicators = alpha
	settle = 20
	segment = 1M
	capture = script:$s/sock2
	path@alpha = $s/alpha/other
	path@beta = $s/beta/other
	END
}

same_trees() { "$B/tests/treecmp" --max 0 "$1" "$2" > /dev/null; }

two_ways() {
	local h t1 t2
	script_pair alpha beta
	for h in alpha beta; do
		mkdir "$dir/$h/data" "$dir/$h/other"
		two_ways_fsetdb > "$dir/$h/etc/fsetdb"
	done
	lento_start alpha
	lento_start beta
	wait_until 20 "$say" "$dir/sock" "auto 1"
	wait_until 20 "$say" "$dir/sock2" "auto 1"
	random_lines 400 | "$say" -k "$dir/sock" & t1=$!
	random_lines 400 $((seed + 1)) | "$say" -k "$dir/sock2" & t2=$!
	wait $t1; wait $t2
	wait_until $((30 * slow)) fileset_is alpha data SYNCED
	wait_until $((30 * slow)) fileset_is beta other SYNCED
	same_trees "$dir/alpha/data" "$dir/beta/data" || pair_fail "data differs"
	same_trees "$dir/alpha/other" "$dir/beta/other" || pair_fail "other differs"
}

reconnect() {
	script_pair alpha beta
	alpha_start
	lento_start beta
	all_synced
	lento_stop alpha
	wait_until $((20 * slow)) pair_is beta DISCONNECTED
	alpha_start
	random_lines 50 | "$say" -k "$dir/sock"
	all_synced
	lento_kill alpha
	alpha_start
	random_lines 50 $((seed + 1)) | "$say" -k "$dir/sock"
	all_synced
	times beta "fill, stream will start" 1
	times beta "stream from position" 2
}

cut_fill() {
	local i kept=0 total=0 f n
	script_pair alpha beta
	many_files 150
	alpha_start
	lento_start beta
	wait_until $((60 * slow)) number_past beta fill_done 1000
	lento_kill beta
	(cd "$(pair_root beta)" && find . -path ./.intermezzo -prune -o -name 'f*' -printf '%i %p\n') > "$dir/before"
	total=$(wc -l < "$dir/before")
	echo "# cut after $total files"
	[ "$total" -ge 500 ] && [ "$total" -lt 15000 ] || pair_fail "cut at a wrong moment"
	lento_start beta
	tell "create live 0644" "write live 0 100 l" "close live"
	all_synced
	while read -r i f; do
		[ "$(stat -c %i "$(pair_root beta)/$f")" != "$i" ] || kept=$((kept + 1))
	done < <(awk 'NR % 10 == 0' "$dir/before")
	[ "$kept" = $((total / 10)) ] || pair_fail "only $kept of $((total / 10)) files were kept"
}

disks() {	# FS: one for each host's root
	local h
	for h in alpha beta; do
		truncate -s 400M "$dir/$h.img"
		"mkfs.$1" "$dir/$h.img" > /dev/null 2>&1
		mkdir -p "$dir/$h/root"
		mount -o loop "$dir/$h.img" "$dir/$h/root"
	done
}

# Where a file ended in the middle of a block that is a hole, extending it makes
# some filesystems allocate that block; the source's file had ended elsewhere.
holes_at_old_ends() {
	disks "$1"
	script_pair alpha beta
	alpha_start
	lento_start beta
	tell "create f 0644" "write f 29271 8000 a" "write f 70000 5000 a" "truncate f 16161"
	all_synced
	tell "auto 0" "truncate f 4493" "write f 28672 4096 b" "close f" cycle "auto 1"
	all_synced
	tell "truncate f 16161"
	all_synced
	tell "create whole 0644" "truncate whole 1048576"
	all_synced
	tell "auto 0" "truncate whole 8192" "truncate whole 40960" cycle "auto 1"
	all_synced
	tell "auto 0" "truncate f 4493" "truncate f 80000" cycle "auto 1"
	all_synced
}
old_ends_ext4() { holes_at_old_ends ext4; }
old_ends_xfs() { holes_at_old_ends xfs; }
old_ends_btrfs() { holes_at_old_ends btrfs; }

scenario "fill of one of everything, then live" fill_then_live
scenario "600 random lines, a cycle each" lines
scenario "600 random lines, 20 a cycle" lines_in_cycles
scenario "300 random lines while it fills, twice" lines_in_fill
scenario "short-lived files while it fills" short_lives_in_fill
scenario "kill -9 of the replica under load" kill_replica
scenario "kill -9 of the source, ring adopted" kill_source
scenario "clean stop and start: no fill" stop_and_start
scenario "a second replica, late, then away for 500 lines" late_gamma
scenario "exclusion patterns" exclusion
scenario "a gap: compared and repaired" gap
scenario "two filesets, both directions at once" two_ways
scenario "the source comes back: the replica reconnects" reconnect
scenario "holes where a file had ended, ext4" old_ends_ext4
scenario "holes where a file had ended, xfs" old_ends_xfs
scenario "holes where a file had ended, btrfs" old_ends_btrfs
scenario "a fill cut by kill -9 goes on" cut_fill
flow_done
