# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Debian packages without installing them: an apt of our own in the cache, which
# knows one Debian release, its updates (those for security too) and its backports
# from the mirror that the machine itself uses, and checks signatures as the
# machine's does. Source it after common.sh.

# The machine's own release: only its packages can use what is installed here.
apt_machine=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)

# apt_release NAME [KIND [ARCH]]: be about that release from now on; bookworm unless called.
# What the packages of the machine's own release need may be installed there. Any other's
# need their own C library, so there nothing counts as installed, and a closure is whole:
# these are foreign. KIND deb-src: about sources instead. ARCH: Debian's name for it.
apt_release() {
	local status=/var/lib/dpkg/status
	apt_name=$1 apt_kind=${2-deb} apt_arch=${3-amd64} apt_foreign=
	# shellcheck disable=SC2154
	apt_dir=$cache/apt-$apt_name
	[[ $apt_kind == deb ]] || apt_dir+=-source
	[[ $apt_arch == amd64 ]] || apt_dir+=-$apt_arch
	if [[ $apt_name != "$apt_machine" || $apt_arch != amd64 ]]; then
		apt_foreign=yes
		status=$apt_dir/nothing-installed
	fi
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
		-o APT::Architecture="$apt_arch"
		-o APT::Architectures="$apt_arch"
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

# security_of MAIN: where the security updates are: the machine's source of them, or beside
# MAIN, since a machine that was just made may have none. Not every mirror has them there.
security_of() {
	local security
	security=$(mirror_of '[a-z]+-security')
	echo "${security:-${1%/debian}/debian-security}"
}

# apt_sources MAIN [SECURITY]: the contents of a sources.list
apt_sources() {
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg suite
	local suites=("$apt_name" "$apt_name"-{updates,backports})
	[[ -e $keyring ]] || die "no $keyring; this needs a Debian machine"
	# nothing is beside the unstable release
	[[ $apt_name != sid ]] || suites=(sid)
	for suite in "${suites[@]}"; do
		echo "$apt_kind [signed-by=$keyring] $1 $suite main"
	done
	[[ $apt_name == sid || ! ${2-} ]] ||
		echo "$apt_kind [signed-by=$keyring] $2 $apt_name-security main"
}

# apt_update: new lists; without a network those that are there
apt_update() {
	note "fetching package lists of $apt_name"
	apt-get "${apt_opts[@]}" -o APT::Update::Error-Mode=any update >&2 || {
		[[ -e $apt_dir/updated ]] || return 1
		note "no new package lists; going on with those of $(date -r "$apt_dir/updated" +%F)"
	}
	touch "$apt_dir/updated"
}

# apt_ready: sources written, lists not older than a day. Call with the lock.
apt_ready() {
	local main security list=$apt_dir/sources.list
	mkdir -p "$apt_dir"/{state/lists/partial,cache}
	touch "$apt_dir/nothing-installed"
	main=$(mirror_of '(bookworm|trixie|stable|testing|sid|unstable)')
	[[ $main ]] || die "the machine's apt names no Debian mirror"
	security=$(security_of "$main")
	apt_sources "$main" "$security" >"$list.new"
	if ! cmp -s "$list.new" "$list"; then
		rm -f "$apt_dir/updated"
		mv "$list.new" "$list"
	elif [[ $(find "$apt_dir/updated" -mtime -1 2>/dev/null) ]]; then
		return
	fi
	apt_update || {
		note "going on without security updates: are they at $security?"
		apt_sources "$main" >"$list"
		apt_update
	}
}

# apt_lock COMMAND…: run it while no other caller uses our apt.
apt_lock() {
	mkdir -p "$cache/lock"
	( flock 8; apt_ready; "$@" ) 8>"$cache/lock/apt"
}

# apt_from SUITE: set apt_suite to the options that take packages from it. For the plain
# release none: its security updates must win. NAME-main is it without any updates, even
# if they are installed.
apt_from() {
	apt_suite=()
	[[ $1 == "$apt_name" ]] || apt_suite=(-o APT::Default-Release="${1%-main}")
	[[ $1 != *-main ]] || apt_suite+=(-o Dir::State::status="$apt_dir/nothing-installed")
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

# unpack DIR TO: unpack DIR's .deb files to TO, and drop them. Of foreign ones all is below
# TO/usr, as it is on a machine, where older releases' /lib and /bin are links.
unpack() {
	local deb folder
	mkdir -p "$2"
	for folder in bin sbin lib lib64; do
		[[ $apt_foreign ]] || break
		mkdir -p "$2/usr/$folder"
		ln -sfn "usr/$folder" "$2/$folder"
	done
	for deb in "$1"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -C "$2" -x --keep-directory-symlink
	done
	rm -r "$1"
}
