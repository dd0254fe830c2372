#!/bin/bash
# A FAT floppy with GRUB 0.97: stage 1 as its boot sector, stage 2 in the reserved sectors behind it, its menu and memtest86+ as files.
. scripts/images/lib.sh
need grub-legacy memtest86+
grub=$packages/grub-legacy/usr/lib/grub/i386-pc

sectors=$((($(stat -c %s "$grub/stage2") + 511) / 512))
mformat -C -i "$new" -f 1440 -R $((1 + sectors)) -v GRUBLEGACY ::
# The boot sector's jump and code; what FAT says of the disk stays. Stage 1 looks for stage 2 at sector 1, and that for its rest at 2.
head -c 3 "$grub/stage1" >"$work/jump"
tail -c +63 "$grub/stage1" | head -c 448 >"$work/code"
dd if="$work/jump" of="$new" bs=1 conv=notrunc status=none
dd if="$work/code" of="$new" bs=1 seek=62 conv=notrunc status=none
bytes 510 '\125\252'
put "$grub/stage2" 1
cat >"$work/menu.lst" <<'MENU'
serial --unit=0 --speed=115200
terminal --timeout=0 serial
timeout 30
title Memory test
	root (fd0)
	kernel /memtest.bin console=ttyS0,115200
title Hard disk
	rootnoverify (hd0)
	chainloader +1
MENU
mmd -i "$new" ::/boot ::/boot/grub
mcopy -i "$new" "$work/menu.lst" ::/boot/grub/
mcopy -i "$new" "$packages/memtest86+/boot/memtest86+ia32.bin" ::/memtest.bin
finish
