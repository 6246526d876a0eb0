#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# apply.t: the applier against random operations on a real source tree, on each
# filesystem that can be made here; see applytest.c for what each mode proves.
# Root; APPLYTEST names the program, APPLY_SEED a first seed; IZO_FS and IZO_MODES
# narrow it, as in vmtests.
set -u
prog=${APPLYTEST:-${B:-build}/tests/flow/applytest}
seed=${APPLY_SEED:-$((RANDOM + 1))}
if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP needs root"
	exit 0
fi
work=$(mktemp -d)
trap 'umount "$work"/m.* 2>/dev/null; rm -rf "$work"' EXIT
tests=0

# one FS MODE N [--break]: a fresh filesystem, source and replica on it
one() {
	local fs=$1 mode=$2 n=$3 flag=${4:-} want=0 m="$work/m.$1" ret
	case " ${IZO_FS:-$fs} " in *" $fs "*) ;; *) return ;; esac
	case " ${IZO_MODES:-$mode} " in *" $mode "*) ;; *) return ;; esac
	tests=$((tests + 1))
	seed=$((seed + 1))
	rm -f "$work/img"
	truncate -s 1G "$work/img"
	mkdir -p "$m"
	if ! mkfs."$fs" "$work/img" >/dev/null 2>&1 ||
	   ! mount -o loop "$work/img" "$m" 2>/dev/null; then
		echo "ok $tests - $fs $mode # SKIP no $fs here"
		return
	fi
	mkdir "$m/src" "$m/dst"
	timeout 300 "$prog" "$m/src" "$m/dst" "$m/state" "$mode" "$n" "$seed" \
		${flag:+"$flag"} >"$work/out" 2>&1
	ret=$?
	grep '^#' "$work/out"
	# a flag breaks something: that must be seen, by whatever finds it first
	[ -z "$flag" ] || { want=1; [ $ret != 2 ] || ret=1; }
	if [ $ret = $want ]; then
		echo "ok $tests - $fs $mode $flag, seed $seed"
	else
		sed 's/^/# /' "$work/out"
		echo "not ok $tests - $fs $mode $flag, seed $seed (status $ret)"
	fi
	umount "$m"
}

for fs in ext4 xfs btrfs; do
	one $fs each 300
	one $fs batch 150
	one $fs kill 60
	one $fs lose 60
	one $fs fill 40
	one $fs fillkill 15
	one $fs reuse 1
done
one ext4 batch 400 --break	# the test can fail
one ext4 batch 150 --unguarded
echo "1..$tests"
