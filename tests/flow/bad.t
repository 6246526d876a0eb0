#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# bad.t: what whole lentos say and do when something is wrong with their
# configuration, folders, peers, journals or disks: it is named, it stops what
# it must and nothing else. Root.
set -u
here=$(dirname "$0")
# shellcheck source=tests/flow/flow.sh
. "$here/flow.sh"

uuid_data=6b1f4a52-7d0e-4b55-9c1e-00000000da7a
uuid_more=6b1f4a52-7d0e-4b55-9c1e-00000000da7b

# Two filesets of alpha for beta (and gamma): data with $dir/sock, more with
# $dir/sock2. ORDER matters for nothing but the status.
two_filesets() {	# HOST...
	local h i
	script_pair "$@"
	for h in "$@"; do
		mkdir -p "$dir/$h/more"
		{
			fileset_text "$h" data "$uuid_data" "$dir/sock" "$(pair_root "$h")"
			fileset_text "$h" more "$uuid_more" "$dir/sock2" "$dir/$h/more"
		} > "$dir/$h/etc/fsetdb"
	done
}

fileset_text() {	# HOST NAME UUID SOCKET ROOT
	printf '[fileset %s]\nuuid = %s\nserver = alpha\nreplicators = %s\n' \
		"$2" "$3" "${pair_hosts[*]:1}"
	printf 'settle = 20\nsegment = 1M\ncapture = script:%s\npath = %s\n' "$4" "$5"
}

tell_more() { "$say" "$dir/sock2" "$@"; }
more_ready() { tell_more "auto 1" 2>/dev/null; }

more_works() {	# the other fileset is alive
	more=$((${more:-0} + 1))
	wait_until $((20 * slow)) more_ready || pair_fail "more has no script"
	tell_more "create works$more 0644" "write works$more 0 99 w" "close works$more"
	wait_until $((20 * slow)) [ -s "$dir/beta/more/works$more" ] ||
		pair_fail "fileset more stands still"
}

refused_conf() {	# FILE TEXT EXPECTED: lento says EXPECTED and ends with 1
	local rc=0
	cp -r "$dir/alpha/etc" "$dir/etc"
	printf '%s\n' "$2" >> "$dir/etc/$1"
	timeout 20 "$pair_lento" --etc "$dir/etc" --run "$dir/run" 2> "$dir/said" || rc=$?
	rm -r "$dir/etc"
	cat "$dir/said"
	[ $rc = 1 ] || pair_fail "exit status $rc"
	grep -qE -- "$3" "$dir/said" || pair_fail "not said: $3"
}

configurations() {
	local n
	script_pair alpha beta
	n=$(wc -l < "$dir/alpha/etc/fsetdb")
	refused_conf fsetdb "nonsense = 7" "fsetdb:$((n + 1)): .*nonsense"
	refused_conf fsetdb "settle = never" "fsetdb:$((n + 1)): .*settle"
	refused_conf fsetdb "[fileset data]" "fsetdb:$((n + 1)): .*data"
	refused_conf fsetdb "no equals sign" "fsetdb:$((n + 1)): "
	refused_conf fsetdb "$(printf '[fileset two]\nuuid = 123')" "fsetdb:$((n + 2)): .*uuid"
	refused_conf sysid "name = twice" "sysid:4: .*name"
	refused_conf serverdb "[host beta]" "serverdb:5: .*beta"
	rm "$dir/alpha/etc/serverdb"
	refused_conf sysid "" "serverdb: "
}

