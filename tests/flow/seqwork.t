#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# seqwork.t: the generator of sequences: numbers, slices and seeds repeat, a bad
# script is refused by its line, every letter of the alphabet can succeed, what is
# written is nowhere twice; and a script that fails is shrunk to the lines that
# it takes. TAP, for prove; needs root.
# shellcheck disable=SC2317
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
: "${B:=$here/../build}"
B=$(realpath "$B")
# shellcheck source=tests/seqlib.sh
. "$here/seqlib.sh"
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
work=$(mktemp -d "${TMPDIR:-/tmp}/seqwork.XXXXXX")
clean() { cd /; umount "$work/mnt"; rm -rf "$work"; }
trap clean EXIT
# xfs has reflinks; a disk of its own, since immutable files are left behind.
mkdir "$work/mnt"
truncate -s 2G "$work/disk"
if ! mkfs.xfs -q "$work/disk" || ! mount -o loop "$work/disk" "$work/mnt" ||
	! cd "$work/mnt"; then echo "Bail out! no xfs"; exit 1; fi
count=0 failed=0
check() {	# NAME COMMAND...
	local name=$1; shift
	count=$((count + 1))
	if "$@" > out 2>&1; then echo "ok $count - $name"; return; fi
	echo "not ok $count - $name"; failed=1
	tail -n 8 out | while IFS= read -r line; do echo "# $line"; done
}

# --- decks ----------------------------------------------------------------

pairs_are_all() {	# each pair of letters once, over all slices
	local k letters
	letters=$("$seqwork" --letters | wc -l)
	for k in 0 1 2; do "$seqwork" --print --all 2 --slice "$k/3"; done > pairs
	[ "$(grep -c '^== ' pairs)" = $((letters * letters)) ] &&
		[ "$(awk '/^== /{ getline a; getline b; print a "|" b }' pairs |
			sort -u | wc -l)" = $((letters * letters)) ]
}
number_is_it() {
	"$seqwork" --print --number 2:1234 > one
	[ "$(seq_script pairs s2-1234)" = "$(seq_script one s2-1234)" ] &&
		[ "$(wc -l < one)" = 3 ]
}
sample_repeats() {
	"$seqwork" --print --sample 50 --seed 5 --length 4 > a
	"$seqwork" --print --sample 50 --seed 5 --length 4 | cmp - a || return
	"$seqwork" --print --sample 50 --seed 6 --length 4 > b
	[ "$(wc -l < b)" = 250 ] && ! cmp -s <(grep -v == a) <(grep -v == b)
}
text_comes_back() { "$seqwork" --print --deck a | cmp - a; }

refused() {	# LINE: status 2, and the place
	printf '== name\ncreate A/n\n%s\n' "$1" > bad
	"$seqwork" --print --deck bad 2> why
	[ $? = 2 ] && grep -qF "bad:3: '$1'" why
}
bad_lines() {
	refused "jump A/n" && refused "write A/x 0" && refused "write A/x 0 1 2" &&
		refused "trunc A/x ten" && refused "== ../x" && refused "unlink  A/x"
}

# --- runs -----------------------------------------------------------------

run() {	# NAME OPTION...: prepares and runs, outside beside
	mkdir "$1" "$1-out"
	"$seqwork" --prepare --run --outside "$1-out" "${@:2}" "$1"
}

