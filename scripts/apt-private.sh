# Sourced by what fetches Debian's i386 packages: apt with a private state directory in build/guests/apt, one process at a time.
#
# The machine's own package lists, architectures and dpkg database are neither used nor changed. Only its sources and keys are shared; apt
# checks the signed indexes and the packages' hashes. Who sources this is in the repository's root and has a function die.

guests=build/guests
apt_dir=$PWD/$guests/apt

for tool in apt-get apt-cache dpkg-deb flock; do
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
mkdir -p "$apt_dir"/lists/partial "$apt_dir"/cache/archives/partial || die "cannot write to $apt_dir"
: >"$apt_dir/status"
exec 9>"$apt_dir/lock"
flock 9

# Reads the package index. An apt state without a usable one, or with an outdated one, fails later; the index's own warnings stop nothing.
apt_update() {
	echo "reading the i386 package index (apt-get update, private state in $guests/apt)"
	apt-get "${apt_options[@]}" update || echo "warning: apt-get update reported a problem; going on with what it has" >&2
	ls "$apt_dir"/lists/*_Packages* >/dev/null 2>&1 || die "no i386 package index could be read: is there a network?"
}

# download PACKAGE: leaves its file as $deb and what is in it below $apt_dir/root; $version is "PACKAGE VERSION".
download() {
	rm -rf "$apt_dir/debs" "$apt_dir/root"
	mkdir -p "$apt_dir/debs" "$apt_dir/root" || die "cannot write to $apt_dir"
	echo "downloading $1"
	(cd "$apt_dir/debs" && apt-get "${apt_options[@]}" download "$1") || die "cannot download $1"
	deb=$(echo "$apt_dir"/debs/*.deb)
	[ -s "$deb" ] || die "apt-get download left no package file for $1"
	dpkg-deb --extract "$deb" "$apt_dir/root" || die "cannot unpack $1"
	# shellcheck disable=SC2016,SC2034 # dpkg's variables; for the caller
	version=$(dpkg-deb --show --showformat='${Package} ${Version}' "$deb")
}

# Removes what download left.
apt_clean() {
	rm -rf "$apt_dir/debs" "$apt_dir/root"
}