# The second fileset's path leads into the first one, or it is the other way round:
# both are named, with the line. Siblings are two filesets.
nested_filesets() {
	local d=$dir/disk n
	truncate -s 300M "$dir/img"
	mkfs.ext4 -qF "$dir/img"
	mkdir -p "$d" "$dir/mnt/twice" "$dir/mnt/bound" "$dir/links"
	mount -o loop "$dir/img" "$d"
	mount "$(findmnt -no SOURCE "$d")" "$dir/mnt/twice"
	mkdir -p "$d/data/sub/deep" "$d/data2" "$d/other"
	mount --bind "$d/data/sub/deep" "$dir/mnt/bound"
	ln -s "$d/data" "$dir/links/data"
	ln -s "$d" "$dir/links/disk"
	trap 'flow_end; umount "$dir/mnt/bound" "$dir/mnt/twice" "$dir/disk" || :' EXIT
	script_pair alpha beta
	sed -i "s|^path@alpha.*|path = $d/data|; /^path@beta/d" "$dir/alpha/etc/fsetdb"
	n=$(wc -l < "$dir/alpha/etc/fsetdb")
	refused_pair "$n" "$dir/links/data" "is the same directory as"
	refused_pair "$n" "$dir/links/disk/data/sub" "lies within"
	refused_pair "$n" "$dir/links/disk" holds
	refused_pair "$n" "$dir/mnt/bound" "lies within"
	refused_pair "$n" "$dir/mnt/twice/data" "is the same directory as"
	refused_pair "$n" "$dir/mnt/twice/data/sub/deep" "lies within"
	refused_pair "$n" "$dir/mnt/twice" holds
	sed -i "s|^path = .*|path = $dir/mnt/bound|" "$dir/alpha/etc/fsetdb"
	refused_pair "$n" "$d/data" holds
	refused_pair "$n" "$d/data/sub/deep" "is the same directory as"
	sed -i "s|^path = .*|path = $d/data|" "$dir/alpha/etc/fsetdb"
	refused_conf fsetdb "$(second_fileset "$d/other")"$'\n'"state = $dir/mnt/twice/data/sub" \
		"fsetdb:$((n + 5)): the state folder of fileset two lies within $d/data of fileset data"
	printf '%s\nsegment = 1M\n' "$(second_fileset "$d/data2")" \
		>> "$dir/alpha/etc/fsetdb"	# a sibling
	alpha_start
	wait_until 20 fileset_is alpha two SYNCED
}

second_fileset() {	# PATH
	printf '[fileset two]\nuuid = %s\nserver = alpha\ncapture = script:%s\npath = %s' \
		"$uuid_more" "$dir/sock2" "$1"
}

refused_pair() {	# LINES-BEFORE PATH HOW
	refused_conf fsetdb "$(second_fileset "$2")" \
		"fsetdb:$(($1 + 5)): nested filesets: $2 of fileset two $3 .* of fileset data"
}

listen_addresses() {
	script_pair alpha beta
	sed -i '/^listen/d' "$dir/alpha/etc/sysid"
	refused_conf sysid "listen = 0.0.0.0:$pair_base_port" "0.0.0.0:.*plaintext is refused beyond loopback"
	refused_conf sysid "listen = [::]:$pair_base_port" "plaintext is refused beyond loopback"
	refused_conf sysid "listen = 203.0.113.7:$pair_base_port" "plaintext is refused"
	refused_conf sysid "listen = nowhere" "nowhere"
	# not even with the option, outside of the namespace that it names
	local ns=izo-bad-$$ option
	ip netns add "$ns"
	for option in "$ns" "izo-no-such" "../../proc/self/ns/net"; do
		refused_run "--insecure-plaintext=$option" "--insecure-plaintext: .*network namespace"
	done
	ip netns del "$ns"
}

refused_run() {	# OPTION EXPECTED
	local rc=0
	timeout 20 "$pair_lento" --etc "$dir/alpha/etc" --run "$dir/run" "$1" 2> "$dir/said" || rc=$?
	cat "$dir/said"
	[ $rc = 1 ] || pair_fail "exit status $rc"
	grep -qE -- "$2" "$dir/said" || pair_fail "not said: $2"
}

missing_folders() {
	local h
	two_filesets alpha beta
	rmdir "$(pair_root alpha)"
	lento_start alpha
	lento_start beta
	wait_until 20 fileset_is alpha data STOPPED
	logged alpha "fileset data: STOPPED"
	of_fileset alpha data error | grep -q "$(pair_root alpha)" || pair_fail "folder not named"
	more_works
	wait_until 20 of_fileset_says beta data error alpha
	for h in alpha beta; do lento_stop $h; done
	mkdir "$(pair_root alpha)"; mv "$dir/beta/root" "$dir/beta/away"
	lento_start alpha
	lento_start beta
	wait_until 20 fileset_is beta data STOPPED
	of_fileset beta data error | grep -q "$(pair_root beta)" || pair_fail "folder not named"
	more_works
	[ ! -e "$(pair_root beta)" ] || pair_fail "an unmounted replica was made"
}

of_fileset_says() { of_fileset "$1" "$2" "$3" | grep -q -- "$4"; }

unknown_uuid() {
	two_filesets alpha beta
	sed -i "s/$uuid_data/6b1f4a52-7d0e-4b55-9c1e-0000000000ff/" "$dir/beta/etc/fsetdb"
	lento_start alpha
	lento_start beta
	wait_until 20 logged alpha "peer beta is refused: no fileset \"data\""
	wait_until 20 logged beta "fileset data: refused by alpha: no fileset"
	wait_until 20 of_fileset_says beta data error "refusedbyalpha"
	more_works
	times alpha "peer beta is refused" 1
}

