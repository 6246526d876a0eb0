# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# flow.sh: what the flow tests with whole daemons share. To be sourced, after
# `here` is set. `scenario NAME FUNCTION` runs FUNCTION in a subshell of its own
# under set -e, in an empty folder $dir, and ends what it started.

if [ "$(id -u)" != 0 ]; then
	echo "1..0 # SKIP needs root"
	exit 0
fi
# shellcheck source=tests/pair.sh
. "$here/../pair.sh"
B=$(cd "$B" && pwd)
pair_lento=$B/tests/lento-scripted
say=$B/tests/flow/say
seed=${IZO_SEED:-$((RANDOM + 1))}
work=$(mktemp -d /tmp/izo.XXXXXX)
count=0 bad=0
only=${IZO_ONLY:-}		# a part of a scenario's name
slow=${IZO_SLOW:-1}		# waits are longer by this, for sanitizers
echo "# seed $seed"

flow_signal() {	# SIGNAL: to every lento of the scenario; 0: none is left
	local f none=0
	for f in "$dir"/*/pid; do
		[ ! -e "$f" ] || ! kill "-$1" "$(cat "$f")" 2>/dev/null || none=1
	done
	return $none
}

# Clean stops: leaks are found then.
flow_end() {
	trap - ERR
	flow_signal TERM || wait_until $((10 * slow)) flow_signal 0 || {
		echo "# lento does not stop"
		touch "$dir/hangs"
		flow_signal KILL || :
	}
	wait 2>/dev/null
	flow_umount
}

flow_umount() {	# what the scenario has mounted, the last one first
	local m
	cut -d' ' -f2 /proc/mounts | tac | while read -r m; do
		case $m in "$dir"/*) umount "$m" 2>/dev/null || : ;; esac
	done
}

flow_noise() {	# sanitizers' words, deaths by abort
	grep -lE 'ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:' \
		"$dir"/*/log 2>/dev/null || return 1
}

scenario() {	# NAME FUNCTION
	local rc t0=$SECONDS f
	case $1 in *"$only"*) ;; *) return ;; esac
	count=$((count + 1))
	dir=$work/$count
	mkdir "$dir"
	( trap flow_end EXIT; set -eE
	  trap 'echo "# failed: $BASH_COMMAND (${BASH_SOURCE[0]##*/}:$LINENO)"' ERR
	  "$2" ) 2>&1 | sed 's/^\([^#]\)/# \1/' > "$dir/out"
	rc=${PIPESTATUS[0]}
	if f=$(flow_noise); then
		rc=99
		# shellcheck disable=SC2086
		grep -hE -A 30 'Sanitizer|runtime error:' $f | sed 's/^/# /' | head -n 80
	fi
	[ ! -e "$dir/hangs" ] || rc=98
	[ "$rc" = 0 ] || { cat "$dir/out"; bad=1; flow_keep; }
	[ "$rc" = 0 ] && echo "ok $count - $1, $((SECONDS - t0)) s" ||
		echo "not ok $count - $1 (seed $seed)"
	[ "$rc" != 0 ] || rm -rf "$dir"
}

flow_keep() {
	local f
	for f in "$dir"/*/log; do
		[ ! -e "$f" ] || tail -n 12 "$f" | sed "s|^|# $(basename "$(dirname "$f")"): |"
	done
}

flow_done() {
	echo "1..$count"
	[ -n "${IZO_KEEP:-}" ] || rm -rf "$work"
	exit $bad
}

# A pair of which the script is in $dir/sock.
script_pair() {	# HOST...
	pair_capture=script:$dir/sock
	pair_settle=${settle:-20}
	pair_ring=64K pair_segment=1M
	pair_init "$dir" "$@"
	src=$(pair_root alpha)
}

tell() { "$say" "$dir/sock" "$@"; }

script_ready() { tell "auto 1" 2>/dev/null; }

alpha_start() {
	lento_start alpha
	wait_until $((20 * slow)) script_ready || pair_fail "alpha has no script"
}

# Started after a power cut: another boot, and what was not synced may be gone. The
# mount namespace is made in a way that works in a chroot as well.
start_after_cut() {	# HOST
	echo "cut-$RANDOM-$RANDOM" > "$dir/boot"
	# shellcheck disable=SC2016
	unshare -m --propagation unchanged bash -c '
		mount --make-private /proc &&
		mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"' \
		"$dir/boot" "$pair_lento" --etc "$dir/$1/etc" --run "$dir/$1/run" \
		2>> "$dir/$1/log" &
	echo $! > "$dir/$1/pid"
	wait_until 60 pair_answers "$1"
}

random_lines() {	# N [SEED]: without the lines that begin a tree
	awk -v seed="${2:-$seed}" -v n="$1" -f "$here/randops.awk"
}

logged() {	# HOST TEXT
	grep -qF -- "$2" "$dir/$1/log"
}

said() { [ "$(grep -cF -- "$2" "$dir/$1/log")" = "$3" ]; }
times() {	# HOST TEXT NUMBER: so often in its log
	said "$@" || pair_fail "not $3 times in the log of $1: $2"
}

# A fileset's own state and error, whatever others the daemon has.
of_fileset() {	# HOST FILESET KEY
	local s
	s=$(pair_status "$1" 2>/dev/null | tr -d ' \n') || return 1
	s=${s#*"{\"name\":\"$2\",\"role\":"}
	s=${s%%"},{\"name\":\""*"\",\"role\":"*}
	case $s in *"\"$3\":\""*) ;; *) return ;; esac
	s=${s##*"\"$3\":\""}
	echo "${s%%\"*}"
}
fileset_is() { [ "$(of_fileset "$1" "$2" state)" = "$3" ]; }

all_synced() {	# quiet and identical
	pair_quiet $((60 * slow))
	pair_same "$@" || pair_fail "the trees differ"
}

# Another program has a lease on a file (Samba's oplocks, delegations of the NFS
# server): an open that cannot wait fails until it gives it up.
lease() {	# FILE SECONDS: held until that long after somebody opens it
	exec {leased}< <(exec /usr/bin/python3 - "$1" "$2" <<-'PY'
		import fcntl, signal, sys, time
		signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
		f = open(sys.argv[1], "r+b")
		fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)
		print("held", flush=True)
		signal.sigwait([signal.SIGIO])
		print("wanted", flush=True)
		time.sleep(float(sys.argv[2]))
		fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK)
	PY
	)
	lease_is held
}
lease_is() { local line; read -r -t 20 line <&"$leased" && [ "$line" = "$1" ]; }
