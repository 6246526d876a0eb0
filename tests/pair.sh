# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# pair.sh: two or more real lentos, for flow tests, guest tests, the demo and
# benchmarks. To be sourced. alpha is the server of fileset "data", beta (and
# gamma ...) its replicators.
#
#   pair_init DIR HOST...        folders and configuration below DIR
#   pair_capture=bpf|script:SOCK, pair_root_HOST=PATH, pair_address_HOST=IP:PORT
#                       may be set before
#   lento_start HOST, lento_stop HOST, lento_kill HOST
#   pair_netns HOST...           hosts as network namespaces joined by a bridge
#   pair_status HOST             JSON
#   pair_quiet SECONDS           until every replica holds what was done so far
#   pair_fail TEXT               says it, shows the logs' tails, returns 1
#
# All waiting is for an event, bounded.

: "${B:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build}"
: "${pair_capture:=bpf}" "${pair_settle:=100}" "${pair_ring:=16M}" "${pair_segment:=16M}"
: "${pair_lento:=$B/lento/lento}" "${pair_exclude:=}"
pair_hosts=()
pair_uses_netns=

# wait_until SECONDS COMMAND...: runs it until it succeeds. IZO_PATIENCE times so
# long: an emulated guest sets it.
wait_until() {
	local end=$((SECONDS + $1 * ${IZO_PATIENCE:-1})); shift
	until "$@"; do
		((SECONDS < end)) || return 1
		read -rt 0.05 <> <(:) || :
	done
}

pair_address() {	# HOST PORT
	local i v=pair_address_$1
	for i in "${!pair_hosts[@]}"; do
		[ "${pair_hosts[i]}" = "$1" ] || continue
		if [ -n "${!v:-}" ]; then
			echo "${!v}"
		elif [ -n "$pair_uses_netns" ]; then
			echo "10.99.77.$((i + 1)):$2"
		else
			echo "127.0.0.1:$(($2 + i))"
		fi
	done
}

pair_root() { local v=pair_root_$1; echo "${!v:-$pair_dir/$1/root}"; }

pair_port() {	# a port that is likely free: tests run side by side
	echo $((20000 + $$ % 12000))	# below the ephemeral ones
}

pair_conf_host() {	# HOST
	local etc=$pair_dir/$1/etc h
	mkdir -p "$etc" "$(pair_root "$1")" "$pair_dir/$1/run"
	printf '[host]\nname = %s\nlisten = %s\n' "$1" \
		"$(pair_address "$1" "$pair_base_port")" > "$etc/sysid"
	: > "$etc/serverdb"
	for h in "${pair_hosts[@]}"; do
		printf '[host %s]\naddress = %s\n' "$h" \
			"$(pair_address "$h" "$pair_base_port")" >> "$etc/serverdb"
	done
	{
		echo "[fileset data]"
		echo "uuid = 6b1f4a52-7d0e-4b55-9c1e-00000000da7a"
		echo "server = ${pair_hosts[0]}"
		echo "replicators = ${pair_hosts[*]:1}"
		echo "settle = $pair_settle"
		echo "ring = $pair_ring"
		echo "segment = $pair_segment"
		echo "capture = $pair_capture"
		for h in "${pair_hosts[@]}"; do echo "path@$h = $(pair_root "$h")"; done
		for h in $pair_exclude; do echo "exclude = $h"; done
	} > "$etc/fsetdb"
}

pair_init() {	# DIR HOST...
	pair_dir=$1; shift
	pair_hosts=("$@")
	pair_base_port=$(pair_port)
	local h
	for h in "${pair_hosts[@]}"; do pair_conf_host "$h"; done
}

pair_netns() {	# before pair_init
	local i=1 h
	pair_uses_netns=1
	ip link add izo-br type bridge
	ip link set izo-br up
	for h in "$@"; do
		ip netns add "izo-$h"
		ip link add "izo-$h" type veth peer name eth0 netns "izo-$h"
		ip link set "izo-$h" master izo-br up
		ip -n "izo-$h" link set lo up
		ip -n "izo-$h" addr add "10.99.77.$i/24" dev eth0
		ip -n "izo-$h" link set eth0 up
		i=$((i + 1))
	done
}

