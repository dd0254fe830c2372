#!/bin/bash
# Makes a CD of Debian's installer that starts by isolinux: scripts/images/installer-isolinux.sh FILE
#
# The first menu is plain text and is on the serial port as well; one of its entries is Debian's own graphical menu (vesamenu.c32), with Debian's
# picture, configuration and options.
set -eu
cd "$(dirname "$0")/../.."
out=$1
trap 'rm -rf "$out.new" "$out.tree"' EXIT

scripts/fetch-package.sh debian-installer-12-netboot-i386 isolinux syslinux-common >&2
packages=build/guests/packages
images=$packages/debian-installer-12-netboot-i386/usr/lib/debian-installer/images/12/i386
modules=$packages/syslinux-common/usr/lib/syslinux/modules/bios

# In the root directory, for Debian's configuration is relative to it.
mkdir -p "$out.tree"
cp "$packages/isolinux/usr/lib/ISOLINUX/isolinux.bin" "$modules"/{ldlinux,libcom32,libutil,menu,vesamenu}.c32 "$out.tree/"
cat >"$out.tree/isolinux.cfg" <<'END'
serial 0 115200
default menu.c32
prompt 0
menu title Installer by isolinux

label serial
	menu label Serial console
	kernel /debian-installer/i386/linux
	append initrd=/debian-installer/i386/initrd.gz console=ttyS0 ---
label text
	menu label Text mode
	kernel /debian-installer/i386/linux
	append initrd=/debian-installer/i386/initrd.gz vga=normal fb=false nomodeset ---
label framebuffer
	menu label Framebuffer
	kernel /debian-installer/i386/linux
	append initrd=/debian-installer/i386/initrd.gz vga=788 ---
label gtk
	menu label Gtk
	kernel /debian-installer/i386/linux
	append initrd=/debian-installer/i386/gtk/initrd.gz vga=788 ---
label debian
	menu label Menu of Debian
	kernel vesamenu.c32
	append debian-installer/i386/boot-screens/syslinux.cfg
END

# Both variants have the same kernel, and differ in their initial RAM disks.
xorriso -as mkisofs -quiet -r -J -V INSTALLER -o "$out.new" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
	-boot-info-table -graft-points /="$out.tree" /debian-installer/i386/linux="$images/text/debian-installer/i386/linux" \
	/debian-installer/i386/initrd.gz="$images/text/debian-installer/i386/initrd.gz" \
	/debian-installer/i386/boot-screens="$images/text/debian-installer/i386/boot-screens" \
	/debian-installer/i386/gtk/initrd.gz="$images/gtk/debian-installer/i386/initrd.gz"
mv "$out.new" "$out"
