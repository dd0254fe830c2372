#!/bin/bash
# Fetches Debian packages (i386, or for all architectures) with apt, as any user, and unpacks them: what guests are made from.
#   scripts/fetch-package.sh PACKAGE...
# Leaves each in build/guests/packages/PACKAGE/ with its version beside it. What is there already is not fetched again. Nothing is installed.
set -u
cd "$(dirname "$0")/.." || exit 1

die() {
	echo "fetch-package: $*" >&2
	exit 1
}

# The version comes last and makes it valid.
have() {
	[ -s "build/guests/packages/$1.version" ]
}

all_there() {
	local package
	for package; do
		have "$package" || return 1
	done
}

[ $# -gt 0 ] || die "which package?"
all_there "$@" && exit 0

. scripts/apt-private.sh
# Somebody else may have fetched them meanwhile.
all_there "$@" && exit 0
ls "$apt_dir"/lists/*_Packages* >/dev/null 2>&1 || apt_update
packages=$guests/packages
mkdir -p "$packages" || die "cannot write to $packages"
for package; do
	have "$package" && continue
	# An index of some weeks ago names files that are gone.
	(download "$package") || apt_update
	download "$package"
	rm -rf "${packages:?}/$package"
	if ! { mv "$apt_dir/root" "$packages/$package" && echo "$version" >"$packages/$package.version"; }; then
		die "cannot write to $packages"
	fi
done
apt_clean
