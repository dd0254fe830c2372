#!/bin/sh
# Runs the kernels of tests, conformance, shadow and modes, under a runner and judges their output.
#   guestos/run.sh [RUNNER...]      default: build/release/ringer; `qemu` stands for QEMU's TCG with its own spelling of the options
# Environment: APPEND (options for the kernel), TIMEOUT (seconds, 60), KERNELS (names or files, "conformance shadow modes").
# Ends with 0 if there were SUMMARY lines and no FAIL, else 1.
set -u
cd "$(dirname "$0")/.." || exit 1

append=${APPEND:-}
limit=${TIMEOUT:-60}
[ $# -gt 0 ] || set -- build/release/ringer
if [ "$1" = qemu ]; then
	shift
	set -- qemu-system-i386 -accel tcg -cpu max -display none -monitor none -serial stdio "$@"
else
	set -- "$@" -nographic -serial stdio
fi
set -- "$@" -m 64 -no-reboot -device isa-debug-exit,iobase=0x501,iosize=2
[ -z "$append" ] || set -- "$@" -append "$append"

out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
trap 'exit 1' INT TERM

count() {
	tr -d '\r' <"$out" | grep -c "^$1 "
}

# run NAME COMMAND...
run() {
	name=$1
	shift
	timeout -k 5 "$limit" "$@" </dev/null >"$out" 2>&1
	status=$?
	tr -d '\r' <"$out" | sed 's/^SUMMARY: /total: /'
	echo "$name: $(count PASS) passed, $(count FAIL) failed, $(count SKIP) skipped"
	if [ $status -eq 124 ] || [ $status -eq 137 ]; then
		echo "FAIL $name: no end within $limit seconds; APPEND=verbose names the test"
		return 1
	fi
	if ! grep -q '^SUMMARY: ' "$out"; then
		echo "FAIL $name: no SUMMARY, status $status; APPEND=verbose names the test"
		return 1
	fi
	[ "$(count FAIL)" -eq 0 ] && [ $status -eq 1 ]
}

ended=0
for kernel in ${KERNELS:-conformance shadow modes}; do
	name=$(basename "$kernel" .elf)
	[ "$kernel" != "$name" ] || kernel=build/guestos/$kernel.elf
	if [ ! -f "$kernel" ]; then
		echo "run.sh: $kernel is not there; build it with: make guestos" >&2
		exit 1
	fi
	run "$name" "$@" -kernel "$kernel" || ended=1
done
exit $ended
