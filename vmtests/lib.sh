# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# vmtests/lib.sh: what a test in a guest needs. A test begins with
#
#   #!/bin/bash
#   # timeout: 120
#   . "$(dirname "$0")/lib.sh"
#
# and ends with done_testing. It speaks TAP on stdout; what it prints on
# stderr shows up beside that. The runner ends what a test leaves behind,
# so a test need not clean up; it must not change what lies outside of
# $IZO_DISK1.. and $IZO_OUT in a way that the next test can see.
set -uo pipefail
shopt -s inherit_errexit

[[ ${IZO_GUEST-} == 1 ]] || {
	echo "1..0 # SKIP only in a guest: vmtests/run KERNEL ${0##*/}"
	exit 0
}

izo_n=0 izo_plan='' izo_failed=0

# --- TAP ------------------------------------------------------------------

plan() { izo_plan=$1; echo "1..$1"; }
skip_all() { echo "1..0 # SKIP $*"; exit 0; }
bail_out() { echo "Bail out! $*"; exit 1; }
diag() { printf '%s\n' "$*" | sed 's/^/# /'; }
pass() { echo "ok $((++izo_n)) - $*"; }
not_ok() { echo "not ok $((++izo_n)) - $*"; ((++izo_failed)); return 0; }
skip() { echo "ok $((++izo_n)) - $1 # SKIP $2"; } # NAME REASON

ok() { # NAME COMMAND...: the command succeeds; else what it printed
	local name=$1 said status=0
	shift
	said=$("$@" 2>&1) || status=$?
	if ((status == 0)); then pass "$name"; return 0; fi
	not_ok "$name"
	diag "status $status: $*"
	[[ -z $said ]] || diag "$said"
}

fails() { # NAME COMMAND...: the command fails
	local name=$1
	shift
	if "$@" >/dev/null 2>&1; then not_ok "$name"; diag "succeeded: $*"
	else pass "$name"; fi
}

is() { # GOT WANTED NAME
	if [[ $1 == "$2" ]]; then pass "$3"; return; fi
	not_ok "$3"
	diag "got:    $1"
	diag "wanted: $2"
}

done_testing() {
	[[ -n $izo_plan ]] || echo "1..$izo_n"
	exit $((izo_failed > 0))
}

# --- waiting -----------------------------------------------------------------

# wait_for SECONDS COMMAND...: until the command succeeds; 1 when it does not
# in time. Under emulation be generous: nothing is lost by a large bound.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		((SECONDS < end)) || return 1
		read -rt 0.1 <> <(:) || true # a pause that starts no program
	done
}

# --- disks --------------------------------------------------------------------

mkfs_mount() { # TYPE DISK FOLDER [MOUNT OPTIONS]: make, make the folder, mount
	modprobe "$1" || return
	case $1 in
	ext4) mkfs.ext4 -qF "$2" ;;
	*) "mkfs.$1" -qf "$2" ;;
	esac && mkdir -p "$3" && mount -t "$1" ${4:+-o "$4"} "$2" "$3"
}

# --- hosts -----------------------------------------------------------------------

# A host is a network namespace; all of them hang on one bridge, in one /24.
# They share the kernel, the file systems and the process table.
host_new() { # NAME IP: reachable by the others at IP
	if [[ ! -e /sys/class/net/izobr ]]; then
		ip link add izobr type bridge forward_delay 0 &&
			ip link set izobr up || return
	fi
	ip netns add "$1" &&
		ip link add "v-$1" type veth peer name eth0 netns "$1" &&
		ip link set "v-$1" master izobr up &&
		ip -n "$1" link set lo up &&
		ip -n "$1" addr add "$2/24" dev eth0 nodad &&
		ip -n "$1" link set eth0 up
}

host_run() { # NAME COMMAND...
	local name=$1
	shift
	ip netns exec "$name" "$@"
}

host_cut() { ip link set "v-$1" down; } # NAME: the cable is out
host_join() { ip link set "v-$1" up; }  # NAME: and in again