# Alone, or after some other one.
letters_succeed() {
	succeed --all 1 > succeeded || return
	"$seqwork" --letters | cut -d' ' -f2- | sort > letters
	comm -23 letters succeeded > later
	awk 'NR == FNR { later[$0]; next } /^== / { name = $0; getline first; getline second
		if (second in later && first !~ /sync/) printf "%s\n%s\n%s\n", name, first, second
		}' later pairs > after
	succeed --deck after >> succeeded || return
	! sort -u succeeded | comm -23 letters - | grep .
}
succeed() {	# DECK OPTION...: the lines that did
	run alone --verbose "$@" > log 2>&1 || return
	sed -n 's/^[^:]*: \(.*\): Success$/\1/p' log | sort -u
	mv alone "done.$RANDOM"; mv alone-out "done.out.$RANDOM"
}
# But for holes, no two blocks written are the same, in all sequences.
nothing_twice() {
	run twice --sample 200 --seed 9 --length 8 || return
	/usr/bin/python3 - twice twice-out <<-'END'
	import os, sys
	seen, inode, double = set(), set(), 0
	for top in sys.argv[1:]:
	    for at, dirs, files in os.walk(top):
	        for path in (os.path.join(at, f) for f in files):
	            if os.path.islink(path) or not os.path.isfile(path): continue
	            if os.stat(path).st_ino in inode: continue
	            inode.add(os.stat(path).st_ino)
	            data = open(path, "rb").read()
	            for o in range(0, len(data) - 63, 4096):
	                block = data[o:o + 64]
	                if not any(block): continue
	                double += (o, block) in seen; seen.add((o, block))
	print(len(seen), "blocks,", double, "twice")
	# A copy_file_range or clone within one sequence may make some.
	sys.exit(len(seen) < 1000 or double > len(seen) // 50)
	END
}
by_step_same() {	# the order of the operations of one script is the same
	run rows --sample 60 --seed 3 --length 5 &&
		run steps --by-step --procs 2 --sample 60 --seed 3 --length 5 &&
		"$B/tests/treecmp" --digest --digest-parts=names,attrs,xattrs,content rows > d1 &&
		"$B/tests/treecmp" --digest --digest-parts=names,attrs,xattrs,content steps > d2 &&
		cmp d1 d2
}
asks() {	# step by step, when told so
	mkdir asked
	"$seqwork" --prepare asked --sample 3 --length 4 &&
		yes | "$seqwork" --run --by-step --ask --sample 3 --length 4 asked > said &&
		[ "$(grep -c '^step' said)" = 4 ]
}

# --- what is left of a script ---------------------------------------------

judged=0
# Fails if one line comes, and later another one.
judge_two() {	# DECK
	judged=$((judged + 1))
	seq_bad=$(awk '/^== / { name = $2; first = 0 }
		$0 == "rename A/x A/n" { first = 1 }
		$0 == "trunc A/n 4096" && first { print name; first = 0 }' "$1")
}
judge_never() { seq_bad=''; }
judge_always() { seq_bad=$(seq_all_names "$1"); }
# Fails in one run of three.
judge_sometimes() {
	judge_two "$1"
	seq_bad=$(awk -v seed=$((judged)) 'BEGIN { srand(seed) } rand() < 0.34' <<< "$seq_bad")
}
# A replica that has no user.b: found by comparing, as in a guest.
judge_trees() {
	rm -rf judge replica; mkdir judge
	"$seqwork" --prepare --run --deck "$1" judge > /dev/null || return
	cp -a judge replica
	find replica -type f -exec setfattr -x user.b {} + 2>/dev/null
	seq_bad=$("$B/tests/treecmp" --max 0 judge replica | cut -d/ -f1 | seq_known "$1")
}

long_script() {	# two lines of it are to blame
	"$seqwork" --print --sample 1 --length 30 --seed 2 | grep -v 'A/x$\|A/n\|user.b\|chattr\|==' > long
	sed -i '5i rename A/x A/n' long
	sed -i '14i setxattr A/n user.b 10' long
	echo 'trunc A/n 4096' >> long
}
shrinks() {	# JUDGE [COPIES], wanted on stdin
	seq_shrink "$1" long short "${2:-}"
	cmp short -
}
two_of_many() { shrinks judge_two <<< $'rename A/x A/n\ntrunc A/n 4096'; }
unless_it_fails() { shrinks judge_never < long; }
to_nothing() { shrinks judge_always < /dev/null; }
flaky() { shrinks judge_sometimes 12 <<< $'rename A/x A/n\ntrunc A/n 4096'; }
by_trees() {	# either line alone makes no user.b
	printf 'setxattr A/n user.b 10\n' | cat - long > longer
	mv longer long
	seq_shrink judge_trees long short
	cat short
	[ "$(cat short)" = $'rename A/x A/n\nsetxattr A/n user.b 10' ]
}
few_runs() { echo "$judged"; ((judged <= 8)); }

check "all pairs, each in one slice" pairs_are_all
check "a number names one of them" number_is_it
check "a seed repeats its sample" sample_repeats
check "a deck is read as it was printed" text_comes_back
check "a bad line is refused by its place" bad_lines
check "every letter succeeds somewhere" letters_succeed
check "no contents twice" nothing_twice
check "by step and in processes: the same trees" by_step_same
check "step by step when told so" asks
long_script
check "shrunk to the two lines that matter" two_of_many
check "in few rounds" few_runs
check "left as it is when nothing fails" unless_it_fails
check "to nothing when the preparation fails" to_nothing
check "shrunk though it fails only now and then" flaky
check "shrunk by comparing trees" by_trees
echo "1..$count"
exit $failed
