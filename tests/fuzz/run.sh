#!/bin/bash
# Runs fuzz targets: replays the inputs of tests/fuzz/corpus (every crash that was found is among them), then fuzzes. A line PASS or FAIL each.
# usage: tests/fuzz/run.sh [TARGET...]        default: all
# Environment: FUZZ_SECONDS (each, default 8; 0: only the replay), FUZZ_JOBS (targets at a time, default 2). What is found is kept in
# build/fuzz/found and read again next time; what crashes is in build/fuzz/crashes: add it to the corpus once it is understood.
set -u
shopt -s nullglob
cd "$(dirname "$0")/../.." || exit 1
self=tests/fuzz/run.sh

export FUZZ_SECONDS=${FUZZ_SECONDS:-8}
export UBSAN_OPTIONS=print_stacktrace=1

# The longest input worth trying.
max_len() {
	case $1 in
	load) echo 4096 ;;
	translate) echo 400 ;;
	*) echo 1024 ;;
	esac
}

# Says how a run ended, and keeps the log of one that failed.
verdict() {
	local name=$1 what=$2 status=$3 log=$4
	if [ "$status" -eq 0 ]; then
		echo "PASS fuzz $name: $what"
		return 0
	fi
	grep -av "Uses:\|REDUCE\|NEW_FUNC\|NEW  " "$log" | tail -40
	echo "FAIL fuzz $name: $what; see $log and $(ls -t build/fuzz/crashes/"$name"-* 2>/dev/null | head -1)"
	return 1
}

one() {
	local name=$1 program=build/fuzz/$1 corpus=tests/fuzz/corpus/$1 found=build/fuzz/found/$1 log=build/fuzz/$1.log options=() inputs
	mkdir -p "$found" build/fuzz/crashes
	[ -e "tests/fuzz/$name.dict" ] && options=(-dict="tests/fuzz/$name.dict")
	options+=(-timeout=20 -rss_limit_mb=4096 -artifact_prefix="build/fuzz/crashes/$name-")
	inputs=("$corpus"/*)
	timeout 300 "$program" "${options[@]}" "${inputs[@]}" >"$log" 2>&1
	verdict "$name" "${#inputs[@]} inputs replayed" $? "$log" || return 1
	[ "$FUZZ_SECONDS" -gt 0 ] || return 0
	timeout $((FUZZ_SECONDS + 300)) "$program" "${options[@]}" -max_total_time="$FUZZ_SECONDS" -max_len="$(max_len "$name")" \
		-print_final_stats=1 "$found" "$corpus" >"$log" 2>&1
	local status=$? runs edges
	runs=$(awk '/^stat::number_of_executed_units/ { print $2 }' "$log")
	edges=$(grep -ao 'cov: [0-9]*' "$log" | tail -1)
	verdict "$name" "$FUZZ_SECONDS s, ${runs:-0} inputs, edges ${edges#cov: }" "$status" "$log"
}

if [ "${1:-}" = --one ]; then
	one "$2"
	exit
fi
[ $# -gt 0 ] || set -- $(for f in tests/fuzz/*.c; do basename "$f" .c; done)
printf '%s\n' "$@" | xargs -P "${FUZZ_JOBS:-2}" -n 1 "$self" --one
