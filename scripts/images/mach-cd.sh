#!/bin/bash
# A CD on which GRUB boots GNU Mach, which talks to the first serial port. $1 is the path of the image to make.
set -eu
work=$(mktemp -d "$1.XXXXXX")
trap 'rm -rf "$work"' EXIT
scripts/fetch-package.sh gnumach-image-1.8-486 >&2
mkdir -p "$work/cd/boot/grub"
gzip -dc build/guests/packages/gnumach-image-1.8-486/boot/gnumach-1.8-486.gz >"$work/cd/boot/gnumach"
cat >"$work/cd/boot/grub/grub.cfg" <<'CFG'
multiboot /boot/gnumach gnumach console=com0
boot
CFG
grub-mkrescue -d /usr/lib/grub/i386-pc --locales= --fonts= --themes= -o "$work/new" "$work/cd" >&2
mv "$work/new" "$1"
