# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# seqlib.sh: decks of seqwork on a pair of lentos, and what is left of a script
# that fails. To be sourced after pair.sh.
#
#   seq_script DECK NAME       one script of a deck, without its name
#   seq_shrink JUDGE SCRIPT OUT [COPIES]   the shortest script that still fails,
#       into OUT. JUDGE DECK puts the names of those that fail into seq_bad. What
#       fails only now and then needs copies: each candidate is run so often.
#
#   seq_pair FS DIR [whole|part]   a new pair on IZO_DISK1 and 2; part: the
#       fileset is a folder of its filesystem, and O/ of scripts lies beside it
#   seq_pair_done
#   seq_round HOW DECK         0 same, 1 seq_bad has the names, 2 stuck; seq_said
#       tells. 3: the generator itself failed.
#   seq_judge DECK             for seq_shrink: rounds as the last one; a pair that
#       is stuck is made anew, and the deck halved until it is known by whom
#   seq_hunt DECK DIR          after a round of 1 or 2: who fails, shrunk, as
#       DIR/NAME.seq; says so
#
# HOW is one of these, then " kills" or nothing:
#   rows   one script after another, on what the replica has
#   steps  the first operation of all scripts, quiet, the second of all ...
#   storm  prepared and run by three processes, and the replica lags behind
# kills: lento dies or stops meanwhile on either side, and starts again.
#
# Nothing of this may run in a subshell: lentos are children of the shell.

: "${seq_wait:=90}" "${seqwork:=$B/tests/seqwork}"
seq_rounds=0 seq_sequences=0 seq_operations=0
seq_bad='' seq_said='' seq_how=''

# --- scripts --------------------------------------------------------------

seq_diag() { head -n 30 <<< "$1" | while IFS= read -r line; do echo "# $line"; done; }

seq_script() {
	awk -v name="$2" '/^== / { on = $2 == name; next } on' "$1"
}

seq_all_names() { sed -n 's/^== //p' "$1"; }

# Of the lines on stdin those that are names of the deck, each once.
seq_known() {	# DECK
	awk 'NR == FNR { if (/^== /) known[$2] = 1; next }
		$0 in known && !seen[$0]++' "$1" -
}

seq_first() {	# NAMES DECK: the first script of the deck that is among them
	awk 'NR == FNR { bad[$1] = 1; next }
		/^== / && $2 in bad { print $2; exit }' - "$2" <<< "$1"
}

seq_shrink() {
	local judge=$1 out=$3 copies=${4:-1} deck first
	deck=$(mktemp /tmp/izo-seq.XXXXXX)
	[ "$2" = "$out" ] || cat "$2" > "$out"
	while "$seqwork" --deck "$out" --candidates --copies "$copies" > "$deck"; do
		"$judge" "$deck"
		first=$(seq_first "$seq_bad" "$deck")
		if [ -z "$seq_bad" ] || [ -z "$first" ]; then break; fi
		seq_script "$deck" "$first" > "$out"
		[ -s "$out" ] || break	# the preparation alone fails
	done
	rm -f "$deck"
}

# --- a pair ---------------------------------------------------------------

seq_format() {	# FS DISK DIR
	mkdir -p "$3"
	case $1 in
	ext4) mkfs.ext4 -qF "$2" ;;
	xfs) mkfs.xfs -qf "$2" ;;
	btrfs) mkfs.btrfs -qf "$2" > /dev/null ;;
	esac && mount "$2" "$3"
}

seq_pair() {
	seq_fs=$1 seq_dir=$2 seq_part=${3:-whole} seq_outside=''
	seq_format "$1" "$IZO_DISK1" "$2/alpha/disk" &&
		seq_format "$1" "$IZO_DISK2" "$2/beta/disk" || return
	pair_root_alpha=$2/alpha/disk pair_root_beta=$2/beta/disk
	if [ "$seq_part" = part ]; then
		pair_root_alpha+=/tree pair_root_beta+=/tree
		seq_outside=$2/alpha/disk/out
		mkdir "$pair_root_alpha" "$pair_root_beta" "$seq_outside"
	fi
	pair_init "$2" alpha beta
	lento_start alpha && lento_start beta && pair_quiet "$seq_wait"
}

seq_pair_done() {
	lento_kill alpha; lento_kill beta
	rm -rf /sys/fs/bpf/intermezzo/data "$seq_dir"/{alpha,beta}/{etc,run,log}
	umount "$seq_dir/alpha/disk" "$seq_dir/beta/disk"
}

# --- a round --------------------------------------------------------------

seq_call() {	# OPTION...: seqwork on this round's deck, in its folder
	"$seqwork" "$@" ${seq_outside:+--outside "$seq_outside/$seq_top"} \
		--deck "$seq_deck" "$pair_root_alpha/$seq_top"
}

# What seqwork said: its operations are counted; other lines are its errors.
seq_counted() {	# FILE
	local n
	n=$(sed -n 's/^seqwork: .* sequences, \([0-9]*\) .*/\1/p' "$1")
	((seq_operations += ${n:-0}))
	seq_said=$(grep -v '^step \|^seqwork: .* 0 unexpected$' "$1")
	[ -n "$n" ] && [ -z "$seq_said" ]
}

seq_errors() { grep -c 'cannot apply' "$seq_dir/beta/log"; }
seq_here_or_bad() { pair_marked || [ "$(seq_errors)" != "$seq_errors_before" ]; }

