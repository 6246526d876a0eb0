#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# fswork.t: the workload is the same for the same seed, counts what it did, and
# the watcher of published versions sees each kind of violation. TAP, for
# prove; needs root (device numbers, owners, trusted xattrs).
#
#   FSWORK, TREECMP   the programs (default: in build/tests beside tests/)

set -u
here=$(cd "$(dirname "$0")/.." && pwd)
fswork=$(realpath "${FSWORK:-${B:-$here/../build}/tests/fswork}")
treecmp=$(realpath "${TREECMP:-${B:-$here/../build}/tests/treecmp}")
[ -x "$fswork" ] && [ -x "$treecmp" ] || { echo "Bail out! not built"; exit 1; }
[ "$(id -u)" = 0 ] || { echo "Bail out! needs root"; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/fswork.XXXXXX")
trap 'cd /; rm -rf "$work"' EXIT
cd "$work" || exit 1
count=0
failed=0

result() {  # result STATUS NAME
	count=$((count + 1))
	if [ "$1" = 0 ]; then
		echo "ok $count - $2"
	else
		echo "not ok $count - $2"
		failed=1
		tail -n 5 out | sed 's/^/# /'
	fi
}

run() {  # run NAME OPTION...
	mkdir "$1.d"
	"$fswork" --log "$1.log" --count "$1.json" "${@:2}" "$1.d" > out 2>&1
}

digest() { "$treecmp" --digest --digest-parts=names,attrs,xattrs,content "$1"; }

test_seed() {
	run a --seed 3 --ops 3000; result $? "no unexpected error"
	run b --seed 3 --ops 3000
	cmp -s a.log b.log; result $? "one seed, one log"
	[ "$(digest a.d)" = "$(digest b.d)" ]; result $? "one seed, one tree"
	run c --seed 4 --ops 3000
	! cmp -s a.log c.log; result $? "another seed, another log"
	run n --mix namespace --ops 500 && ! grep -Eq 'fallocate|truncate [df]|mmap' n.log
	result $? "namespace only"
	run d --mix data --ops 500 && ! grep -Eq ' (rename|link|chmod)' d.log
	result $? "data only"
	run p --procs 4 --ops 3000; result $? "four processes, no unexpected error"
}

test_count() {  # the counts against the log, for one and for four processes
	local log
	for log in a p; do
		/usr/bin/python3 - $log.log $log.json > out 2>&1 <<-'END'
		import collections, json, sys
		kind = {"chmod": "setattr", "chown": "setattr", "utimens": "setattr",
		    "truncate": "setattr", "open-trunc": "setattr", "setxattr": "xattr",
		    "removexattr": "xattr", "setacl": "acl", "removeacl": "acl",
		    "chattr": "fileattr", "clone": "remap", "link-tmpfile": "link"}
		seen = collections.Counter()
		for line in open(sys.argv[1]):
		    words = line.split()
		    op = words[2] if words[0].isdigit() else words[0]
		    if op == "write" and "drops" in words: op = "truncate"
		    op = "falloc" if op.startswith("fallocate") else op
		    op = "rename" if op.startswith("rename") else op
		    seen[kind.get(op, op)] += 1
		    if "drops" in words: seen["xattr"] += 1
		all = json.load(open(sys.argv[2]))
		seen["acl"] += all["other"]["chmodacl"]
		bad = 0
		for k, n in all["records"].items():
		    if seen[k] != n: print(k, "log", seen[k], "count", n); bad = 1
		    if not n and k != "remap": print("never:", k); bad = 1
		sys.exit(bad)
		END
		result $? "records counted as logged, none missing ($log)"
	done
}

publish() { rm -rf pub; mkdir pub; "$fswork" --publish --ops "$1" "${@:2}" pub; }

test_watch() {
	local pid
	rm -rf pub; mkdir pub
	"$fswork" --watch pub --until stop > out & pid=$!
	"$fswork" --publish --ops 400 --procs 3 pub
	touch stop
	wait $pid; result $? "published in order: no violation"
	! grep -Eq '(rename|link|directory|symlink|mark) 0[,)]' out
	result $? "every way of publishing was observed"
	publish 60
}

violates() {  # violates NAME PATTERN COMMAND: watch must stop with PATTERN
	local rc
	rm -rf pub; cp -a good pub
	(cd pub && eval "$3")
	"$fswork" --watch pub --until stop > out 2>&1
	rc=$?
	[ $rc = 1 ] && grep -Eq "^violation: $2" out
	result $? "watch: $1"
}

test_violations() {
	rm -rf good; publish 60; cp -a pub good
	"$fswork" --watch pub --until stop > out; result $? "a tree at rest is good"
	violates "older than its name" 'pub-0-99: version .*, must be at least 99' 'mv pub-0 pub-0-99'
	violates "shortened" 'pub-0: version [0-9]+ has [0-9]+ bytes of' 'truncate -s -1 pub-0'
	violates "empty" 'pub-0: no valid header in 0 bytes' 'truncate -s 0 pub-0'
	violates "zeros in the body" 'pub-0: version .* body wrong' \
		'truncate -s 4096 t; s=$(stat -c %s pub-0); dd if=/dev/zero of=pub-0 bs=8 seek=20 count=1 conv=notrunc status=none'
	violates "a header of another version" 'pub-0: ' \
		'dd if=$(ls -d dat-0-* | head -n 1) of=pub-0 bs=128 count=1 conv=notrunc status=none'
	violates "missing in a directory" 'dir-0-[0-9]+/v1: missing' 'rm dir-0-*/v1'
	violates "older in a directory" 'dir-0-99/v0: version' 'mv $(ls -d dir-0-* | head -n 1) dir-0-99'
	violates "dangling symlink" 'cur-0: points to .*missing' 'rm dat-0-*'
	violates "mark before content" 'inp-0: version .* mark-0-99 is there' 'touch mark-0-99'
	violates "content of another writer" 'pub-1: content of writer 0' 'cp pub-0 pub-1'
}

test_backwards() {  # two versions by turns under one name
	local pid rc end=$((SECONDS + 20))
	rm -rf pub; cp -a good pub
	cp -a "$(ls -d good/dat-0-* | head -n 1)" old; cp -a good/pub-0 new
	mv new x; "$fswork" --watch pub > out & pid=$!
	while kill -0 $pid 2> /dev/null && ((SECONDS < end)); do
		cp x t; mv t pub/pub-0; cp old t; mv t pub/pub-0
	done
	kill $pid 2> /dev/null		# it has seen nothing
	wait $pid; rc=$?
	[ $rc = 1 ] && grep -q '^violation: pub-0: version .* must be at least' out
	result $? "watch: backwards"
}

test_seed
test_count
test_watch
test_violations
test_backwards
echo "1..$count"
exit $failed