pair_netns_done() {
	local h
	for h in "$@"; do ip netns del "izo-$h" 2>/dev/null || :; done
	ip link del izo-br 2>/dev/null || :
}

# nsenter, not "ip netns exec": that one hides /sys/fs/bpf.
lento_start() {	# HOST [OPTION...]
	local h=$1 run=() more=(); shift
	if [ -n "$pair_uses_netns" ]; then
		run=(nsenter "--net=/run/netns/izo-$h"); more=("--insecure-plaintext=izo-$h")
	fi
	"${run[@]}" "$pair_lento" --etc "$pair_dir/$h/etc" --run "$pair_dir/$h/run" \
		"${more[@]}" "$@" 2>> "$pair_dir/$h/log" &
	echo $! > "$pair_dir/$h/pid"
	wait_until 60 pair_answers "$h" || pair_fail "lento of $h does not answer"
}

pair_answers() {
	kill -0 "$(cat "$pair_dir/$1/pid")" 2>/dev/null || return 0	# ended: its log tells
	pair_status "$1" > /dev/null 2>&1
}

lento_stop() {	# HOST
	local pid; pid=$(cat "$pair_dir/$1/pid") || return 0
	kill -TERM "$pid" 2>/dev/null
	wait "$pid"
}

lento_kill() {	# HOST
	local pid; pid=$(cat "$pair_dir/$1/pid") || return 0
	kill -KILL "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null || :
	return 0
}

pair_status() { "$B/inconfig/inconfig" status --json --socket "$pair_dir/$1/run/lento.sock"; }

# The first fileset's own state stands last in its object.
pair_state() {	# HOST
	local s; s=$(pair_status "$1" 2>/dev/null | tr -d ' \n') || return 1
	s=${s##*\"state\":\"}; echo "${s%%\"*}"
}
pair_number() {	# HOST KEY: the first number of that key
	local s; s=$(pair_status "$1" | tr -d ' \n')
	s=${s#*\"$2\":}; echo "${s%%[,\}]*}"
}
pair_is() { [ "$(pair_state "$1")" = "$2" ]; }

pair_marker=0
pair_mark() {	# makes the next marker on the source
	pair_marker=$((pair_marker + 1))
	case $pair_capture in
	script:*) "$B/tests/flow/say" "${pair_capture#script:}" \
		"mkdir .izo-marker-$pair_marker 0755" ;;
	*) mkdir "$(pair_root "${pair_hosts[0]}")/.izo-marker-$pair_marker" ;;
	esac
}
pair_marked() {	# everywhere?
	local h
	for h in "${pair_hosts[@]:1}"; do
		[ -d "$(pair_root "$h")/.izo-marker-$pair_marker" ] || return 1
	done
}
pair_quiet() {	# SECONDS: a directory made now is on all replicas, all is synced
	pair_mark || { pair_fail "no marker"; return 1; }
	wait_until "$1" pair_marked || { pair_fail "the replica lags"; return 1; }
	wait_until "$1" pair_is "${pair_hosts[0]}" SYNCED || pair_fail "not SYNCED"
}

pair_same() {	# [TREECMP OPTION...]: every replica equals the source
	local h
	for h in "${pair_hosts[@]:1}"; do
		"$B/tests/treecmp" "$@" "$(pair_root "${pair_hosts[0]}")" "$(pair_root "$h")" ||
			return 1
	done
}

pair_fail() {
	local h
	echo "# $*" >&2
	for h in "${pair_hosts[@]}"; do
		echo "# --- log of $h" >&2
		tail -n 25 "$pair_dir/$h/log" 2>/dev/null | sed 's/^/# /' >&2
		pair_status "$h" 2>/dev/null | sed 's/^/# /' >&2
	done
	return 1
}
