# Sourced by the scripts that make images to boot from. They run in the repository's root with the path of the image to make as $1, need no
# root, and rename a whole file to that path, so a second one at the same time is harmless. $work is gone at the end.
set -eu
PATH=$PATH:/usr/sbin:/sbin

packages=build/guests/packages
target=$1
mkdir -p "$(dirname "$target")"
work=$(mktemp -d "$target.XXXXXX")
trap 'rm -rf "$work"' EXIT
new=$work/new

# need PACKAGE...: fetches them to $packages.
need() {
	scripts/fetch-package.sh "$@" >&2
}

# put FILE SECTOR: writes a file into the image.
put() {
	dd if="$1" of="$new" bs=512 seek="$2" conv=notrunc status=none
}

# bytes OFFSET BYTE...: writes bytes, octal escapes, into the image.
bytes() {
	printf "$2" | dd of="$new" bs=1 seek="$1" conv=notrunc status=none
}

# partition TYPE SECTORS: an MBR partition table with one active partition of that type (octal) at sector 2048. Begins and ends in LBA only:
# the fields for cylinders say "too large", as fdisk writes them.
partition() {
	bytes 446 '\200\376\377\377\'"$1"'\376\377\377\000\010\000\000'"$(printf '\\%03o\\%03o\\%03o\\%03o' $(($2 & 255)) $(($2 >> 8 & 255)) $(($2 >> 16 & 255)) $(($2 >> 24)))"
	bytes 510 '\125\252'
}

finish() {
	mv "$new" "$target"
}
