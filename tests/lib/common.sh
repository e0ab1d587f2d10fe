# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Shared by the scripts below tests/: where things are, how to fail, and how
# to keep something big in the cache. Source it after `set -euo pipefail`.

shopt -s inherit_errexit

# The project, and the cache, which is never inside it.
# shellcheck disable=SC2034
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/multifd_zp

note() {
	echo "${0##*/}: $*" >&2
}

die() {
	note "$@"
	exit 1
}

# usage_from_header: print the calling script's own opening comment.
usage_from_header() {
	sed -n '4,/^[^#]/{ s/^# \{0,1\}//p }' "$0"
}

# need COMMAND GROUP: COMMAND is there, or say how to get it.
need() {
	command -v "$1" >/dev/null || die "$1 is missing; run: tests/setup $2"
}

# recipe FILE…: a short digest of how something is made. The cache's own path
# is part of it, because made things may contain it.
recipe() {
	{ echo "$cache"; cat -- "$@"; } | sha256sum | cut -c1-12
}

# cached NAME KEY BUILDER [ARG…]: print the folder cache/NAME-KEY, and make it
# first if it is missing: BUILDER is called with ARGs, the folder to fill, and
# the path that folder will have. Half-made folders are never visible; of two
# callers one waits for the other. NAME with a key unused for a week is removed.
cached() {
	local name=$1 dir=$cache/$1-$2
	shift 2
	if [[ -d $dir ]]; then
		touch -c "$dir"
	else
		mkdir -p "${dir%/*}" "$cache/lock"
		(
			flock 9
			[[ ! -d $dir ]] || exit 0
			tmp=$(mktemp -d "$cache/tmp.XXXXXX")
			trap 'rm -rf "$tmp"; note "could not make $dir"' EXIT
			mkdir "$tmp/new"
			"$@" "$tmp/new" "$dir" >&2
			chmod 755 "$tmp/new"
			touch "$tmp/new"
			mv -T "$tmp/new" "$dir"
			trap - EXIT
			rmdir "$tmp"
			find "$cache/tmp".* -maxdepth 0 -mtime +1 -exec rm -rf {} + 2>/dev/null || :
			find "$cache/$name"-* -maxdepth 0 -mtime +7 -exec rm -rf {} +
		) 9>"$cache/lock/${name//\//-}"
	fi
	printf '%s\n' "$dir"
}
