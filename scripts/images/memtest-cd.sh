#!/bin/bash
# A CD on which GRUB boots memtest86+ by its 16-bit entry (linux16). $1 is the path of the image to make.
set -eu
work=$(mktemp -d "$1.XXXXXX")
trap 'rm -rf "$work"' EXIT
scripts/fetch-package.sh memtest86+ >&2
mkdir -p "$work/cd/boot/grub"
cp build/guests/packages/memtest86+/boot/memtest86+ia32.bin "$work/cd/boot/memtest"
cat >"$work/cd/boot/grub/grub.cfg" <<'CFG'
linux16 /boot/memtest console=ttyS0,115200
boot
CFG
grub-mkrescue -d /usr/lib/grub/i386-pc --locales= --fonts= --themes= -o "$work/new" "$work/cd" >&2
mv "$work/new" "$1"
