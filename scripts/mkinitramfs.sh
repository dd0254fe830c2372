#!/bin/bash
# Builds build/guests/initramfs.cpio.gz: busybox, an /init that makes a usable console, and the tests of tests/boot/guest.
# Needs no root: there are no device nodes in it. The kernel brings /dev/console along, the rest is devtmpfs.
set -eu
cd "$(dirname "$0")/.."

guests=build/guests
out=$guests/initramfs.cpio.gz
root=$guests/initramfs

[ -s $guests/busybox ] || {
	echo "mkinitramfs: $guests/busybox is missing (scripts/fetch-guests.sh gets it)" >&2
	exit 1
}
# Nothing to do if it is newer than all that it is made from.
if [ -s $out ] && [ -z "$(find scripts/mkinitramfs.sh scripts/initramfs tests/boot/guest $guests/busybox -newer $out | head -n 1)" ]; then
	exit 0
fi

rm -rf $root
mkdir -p $root/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,tmp,root,etc,tests}
cp $guests/busybox $root/bin/busybox
cp -r scripts/initramfs/. $root/
cp -r tests/boot/guest/. $root/tests/
chmod 755 $root/init $root/bin/busybox $root/tests/*

# Known data, and what the guest's sha256sum must say about it and about what it can make itself.
seq 1 50000 >$root/tests/data
gzip -9 -n -c $root/tests/data >$root/tests/data.gz
sha256sum <$root/tests/data | cut -d' ' -f1 >$root/tests/data.sha256
seq 1 20000 | sed 's/7/seven/g' | sort -r | sha256sum | cut -d' ' -f1 >$root/tests/made.sha256
rm $root/tests/data

(cd $root && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) | gzip -9 -n >$out.new
mv $out.new $out
echo "mkinitramfs: $out, $(stat -c %s $out) bytes"
