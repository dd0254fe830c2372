#!/bin/bash
# `make check`: runs every suite and adds up their checks. The last line is "N passed, N failed"; the exit status says whether all is well.
# Environment: MODE (the build to test), FUZZ_SECONDS (of each fuzz target, default 8).
set -u
cd "$(dirname "$0")/.." || exit 1

mode=${MODE:-release}
ringer=build/$mode/ringer
passed=0
failed=0
logs=build/tests
mkdir -p "$logs"

# suite NAME COMMAND...: runs it, its output in a log and on stdout. A suite that fails without a FAIL of its own counts as one.
suite() {
	local name=$1 log=$logs/$1.log start=$SECONDS status p f
	shift
	echo "== $name"
	"$@" 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	read -r p f < <(count "$log")
	if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
		echo "FAIL $name: ended with status $status"
		f=1
	elif [ $((p + f)) -eq 0 ]; then
		echo "FAIL $name: it checked nothing"
		f=1
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	echo "== $name: $p passed, $f failed, $((SECONDS - start)) s"
}

# count LOG: passed and failed, by Check's own summary, by a SUMMARY line, or by PASS and FAIL lines.
count() {
	awk '
	/^[0-9]+%: Checks: / {
		gsub(",", "")
		summary = 1; p += $3 - $5 - $7; f += $5 + $7
	}
	/^SUMMARY: [0-9]+ passed, [0-9]+ failed/ { gsub(",", ""); summary = 1; p += $2; f += $4 }
	/^PASS / { passes++ }
	/^FAIL / { fails++ }
	END { if (!summary) { p = passes; f = fails } print p + 0, f + 0 }' "$1"
}

suite unit "build/$mode/tests/unit/unit"
suite mutate "build/$mode/tests/verify/mutate"
suite docs make --no-print-directory MODE="$mode" docs-check
suite golden make --no-print-directory MODE="$mode" golden
suite ratchet make --no-print-directory MODE="$mode" ratchet
for flavour in checked direct auto; do
	suite guestos-$flavour guestos/run.sh "$ringer" -accel bt,flavour=$flavour,verify=on
done
# With hardly any host mappings, and with some.
for maps in 300 5000; do
	KERNELS=shadow suite guestos-max-maps-$maps guestos/run.sh "$ringer" -accel bt,flavour=direct,max-maps=$maps,verify=on
done
suite guestos-firmware guestos/run.sh "$ringer" -bios bios-256k.bin -accel bt,verify=on
suite cli tests/cli/run.sh "$ringer"
suite trace python3 tests/trace/run.py --runner "$ringer"
suite crash python3 tests/crash/run.py "$ringer"
suite firmware tests/firmware/run.py "$ringer"
suite compare tests/firmware/compare.py "$ringer"
suite fuzz tests/fuzz/run.sh
suite diff make --no-print-directory MODE="$mode" diff
if scripts/fetch-guests.sh && scripts/mkinitramfs.sh; then
	suite lockstep python3 tests/lockstep/run.py --runner "$ringer"
	suite display python3 tests/display/run.py --runner "$ringer"
	suite console python3 tests/console/run.py --runner "$ringer"
	suite boot python3 tests/boot/run.py --runner "$ringer" --seconds 25
	suite guests python3 tests/guests/run.py --runner "$ringer"
	suite debug python3 tests/debug/run.py --runner "$ringer"
else
	echo "FAIL boot: Debian's kernels cannot be had, so nothing was booted or run in lockstep"
	failed=$((failed + 1))
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
