#!/bin/bash
# A disk with an MBR partition table and one FAT16 file system: SYSLINUX's boot records, menu, tool for hardware detection, Debian's 686 kernel.
. scripts/images/lib.sh
need syslinux-common
scripts/fetch-guests.sh 686 >&2
scripts/mkinitramfs.sh >&2
gzip -t build/guests/initramfs.cpio.gz
modules=$packages/syslinux-common/usr/lib/syslinux
sectors=65536

truncate -s $((sectors * 512)) "$new"
partition 016 $((sectors - 2048))
head -c 440 "$modules/mbr/mbr.bin" >"$work/boot"
put "$work/boot" 0
mformat -i "$new@@1M" -T $((sectors - 2048)) -H 2048 -h 16 -s 63 -v SYSLINUX ::
cat >"$work/syslinux.cfg" <<'CFG'
SERIAL 0 115200
UI menu.c32
MENU TITLE A disk
TIMEOUT 300
LABEL linux
	MENU LABEL Linux
	LINUX vmlinuz
	INITRD initrd.gz
	APPEND console=ttyS0
LABEL hdt
	MENU LABEL Hardware
	COM32 hdt.c32
CFG
mcopy -i "$new@@1M" build/guests/686/vmlinuz ::/vmlinuz
mcopy -i "$new@@1M" build/guests/initramfs.cpio.gz ::/initrd.gz
mcopy -i "$new@@1M" "$work/syslinux.cfg" "$modules"/modules/bios/{menu,chain,hdt,libcom32,libutil,libgpl,libmenu}.c32 ::/
syslinux --install --offset 1048576 "$new"
finish
