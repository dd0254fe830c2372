#!/bin/sh
# Runs the conformance kernel under a runner and judges its output.
#   guestos/run.sh [RUNNER...]      default: build/release/ringer; `qemu` stands for QEMU's TCG with its own spelling of the options
# Environment: APPEND (options for the kernel), TIMEOUT (seconds, 60), CONFORMANCE (the kernel).
# Ends with 0 if there was a SUMMARY and no FAIL, else 1.
set -u
cd "$(dirname "$0")/.." || exit 1

kernel=${CONFORMANCE:-build/guestos/conformance.elf}
append=${APPEND:-}
limit=${TIMEOUT:-60}
[ $# -gt 0 ] || set -- build/release/ringer
if [ ! -f "$kernel" ]; then
	echo "run.sh: $kernel is not there; build it with: make guestos" >&2
	exit 1
fi

if [ "$1" = qemu ]; then
	shift
	set -- qemu-system-i386 -accel tcg -cpu max -display none -monitor none -serial stdio "$@"
else
	set -- "$@" -nographic -serial stdio
fi
set -- "$@" -kernel "$kernel" -m 64 -no-reboot -device isa-debug-exit,iobase=0x501,iosize=2
[ -z "$append" ] || set -- "$@" -append "$append"

out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' INT TERM
timeout -k 5 "$limit" "$@" </dev/null >"$out" 2>&1
status=$?
tr -d '\r' <"$out"

count() {
	tr -d '\r' <"$out" | grep -c "^$1 "
}
echo "conformance: $(count PASS) passed, $(count FAIL) failed, $(count SKIP) skipped"
if [ $status -eq 124 ] || [ $status -eq 137 ]; then
	echo "run.sh: no end within $limit seconds; APPEND=verbose names the test" >&2
	exit 1
fi
if ! grep -q '^SUMMARY: ' "$out"; then
	echo "run.sh: no SUMMARY, status $status; APPEND=verbose names the test" >&2
	exit 1
fi
[ "$(count FAIL)" -eq 0 ] && [ $status -eq 1 ]
