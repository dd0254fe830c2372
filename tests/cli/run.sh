#!/bin/bash
# What a user gets wrong: one clear line on stderr, exit status 1, and nothing half-done.
#   tests/cli/run.sh RINGER
# Prints PASS and FAIL lines and a SUMMARY.
set -u
cd "$(dirname "$0")/../.." || exit 1

ringer=${1:-build/release/ringer}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM
python3 tests/cli/images.py "$dir" || exit 1
passed=0
failed=0

verdict() {
	if [ "$1" = PASS ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	echo "$1 $2"
}

run() {
	timeout 20 "$ringer" "$@" </dev/null >"$dir/out" 2>"$dir/err"
	status=$?
}

# wrong PATTERN ARGUMENT...: the command line is refused with a line that matches the extended regular expression.
wrong() {
	local pattern=$1 name
	shift
	run "$@"
	name="$*"
	name=${name//$dir\//}
	if [ $status -ne 1 ]; then
		verdict FAIL "$name: exit status $status, not 1"
	elif [ "$(wc -l <"$dir/err")" -ne 1 ] || ! grep -q '^ringer: ' "$dir/err"; then
		verdict FAIL "$name: not one line on stderr: $(head -c 300 "$dir/err")"
	elif [ -s "$dir/out" ]; then
		verdict FAIL "$name: output on stdout: $(head -c 300 "$dir/out")"
	elif ! grep -qE -- "$pattern" "$dir/err"; then
		verdict FAIL "$name: no '$pattern' in: $(cat "$dir/err")"
	else
		verdict PASS "$name: $(sed "s|$dir/||g; s|^ringer: ||" "$dir/err")"
	fi
}

# kernel PATTERN IMAGE [ARGUMENT...]
kernel() {
	local pattern=$1 image=$2
	shift 2
	wrong "$pattern" -nographic -m 128 -kernel "$dir/$image" "$@"
}

# Options
wrong 'nosuch.bin: not found' -nographic -bios nosuch.bin
wrong 'nosuch.bin: not found' -nographic -L "$dir" -bios nosuch.bin
wrong 'too little memory: give at least 3 MiB' -nographic -m 2 -bios bios-256k.bin -kernel "$dir/good"
wrong 'one of that name' -nographic -bios bios-256k.bin -kernel "$dir/good" -fw_cfg name=bootorder,string=x
wrong 'multiple of 64 KiB' -nographic -bios "$dir/short"
wrong 'is a directory' -nographic -bios "$dir"
wrong 'No such file' -nographic -kernel "$dir/good" -fw_cfg name=opt/x,file=nosuch
wrong 'one of that name' -nographic -kernel "$dir/good" -fw_cfg name=etc/e820,string=x
wrong '-kernel' -nographic -initrd "$dir/good"
wrong 'hpet=maybe' -nographic -kernel "$dir/good" -machine hpet=maybe
wrong "Invalid boot device 'x'" -nographic -boot order=xyz
wrong "Boot device 'c' was given twice" -nographic -boot cdc
wrong 'Too many boot devices' -nographic -boot acdn
wrong 'frobnicate' -frobnicate
wrong 'frobnicate' --frobnicate
wrong 'stray' stray
wrong '-kernel' -kernel
wrong '-m' -nographic -kernel "$dir/good" -m
for size in 0 -5 x 12q 99999999999999999999 1 4096G; do
	wrong "-m|memory" -nographic -kernel "$dir/good" -m "$size"
done
wrong 'kvm' -nographic -kernel "$dir/good" -accel kvm
wrong 'speed' -nographic -kernel "$dir/good" -accel bt,speed=11
wrong 'purple' -nographic -kernel "$dir/good" -accel bt,flavour=purple
wrong 'verify=maybe' -nographic -kernel "$dir/good" -accel bt,verify=maybe
wrong 'verify' -nographic -kernel "$dir/good" -accel bt,verify
wrong 'tb-size' -nographic -kernel "$dir/good" -accel bt,tb-size=0
wrong 'tb-size' -nographic -kernel "$dir/good" -accel bt,tb-size=x
wrong 'lockstep' -nographic -kernel "$dir/good" -accel bt,lockstep=0
wrong 'lockstep' -nographic -kernel "$dir/good" -accel bt,lockstep-show=on
wrong 'not under lockstep' -nographic -kernel "$dir/good" -accel bt,lockstep=1000 -s
wrong 'tcp:\[HOST\]:PORT' -nographic -kernel "$dir/good" -gdb tcp:12
wrong 'carrier-pigeon' -nographic -kernel "$dir/good" -gdb carrier-pigeon
wrong 'z80' -nographic -kernel "$dir/good" -cpu z80
wrong 'sse99' -nographic -kernel "$dir/good" -cpu max,+sse99
wrong 'everything' -nographic -kernel "$dir/good" -d everything
wrong 'directory' -nographic -kernel "$dir/good" -d int -D "$dir/none/log"
wrong 'trace:toaster' -nographic -kernel "$dir/good" -d trace:toaster
wrong 'invalid range' -nographic -kernel "$dir/good" -d exec -dfilter 0x1000
wrong 'No such file' -nographic -kernel "$dir/good" -kernel-symbols "$dir/none/map"
wrong 'no symbols of code' -nographic -kernel "$dir/good" -user-symbols "$dir/text"
wrong 'carrier-pigeon' -nographic -kernel "$dir/good" -serial carrier-pigeon
wrong 'directory' -nographic -kernel "$dir/good" -serial "file:$dir/none/out"
wrong "can't find value 'x'" -nographic -device ide-hd,drive=x
wrong 'e1000' -nographic -kernel "$dir/good" -device e1000
wrong 'iobase' -nographic -kernel "$dir/good" -device isa-debug-exit,iobase=x
wrong 'iobase' -nographic -kernel "$dir/good" -device isa-debug-exit,iobase=0x12345

# Displays
wrong 'gtk' -kernel "$dir/good" -display gtk
wrong 'must be a terminal' -kernel "$dir/good" -display curses
wrong 'cannot be used with -nographic' -nographic -kernel "$dir/good" -display curses
wrong 'No such file' -nographic -kernel "$dir/good" -vnc "127.0.0.1:9,password=on,password-file=$dir/none"
wrong 'first line is empty' -nographic -kernel "$dir/good" -vnc "127.0.0.1:9,password-file=$dir/empty"
wrong 'cannot listen on 192.0.2.1' -nographic -kernel "$dir/good" -vnc 192.0.2.1:9
wrong 'at=soon' -nographic -kernel "$dir/good" -screenshot "$dir/shot.png,at=soon"

# Files
kernel 'No such file' none
kernel 'is a directory' .
kernel 'is empty' empty
wrong 'Input/output error|Permission denied' -nographic -kernel /proc/self/mem
kernel 'No such file' good -initrd "$dir/none"
kernel 'is a directory' good -initrd "$dir"
kernel 'is empty' good -initrd "$dir/empty"

# Drives
head -c 4096 /dev/zero >"$dir/disk"
head -c 20480000 /dev/zero >"$dir/large"
{ printf "QFI\373"; head -c 508 /dev/zero; } >"$dir/qcow2"
mkfifo "$dir/fifo"
drive() {
	local pattern=$1
	shift
	wrong "$pattern" -nographic -m 128 -kernel "$dir/mb" "$@"
}
for option in -hda -hdb -hdc -hdd -cdrom -fda -fdb; do
	drive 'No such file' $option "$dir/none"
done
drive 'is a directory' -hda "$dir"
drive 'is a directory' -cdrom "$dir"
drive 'is empty' -hda "$dir/empty"
drive 'neither a file' -drive "file=$dir/fifo,readonly=on"
drive 'qcow2' -hda "$dir/qcow2"
drive 'vmdk' -drive "file=$dir/disk,format=vmdk"
drive 'larger than any floppy' -fda "$dir/large"
drive 'in use' -hda "$dir/disk" -hdb "$dir/disk"
drive 'already' -hda "$dir/disk" -drive "file=$dir/disk,index=0"
drive 'virtio' -drive "file=$dir/disk,if=virtio"
drive 'needs a file' -drive media=disk
drive 'snapshot=2' -drive "file=$dir/disk,snapshot=2"
# What keeps an image away from others: two writers, a writer beside a reader.
exec 9<>"$dir/disk"
python3 -c 'import fcntl, struct; fcntl.fcntl(9, 36 + 1, struct.pack("hhqqi4x", 0, 0, 101, 1, 0))'
drive 'in use' -hda "$dir/disk"
drive 'in use' -drive "file=$dir/disk,readonly=on"
exec 9>&-

# Linux images
kernel 'unknown format' short
kernel 'truncated' in-header
kernel 'truncated' in-setup
kernel 'truncated: .* bytes of ' truncated
kernel 'truncated' syssize
kernel 'HdrS' magic
kernel 'boot flag' boot-flag
kernel 'zImage' zimage
kernel 'protocol 1.05' old
kernel '64-bit kernel' amd64
kernel 'no 32-bit entry' real-mode
kernel 'kernel_alignment' alignment
kernel 'too little memory.*-m 201' big
kernel 'more than a 32-bit PC has' huge
kernel 'beyond 4 GiB' beyond
kernel 'initrd.*do not fit below' low-initrd -initrd "$dir/initrd"
kernel 'initrd.*at least -m 42' good -initrd "$dir/initrd" -m 32
kernel 'too long.*255' good -append "$(printf 'x%.0s' {1..256})"
kernel 'too little memory' good -m 1

# Multiboot images
kernel '64-bit ELF' mb-x86-64
kernel 'machine 40' mb-arm
kernel 'flags 0x8' mb-flags
kernel 'outside memory' mb-outside
kernel 'at least -m 201' mb-more
kernel 'outside memory' mb-rom
kernel 'outside memory' mb-wrap
kernel 'more bytes in the file' mb-filesz
kernel 'truncated' mb-cut
kernel 'truncated' mb-phnum
kernel 'too short' mb-phentsize
kernel 'nothing to load' mb-nothing
kernel 'entry point' mb-entry
kernel 'load_addr' kludge-addr
kernel 'load_end_addr' kludge-end
kernel 'bss_end_addr' kludge-bss
kernel 'truncated' kludge-cut
kernel 'No such file' mb -initrd "$dir/good,$dir/none args"
kernel 'too little memory' mb -initrd "$dir/initrd,$dir/initrd" -m 64

# Others
kernel 'unknown format' text
kernel 'unknown format' zero
kernel 'gzip' gzip
kernel 'Multiboot 2' mb2
kernel 'without a Multiboot 1 header' elf

# What must work
run -version
if [ $status -eq 0 ] && grep -qE '[0-9]+\.[0-9]+' "$dir/out" && [ ! -s "$dir/err" ]; then verdict PASS -version; else verdict FAIL -version; fi
run -h
if [ $status -eq 0 ] && grep -q -- '-kernel' "$dir/out" && [ ! -s "$dir/err" ]; then verdict PASS -h; else verdict FAIL -h; fi

echo "SUMMARY: $passed passed, $failed failed"
[ $failed -eq 0 ]
