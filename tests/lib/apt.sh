# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Debian packages without installing them: an apt of our own in the cache,
# which knows one Debian release, its updates and its backports from the mirror
# that the machine itself uses. Source it after common.sh.

# apt_release NAME [KIND]: be about that release from now on; bookworm unless called.
# What bookworm's packages need may be installed on the machine. Any other
# release's packages need their own C library, so there nothing counts as
# installed, and a closure is whole. KIND deb-src: about sources instead.
apt_release() {
	local status=/var/lib/dpkg/status
	apt_name=$1 apt_kind=${2-deb}
	# shellcheck disable=SC2154
	apt_dir=$cache/apt
	if [[ $apt_name != bookworm ]]; then
		apt_dir+=-$apt_name
		status=$apt_dir/nothing-installed
	fi
	[[ $apt_kind == deb ]] || apt_dir+=-source
	apt_opts=(
		-q
		-o Dir::State="$apt_dir/state"
		-o Dir::State::status="$status"
		-o Dir::Cache="$apt_dir/cache"
		-o Dir::Etc::sourcelist="$apt_dir/sources.list"
		-o Dir::Etc::sourceparts=/dev/null
		-o Dir::Etc::preferences=/dev/null
		-o Dir::Etc::preferencesparts=/dev/null
		-o Debug::NoLocking=true # apt_lock does it
		-o APT::Sandbox::User=root
		-o APT::Install-Recommends=false
		-o Acquire::Languages=none
		-o Acquire::Retries=3
	)
}
apt_release bookworm

# mirror_of SUITE-PATTERN: base address of the machine's first source with it.
mirror_of() {
	apt-get -o Dir::State="$apt_dir/state" -o Dir::State::status=/var/lib/dpkg/status \
		update --print-uris |
		sed -nE "s,^'([^']*)/dists/$1/InRelease'.*,\\1,p" | head -n 1
}

# apt_ready: sources written, lists not older than a day. Call with the lock.
apt_ready() {
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg main security
	local suites=("$apt_name" "$apt_name"-{updates,backports}) suite
	mkdir -p "$apt_dir"/{state/lists/partial,cache}
	touch "$apt_dir/nothing-installed"
	[[ -e $keyring ]] || die "no $keyring; this needs a Debian machine"
	main=$(mirror_of '(bookworm|trixie|stable|testing|sid|unstable)')
	security=$(mirror_of '[a-z]+-security')
	[[ $main ]] || die "the machine's apt names no Debian mirror"
	# nothing is beside the unstable release
	[[ $apt_name != sid ]] || suites=(sid) security=
	{
		for suite in "${suites[@]}"; do
			echo "$apt_kind [signed-by=$keyring] $main $suite main"
		done
		[[ ! $security ]] ||
			echo "$apt_kind [signed-by=$keyring] $security $apt_name-security main"
	} >"$apt_dir/sources.new"
	if ! cmp -s "$apt_dir/sources.new" "$apt_dir/sources.list" ||
		[[ -z $(find "$apt_dir/updated" -mtime -1 2>/dev/null) ]]; then
		mv "$apt_dir/sources.new" "$apt_dir/sources.list"
		note "fetching package lists"
		apt-get "${apt_opts[@]}" -o APT::Update::Error-Mode=any update >&2
		touch "$apt_dir/updated"
	fi
}

# apt_lock COMMAND…: run it while no other caller uses our apt.
apt_lock() {
	mkdir -p "$cache/lock"
	( flock 8; apt_ready; "$@" ) 8>"$cache/lock/apt"
}

# apt_from SUITE: set apt_suite to the options that take packages from it. For
# the plain release none: its security updates must win.
apt_from() {
	apt_suite=()
	[[ $1 == "$apt_name" ]] || apt_suite=(-o APT::Default-Release="$1")
}

# apt_depends SUITE PACKAGE: what the newest PACKAGE of SUITE depends on.
apt_depends() {
	apt_from "$1"
	apt-cache "${apt_opts[@]}" "${apt_suite[@]}" depends "$2" |
		sed -nE 's/^ *\|?Depends: //p'
}

# apt_fetch SUITE DIR PACKAGE…: download the packages' .deb files to DIR.
apt_fetch() {
	local dir=$2
	apt_from "$1"
	shift 2
	note "fetching $*"
	mkdir -p "$dir"
	(cd "$dir" && apt-get "${apt_opts[@]}" "${apt_suite[@]}" download "$@" >&2)
}

# apt_fetch_closure SUITE DIR PACKAGE…: the same with every dependency that the
# machine lacks. The named packages are fetched even if they are installed.
apt_fetch_closure() {
	local dir=$2
	apt_from "$1"
	shift 2
	note "fetching $* and what they need"
	mkdir -p "$dir/partial"
	apt-get "${apt_opts[@]}" "${apt_suite[@]}" -o Dir::Cache::archives="$dir/" \
		-y --reinstall -d install "$@" >&2
}

# apt_source SUITE DIR PACKAGE VERSION: download the newest source of the suite's package
# whose upstream version begins with VERSION to DIR, and unpack it, with Debian's patches,
# to DIR/source.
apt_source() {
	local found
	found=$(apt-cache "${apt_opts[@]}" showsrc "$3" | sed -n 's/^Version: //p' |
		grep -E "^([0-9]+:)?$4[.+-]" | sort -rV | head -n 1)
	[[ $found ]] || die "$1 has no $3 $4; it has $(apt-cache "${apt_opts[@]}" showsrc "$3" |
		sed -n 's/^Version: //p' | tr '\n' ' ')"
	note "fetching the source of $3 $found"
	mkdir -p "$2"
	(
		cd "$2"
		apt-get "${apt_opts[@]}" --download-only source "$3=$found" >&2
		# apt has verified it; dpkg knows fewer keys
		dpkg-source --no-check --no-copy -q -x ./*.dsc source >&2
	)
}

# unpack DIR TO: unpack DIR's .deb files to TO, and drop them.
unpack() {
	local deb
	for deb in "$1"/*.deb; do
		dpkg-deb -x "$deb" "$2"
	done
	rm -r "$1"
}
