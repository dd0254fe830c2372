#!/bin/bash
# Installs what Ringer's build and its tests need, on a Debian-family machine. Says what it installs; if all is there it does nothing.
#   scripts/install-deps.sh [bench-report]    for `make bench-report`: what only that needs
set -u

# A tool, header or library file of each package tells whether it is there, so that hand-made installations count too.
# "package|test": the test is a shell command.
needs=(
	"gcc|command -v gcc"
	"make|command -v make"
	"pkg-config|command -v pkg-config"
	"libc6-dev|[ -e /usr/include/stdio.h ]"
	"libzydis-dev|header Zydis/Zydis.h"
	"libcapstone-dev|header capstone/capstone.h"
	"libncurses-dev|header ncursesw/curses.h"
	"libvncserver-dev|header rfb/rfb.h"
	"libpng-dev|header png.h"
	"libreadline-dev|header readline/readline.h"
	"check|header check.h"
	"acpica-tools|command -v iasl"
	"gcc-multilib|multilib"
	"cpio|command -v cpio"
	"gzip|command -v gzip"
	"xz-utils|command -v xz"
	"clang-format|command -v clang-format"
	"clang|command -v clang"
	"libclang-rt-dev|fuzzer"
	"seabios|[ -e /usr/share/seabios/bios-256k.bin ] && [ -e /usr/share/seabios/vgabios-stdvga.bin ]"
	"qemu-system-x86|command -v qemu-system-i386"
	"xorriso|command -v xorriso"
	"grub-common|command -v grub-mkrescue"
	"grub-pc-bin|[ -e /usr/lib/grub/i386-pc/cdboot.img ]"
	"mtools|command -v mformat"
	"e2fsprogs|sbin mkfs.ext4"
	"syslinux|command -v syslinux"
	"valgrind|command -v valgrind"
	"python3|command -v python3"
	"gdb|command -v gdb"
)
if [ "${1-}" = bench-report ]; then
	needs=("python3|command -v python3" "gnuplot-nox|command -v gnuplot")
fi

header() {
	echo "#include <$1>" | gcc -E - >/dev/null 2>&1
}
# Not in every user's PATH.
sbin() {
	PATH=$PATH:/usr/sbin:/sbin command -v "$1"
}
# What gcc -m32 needs: its own 32-bit libgcc.
multilib() {
	[ -e "$(gcc -m32 -print-libgcc-file-name 2>/dev/null)" ]
}
# libFuzzer and the sanitizers of the clang that there is. (Distributions older than the package's name ship them with clang itself.)
fuzzer() {
	[ -n "$(find "$(clang -print-resource-dir)" -name 'libclang_rt.fuzzer*.a' -print -quit)" ]
}

missing=()
for need in "${needs[@]}"; do
	eval "${need#*|}" >/dev/null 2>&1 || missing+=("${need%%|*}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "install-deps: please install what provides these Debian packages: ${missing[*]}" >&2
	exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "install-deps: not root, and sudo is not here. Please install: ${missing[*]}" >&2
		exit 1
	fi
	as_root=(sudo)
fi
echo "install-deps: installing ${missing[*]}"

apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 "$@"
}
# The index may never have been read, or be out of date. A foreign source that fails must not stop the rest.
apt update || echo "install-deps: warning: apt-get update reported a problem; going on with what it has" >&2
apt install -y --no-install-recommends "${missing[@]}" || {
	echo "install-deps: could not install: ${missing[*]}" >&2
	exit 1
}