unlisted() {
	two_filesets alpha beta gamma
	sed -i "0,/^replicators.*/s//replicators = beta/" "$dir/alpha/etc/fsetdb"
	lento_start alpha
	lento_start beta
	lento_start gamma
	wait_until 20 logged alpha "peer gamma is refused: alpha does not serve fileset data to gamma"
	wait_until 20 logged gamma "fileset data: refused by alpha"
	more_works
	wait_until 20 [ -s "$dir/gamma/more/works1" ]
	[ -z "$(ls "$(pair_root gamma)")" ] || pair_fail "gamma got what is not for it"
}

bad_peer() {	# EXPECTED HOW...
	local want=$1; shift
	"$B/tests/flow/badpeer" "$pair_base_port" "$@" || pair_fail "not hung up: $*"
	wait_until 10 logged alpha "$want" || pair_fail "not in the log: $want"
}

nonsense() {
	two_filesets alpha beta gamma
	lento_start alpha
	lento_start beta
	more_works
	bad_peer "not an InterMezzo peer (it began with \"GET / HTTP" http
	bad_peer "no link with 127.0.0.1" random
	bad_peer "link to gamma is down" long gamma
	bad_peer "checksum" sum
	bad_peer "speaks protocol 2.0, alpha speaks 1.0" major 2
	bad_peer "speaks protocol 0.0, alpha speaks 1.0" major 0
	bad_peer "alpha does not know a peer stranger" name stranger
	bad_peer "beta is connected to alpha already" name beta
	bad_peer "does not know a peer alpha" name alpha
	bad_peer "BATCH_END refused" channel gamma
	more_works
	times beta "link to alpha is up" 1
}

wrong_host() {	# somebody else answers at the address
	two_filesets alpha beta
	sed -i 's/^name = alpha/name = gamma/' "$dir/alpha/etc/sysid"
	printf '[host gamma]\naddress = 127.0.0.1:9\n' >> "$dir/alpha/etc/serverdb"
	lento_start alpha
	lento_start beta
	wait_until 20 logged beta "gamma answers at 127.0.0.1"
}

second_daemon() {
	local rc=0
	script_pair alpha beta
	alpha_start
	lento_start beta
	"$pair_lento" --etc "$dir/alpha/etc" --run "$dir/alpha/run" 2> "$dir/said" || rc=$?
	[ $rc = 1 ]
	grep -q "already running (pid $(cat "$dir/alpha/pid")" "$dir/said" || pair_fail "not said"
	# another control socket and port, the same state
	cp -r "$dir/alpha" "$dir/delta"
	sed -i "s/^listen.*/listen = 127.0.0.1:$((pair_base_port + 9))/" "$dir/delta/etc/sysid"
	lento_start delta
	wait_until 20 logged delta "fileset data: STOPPED"
	of_fileset delta data error | grep -q "another" || pair_fail "not named"
	lento_stop delta
	cp -r "$dir/beta" "$dir/epsilon"; : > "$dir/epsilon/log"
	sed -i "s/^listen.*/listen = 127.0.0.1:$((pair_base_port + 9))/" "$dir/epsilon/etc/sysid"
	lento_start epsilon
	wait_until 20 logged epsilon "fileset data: STOPPED"
	cat "$dir/epsilon/log"
	lento_stop epsilon
	tell "create still 0644"
	all_synced
}

journal_file() { ls "$(pair_root alpha)/.intermezzo/data/journal"/kml.* | head -n 1; }

