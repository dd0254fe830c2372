#!/bin/bash
# Makes a CD of Debian's installer that starts by GRUB 2: scripts/images/installer-grub.sh FILE
#
# GRUB's menu is on the VGA and on the serial port.
set -eu
cd "$(dirname "$0")/../.."
out=$1
trap 'rm -rf "$out.new" "$out.tree"' EXIT

scripts/fetch-package.sh debian-installer-12-netboot-i386 >&2
images=build/guests/packages/debian-installer-12-netboot-i386/usr/lib/debian-installer/images/12/i386

mkdir -p "$out.tree/boot/grub"
cat >"$out.tree/boot/grub/grub.cfg" <<'END'
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=-1

menuentry "Installer on the serial console" {
	linux /install/linux console=ttyS0 ---
	initrd /install/initrd.gz
}
menuentry "Installer in text mode" {
	linux /install/linux vga=normal fb=false nomodeset ---
	initrd /install/initrd.gz
}
END
# For the BIOS only, whatever else the host's GRUB could make.
grub-mkrescue -d /usr/lib/grub/i386-pc -o "$out.new" -- -volid INSTALLER -map "$out.tree/boot/grub/grub.cfg" /boot/grub/grub.cfg \
	-map "$images/text/debian-installer/i386/linux" /install/linux -map "$images/text/debian-installer/i386/initrd.gz" /install/initrd.gz >&2
mv "$out.new" "$out"