# Quiet, and the replica had no trouble on the way; with kills it may have some.
seq_still() {
	pair_mark || return
	[ -z "$seq_kills" ] || { pair_quiet "$seq_wait" 2> "$seq_dir/stuck"; return; }
	wait_until "$seq_wait" seq_here_or_bad &&
		[ "$(seq_errors)" = "$seq_errors_before" ] &&
		wait_until "$seq_wait" pair_is alpha SYNCED
}

# One host's lento goes and comes back; which and how, by chance.
seq_disturb() {
	local h=alpha
	((RANDOM % 2)) && h=beta
	if ((RANDOM % 2)); then lento_kill $h; else lento_stop $h; fi
	lento_start $h
}

seq_disturbed() {	# PID: while it runs, three times at most
	local times=0
	while [ -n "$seq_kills" ] && kill -0 "$1" 2>/dev/null && ((times++ < 3)); do
		seq_disturb || break
	done
	wait "$1"
}

seq_run_steps() {
	local line in out status=0
	coproc seq_steps { seq_call --run --by-step --ask 2>&1; }
	local pid=$!
	exec {out}<&"${seq_steps[0]}" {in}>&"${seq_steps[1]}"
	while read -ru "$out" line; do
		echo "$line"
		case $line in step*) ;; *) continue ;; esac
		[ -z "$seq_kills" ] || seq_disturb
		seq_still || { status=2; break; }
		echo >&"$in"
	done > "$seq_dir/said"
	exec {out}<&- {in}>&-
	((status == 0)) || kill "$pid"
	wait "$pid"
	return $status
}

seq_run() {
	case $seq_how in
	steps) seq_run_steps; return ;;
	rows) seq_call --run > "$seq_dir/said" 2>&1 & ;;
	storm) seq_call --prepare --run --procs 3 > "$seq_dir/said" 2>&1 & ;;
	esac
	seq_disturbed $!
	return 0
}

seq_round() {
	local r
	seq_how=${1% kills} seq_deck=$2 seq_bad='' seq_kills='' seq_said=''
	case $1 in *" kills") seq_kills=1 ;; esac
	seq_top=r$((++seq_rounds))
	((seq_sequences += $(grep -c '^== ' "$2")))
	seq_errors_before=$(seq_errors)
	mkdir "$pair_root_alpha/$seq_top" ${seq_outside:+"$seq_outside/$seq_top"}
	if [ "$seq_how" != storm ]; then
		seq_call --prepare > "$seq_dir/said" 2>&1
		seq_counted "$seq_dir/said" || return 3
		seq_still || { seq_stuck; return 2; }
	fi
	seq_run; r=$?
	if ((r == 0)); then
		seq_counted "$seq_dir/said" || return 3
		seq_still || r=2
	fi
	if ((r == 2)); then seq_stuck; return 2; fi
	seq_compare
}

seq_stuck() {	# status and logs of both are kept
	local kept=$IZO_OUT/stuck.$seq_fs.$seq_rounds
	pair_fail "the replica is stuck" 2> "$kept"
	seq_said="the replica is stuck: $(pair_state alpha), $(pair_state beta); see ${kept##*/}
$(grep -h 'record \|cannot apply' "$seq_dir/beta/log" | tail -n 4)"
}

# The names whose folders differ.
seq_compare() {
	local status
	seq_said=$("$B/tests/treecmp" --max 0 "$pair_root_alpha/$seq_top" \
		"$pair_root_beta/$seq_top" 2>&1)
	status=$?
	seq_bad=$(cut -d: -f1 <<< "$seq_said" | cut -d/ -f1 | seq_known "$seq_deck")
	return $((status > 0))
}

# --- one that fails -------------------------------------------------------

seq_again() { seq_pair_done; seq_pair "$seq_fs" "$seq_dir" "$seq_part" 2>> "$seq_dir/log.pairs"; }

seq_judge() {
	local deck=$1 half all='' n part
	seq_round "$seq_how${seq_kills:+ kills}" "$deck"
	(($? == 2)) || return 0
	seq_again
	n=$(grep -c '^== ' "$deck")
	if ((n == 1)); then seq_bad=$(seq_all_names "$deck"); return; fi
	half=$(mktemp /tmp/izo-seq.XXXXXX)
	for part in 0 1; do
		awk -v part=$part -v half=$(((n + 1) / 2)) \
			'/^== / { on = int((n++) / half) == part } on' "$deck" > "$half"
		seq_judge "$half"
		all+=$seq_bad$'\n'
	done
	rm -f "$half"
	seq_bad=$all
}

# What fails in a storm may need the others, too: they run beside.
seq_judge_among() {
	cat "$1" "$seq_among" > "$seq_dir/among"
	seq_round "$seq_how${seq_kills:+ kills}" "$seq_dir/among"
	(($? != 2)) || seq_again
}

seq_hunt() {
	local deck=$1 dir=$2 name file n=0 names how=$seq_how${seq_kills:+ kills}
	local judge=seq_judge copies=1
	seq_diag "$seq_said"
	names=$seq_bad
	if [ -z "$names" ]; then	# stuck: by whom?
		seq_again
		seq_judge "$deck"
		names=$seq_bad
	fi
	if [ "$how" != rows ] && [ "$how" != steps ]; then judge=seq_judge_among copies=4; fi
	seq_among=$deck
	echo "# failed on $seq_fs, $how, fileset is $seq_part of it: ${names//$'\n'/ }"
	for name in $names; do
		((n++ < 3)) || break
		file=$dir/$name-$seq_fs.seq
		seq_script "$deck" "$name" > "$file.full"
		seq_shrink "$judge" "$file.full" "$file" $copies
		echo "# the shortest of $name that fails:"
		sed 's/^/#     /' "$file"
	done
}