flip() {	# FILE OFFSET
	local c
	c=$(od -An -tu1 -j "$2" -N 1 "$1")
	# shellcheck disable=SC2059
	printf "\\x$(printf %x $((c ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

flipped_bit() {
	local f
	two_filesets alpha beta
	alpha_start
	lento_start beta
	random_lines 200 | "$say" -k "$dir/sock"
	lento_stop alpha
	f=$(journal_file)
	flip "$f" $((4096 * 5 + 100))
	lento_start alpha
	wait_until 20 fileset_is alpha data STOPPED
	logged alpha "fileset data: STOPPED"
	of_fileset alpha data error | grep -q "$(basename "$f"):byte[0-9]" ||
		pair_fail "file and byte are not named: $(of_fileset alpha data error)"
	more_works
	! "$B/inconfig/inconfig" log "$(dirname "$f")" > "$dir/printed" 2> "$dir/said" ||
		pair_fail "inconfig log is content"
	grep -q "$(basename "$f"): byte" "$dir/said" || pair_fail "inconfig log does not name it"
	[ -s "$dir/printed" ] || pair_fail "nothing before it was printed"
}

# The last commit never got to the disk whole: what a power cut leaves.
cut_tail() {
	local f end
	two_filesets alpha beta
	alpha_start
	lento_start beta
	random_lines 200 | "$say" -k "$dir/sock"
	pair_mark
	wait_until 20 pair_marked
	lento_kill alpha
	f=$(ls "$(pair_root alpha)/.intermezzo/data/journal"/kml.* | tail -n 1)
	"$B/inconfig/inconfig" log "$(dirname "$f")" > "$dir/before"
	end=$(od -Ad -v -tx1 -w4096 "$f" | awk '{ for (i = 2; i <= NF; i++) if ($i != "00") { at = $1; break } } END { print at + 0 }')
	dd if=/dev/zero of="$f" bs=4096 seek=$((end / 4096)) count=1 conv=notrunc status=none
	"$B/inconfig/inconfig" log "$(dirname "$f")" > "$dir/after"
	[ "$(wc -l < "$dir/after")" -lt "$(wc -l < "$dir/before")" ] || pair_fail "nothing was cut"
	alpha_start
	logged alpha "compared" || pair_fail "the comparison is not in the log"
	tell "create after 0644"
	wait_until $((30 * slow)) [ -e "$(pair_root beta)/after" ]
	pair_same || pair_fail "the trees differ"
	more_works
}

full_disk() {
	local m=$dir/mnt
	mkdir "$m"
	truncate -s 32M "$dir/img"
	mkfs.ext4 -q "$dir/img"
	mount -o loop "$dir/img" "$m"
	pair_root_beta=$m/root
	two_filesets alpha beta
	alpha_start
	lento_start beta
	tell "create before 0644"
	wait_until 20 [ -e "$m/root/before" ]
	cat /dev/zero > "$m/ballast" 2>/dev/null || :
	tell "mkdir full 0755" "create full/a 0644" "create full/b 0644"
	for ((i = 0; i < 100; i++)); do echo "write full/a $((i * 8192)) 8192 z"; done |
		"$say" "$dir/sock"
	tell "close full/a" "unlink before"
	wait_until 30 logged beta "No space left on device"
	wait_until 20 of_fileset_says beta data error "Nospaceleft"
	more_works
	[ "$(grep -c "No space left" "$dir/beta/log")" -le 6 ] || pair_fail "the log fills too"
	rm "$m/ballast"
	wait_until 30 [ ! -e "$m/root/before" ] || pair_fail "it does not go on by itself"
	pair_mark
	wait_until 30 pair_marked
	wait_until 30 fileset_is beta data SYNCED
	"$B/tests/treecmp" "$(pair_root alpha)" "$m/root"
	[ -z "$(of_fileset beta data error)" ] || pair_fail "the error is still shown"
	lento_stop beta
}

# The same object below the fileset's root and beside it.
snooping() {
	local uuid=6b1f4a527d0e4b559c1e00000000da7a ino gen f
	truncate -s 64M "$dir/img"
	mkfs.ext4 -qF "$dir/img"
	mkdir "$dir/mnt"
	mount -o loop "$dir/img" "$dir/mnt"
	mkdir "$dir/mnt/root"
	# shellcheck disable=SC2034
	pair_root_alpha=$dir/mnt/root
	echo inside > "$dir/mnt/root/f"
	echo outside > "$dir/mnt/f"
	script_pair alpha beta
	alpha_start
	for f in root/f f; do
		ino=$(stat -c %i "$dir/mnt/$f")
		gen=$(lsattr -v "$dir/mnt/$f" | awk '{ print $1 }')
		"$B/tests/flow/badpeer" "$pair_base_port" snoop beta "$uuid" "$ino" "$gen" \
			"$([ $f = f ] && echo 0 || echo 1)" || pair_fail "$f: status $?"
	done
	unset pair_root_alpha
}

scenario "configurations are refused with file and line" configurations
scenario "nested filesets are refused however they are written" nested_filesets
scenario "plaintext is for loopback" listen_addresses
scenario "a fileset without its folder" missing_folders
scenario "a fileset of an unknown uuid" unknown_uuid
scenario "a replicator that the server does not list" unlisted
scenario "peers that speak nonsense" nonsense
scenario "a replicator asks for what is not in its fileset" snooping
scenario "another host answers at the address" wrong_host
scenario "a second daemon" second_daemon
scenario "a journal with a flipped bit" flipped_bit
scenario "a journal with a cut tail" cut_tail
scenario "a full disk" full_disk
flow_done
