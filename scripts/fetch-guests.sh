#!/bin/bash
# Fetches Debian's i386 kernels and its static busybox with apt, as any user, into build/guests.
#   scripts/fetch-guests.sh [FLAVOUR...]     686, 686-pae, rt-686-pae; all three without arguments
# Leaves build/guests/FLAVOUR/vmlinuz, build/guests/busybox and, with 686, the drivers of disks in build/guests/686/drivers.cpio.gz. What is there already is not fetched again, so a second call works offline.
#
# apt gets a private state directory: the machine's own package lists, architectures and dpkg database are neither used nor changed.
# Only its sources and keys are shared; apt checks the signed indexes and the packages' hashes.
set -u
cd "$(dirname "$0")/.." || exit 1

guests=build/guests
apt_dir=$PWD/$guests/apt
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

for tool in apt-get apt-cache dpkg-deb; do
	command -v $tool >/dev/null || die "$tool is not here: Debian's packages can be fetched on a Debian-family machine only"
done

apt_options=(
	-q
	-o APT::Architecture=i386 -o APT::Architectures=i386
	-o "Dir::State::Lists=$apt_dir/lists" -o "Dir::State::status=$apt_dir/status" -o "Dir::Cache=$apt_dir/cache"
	-o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=3
	-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
	-o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
)
mkdir -p "$apt_dir"/lists/partial "$apt_dir"/cache/archives/partial "$apt_dir"/debs || die "cannot write to $apt_dir"
: >"$apt_dir/status"

# An apt state without a usable index, or with an outdated one, fails below; the index's own warnings stop nothing.
echo "fetch-guests: reading the i386 package index (apt-get update, private state in $guests/apt)"
apt-get "${apt_options[@]}" update || echo "fetch-guests: warning: apt-get update reported a problem; going on with what it has" >&2

ls "$apt_dir"/lists/*_Packages* >/dev/null 2>&1 || die "no i386 package index could be read: is there a network?"

# kernel_package FLAVOUR: the versioned package behind the meta-package.
kernel_package() {
	apt-cache "${apt_options[@]}" depends "linux-image-$1" 2>/dev/null |
		sed -n 's/^ *|\?Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
}

# fetch PACKAGE FILE: downloads a package, leaves its file FILE (a glob, relative to the package's root) as $fetched.
fetch() {
	local package=$1 glob=$2 deb
	rm -rf "$apt_dir/debs" "$apt_dir/root"
	mkdir -p "$apt_dir/debs" "$apt_dir/root" || die "cannot write to $apt_dir"
	echo "fetch-guests: downloading $package"
	(cd "$apt_dir/debs" && apt-get "${apt_options[@]}" download "$package") || die "cannot download $package"
	deb=$(echo "$apt_dir"/debs/*.deb)
	[ -s "$deb" ] || die "apt-get download left no package file for $package"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$apt_dir/root" --wildcards "./$glob" || die "$package does not hold $glob"
	fetched=$(find "$apt_dir/root" -type f -path "$apt_dir/root/$glob" | head -n 1)
	[ -s "$fetched" ] || die "$package does not hold $glob"
	# shellcheck disable=SC2016 # dpkg's variables
	version=$(dpkg-deb --show --showformat='${Package} ${Version}' "$deb")
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
rm -rf "$apt_dir/debs" "$apt_dir/root"
