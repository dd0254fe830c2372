#!/bin/bash
# Fetches Debian's i386 kernels and its static busybox with apt, as any user, into build/guests.
#   scripts/fetch-guests.sh [FLAVOUR...]     686, 686-pae, rt-686-pae; all three without arguments
# Leaves build/guests/FLAVOUR/vmlinuz, build/guests/busybox and, with 686, the drivers of disks in build/guests/686/drivers.cpio.gz. What is there already is not fetched again, so a second call works offline.
set -u
cd "$(dirname "$0")/.." || exit 1

guests=build/guests
[ $# -gt 0 ] || set -- 686 686-pae rt-686-pae

die() {
	echo "fetch-guests: $*" >&2
	exit 1
}

for flavour; do
	case $flavour in
	686 | 686-pae | rt-686-pae) ;;
	*) die "there is no kernel flavour '$flavour' (686, 686-pae, rt-686-pae)" ;;
	esac
done

# have FILE: it is there and is what was fetched.
have() {
	[ -s "$1" ] && [ -s "$1.sha256" ] && [ "$(sha256sum <"$1")" = "$(cat "$1.sha256")" ]
}

missing=()
for flavour; do
	have "$guests/$flavour/vmlinuz" || missing+=("$flavour")
done
drivers=(ata_piix sd_mod sr_mod isofs floppy crct10dif_generic crc32c_generic ext4)
for flavour; do
	[ "$flavour" != 686 ] || have "$guests/686/drivers.cpio.gz" || missing+=(drivers)
done
have "$guests/busybox" || missing+=(busybox)
[ ${#missing[@]} -gt 0 ] || exit 0

. scripts/apt-private.sh
apt_update

# kernel_package FLAVOUR: the versioned package behind the meta-package.
kernel_package() {
	apt-cache "${apt_options[@]}" depends "linux-image-$1" 2>/dev/null |
		sed -n 's/^ *|\?Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}

# fetch PACKAGE FILE: downloads a package, leaves its file FILE (a glob, relative to the package's root) as $fetched.
fetch() {
	download "$1"
	fetched=$(find "$apt_dir/root" -type f -path "$apt_dir/root/$2" | head -n 1)
	[ -s "$fetched" ] || die "$1 does not hold $2"
}

# keep TARGET: moves $fetched to its place; the hash comes last and makes it valid.
keep() {
	if ! { mkdir -p "$(dirname "$1")" && rm -f "$1.sha256" && mv "$fetched" "$1" && echo "$version" >"$1.version" &&
		sha256sum <"$1" >"$1.sha256.new" && mv "$1.sha256.new" "$1.sha256"; }; then
		die "cannot write $1"
	fi
	echo "fetch-guests: $1 is from $version"
}

for item in "${missing[@]}"; do
	if [ "$item" = busybox ]; then
		fetch busybox-static '*bin/busybox'
		keep "$guests/busybox"
		chmod 755 "$guests/busybox"
	elif [ "$item" = drivers ]; then
		# Those of the very kernel that is there.
		fetch "$(cut -d' ' -f1 "$guests/686/vmlinuz.version")" 'lib/modules/*'
		fetched=$apt_dir/root/drivers.cpio.gz
		scripts/guest-drivers.py "$apt_dir/root/lib/modules" "$fetched" "${drivers[@]}" || die "cannot pack the drivers"
		keep "$guests/686/drivers.cpio.gz"
	else
		package=$(kernel_package "$item")
		[ -n "$package" ] || die "this machine's package sources have no i386 package linux-image-$item (Debian 12 has)"
		fetch "$package" 'boot/vmlinuz-*'
		keep "$guests/$item/vmlinuz"
	fi
done
apt_clean
