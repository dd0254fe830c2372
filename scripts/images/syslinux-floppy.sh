#!/bin/bash
# A FAT floppy with SYSLINUX, its menu on the serial port, and MEMDISK with a floppy image of legacy GRUB.
. scripts/images/lib.sh
need syslinux-common
scripts/images/grub-legacy-floppy.sh "$work/inner"
modules=$packages/syslinux-common/usr/lib/syslinux

mformat -C -i "$new" -f 1440 -v SYSLINUX ::
gzip -9 -n "$work/inner"
cat >"$work/syslinux.cfg" <<'CFG'
SERIAL 0 115200
UI menu.c32
MENU TITLE A floppy
TIMEOUT 300
LABEL inner
	MENU LABEL GRUB in memory
	KERNEL memdisk
	INITRD inner.gz
	APPEND floppy
LABEL disk
	MENU LABEL The disk
	COM32 chain.c32
	APPEND hd0
CFG
mcopy -i "$new" "$work/syslinux.cfg" "$work/inner.gz" "$modules/memdisk" "$modules"/modules/bios/{menu,chain,libcom32,libutil}.c32 ::/
syslinux --install "$new"
finish
