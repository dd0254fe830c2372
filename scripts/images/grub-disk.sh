#!/bin/bash
# A disk as an installer would leave it: an MBR partition table, GRUB 2 in the gap behind it, and one ext4 file system with Debian's 686 kernel,
# an initramfs with the drivers of the disk, GRUB's modules and configuration, and busybox as everything else.
. scripts/images/lib.sh
need grub-pc-bin
scripts/fetch-guests.sh 686 >&2
guests=build/guests
grub=$packages/grub-pc-bin/usr/lib/grub/i386-pc
sectors=131072

# What the kernel runs first: it loads the drivers and goes over to the disk.
early=$work/early
mkdir -p "$early"/{bin,dev,proc,root}
cp $guests/busybox "$early/bin/"
(cd "$early" && zcat "$OLDPWD/$guests/686/drivers.cpio.gz" | cpio --quiet -id)
for unused in sr_mod cdrom isofs floppy; do
	rm "$early/modules/$unused.ko"
done
cat >"$early/init" <<'INIT'
#!/bin/busybox sh
busybox mount -t devtmpfs devtmpfs /dev
for module in $(busybox cat /modules/list); do
	[ ! -e "/modules/$module.ko" ] || busybox insmod "/modules/$module.ko"
done
until [ -e /dev/sda1 ]; do
	busybox sleep 0.1
done
busybox mount -t ext4 /dev/sda1 /root
busybox mount --move /dev /root/dev
exec busybox switch_root /root /sbin/init
INIT
chmod 755 "$early/init"

root=$work/root
mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,tmp,root,etc,boot/grub/i386-pc}
cp $guests/busybox "$root/bin/"
chmod 755 "$root/bin/busybox"
ln -s ../bin/busybox "$root/sbin/init"
cp $guests/686/vmlinuz "$root/boot/"
(cd "$early" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | gzip -9 -n >"$root/boot/initrd.gz"
cp $grub/*.mod $grub/*.lst "$root/boot/grub/i386-pc/"
cat >"$root/boot/grub/grub.cfg" <<'CFG'
serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
set timeout=1
menuentry "Linux from the disk" {
	linux /boot/vmlinuz root=/dev/sda1 rw console=ttyS0
	initrd /boot/initrd.gz
}
CFG
cat >"$root/etc/inittab" <<'INITTAB'
::sysinit:/etc/start
ttyS0::respawn:/etc/shell
::ctrlaltdel:/sbin/reboot
::shutdown:/bin/umount -a -r
INITTAB
cat >"$root/etc/start" <<'START'
#!/bin/busybox sh
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
hostname ringer
START
cat >"$root/etc/shell" <<'SHELL'
#!/bin/busybox sh
export HOME=/root PS1='\u@\h:\w\$ ' TERM=vt100
cd /root
exec sh
SHELL
echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
chmod 755 "$root"/etc/{start,shell}

truncate -s $((sectors * 512)) "$new"
mkfs.ext4 -q -E offset=1048576,root_owner=0:0 -L disk -d "$root" "$new" $(((sectors - 2048) / 2))k
grub-mkimage -O i386-pc -d "$grub" -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" biosdisk part_msdos ext2
[ "$(stat -c %s "$work/core.img")" -le $((2047 * 512)) ]
# GRUB's boot sector says by itself that the rest begins at sector 1. On disks the firmware's drive number is right: no check.
head -c 440 "$grub/boot.img" >"$work/boot"
put "$work/boot" 0
bytes $((0x66)) '\220\220'
put "$work/core.img" 1
partition 203 $((sectors - 2048))
finish
