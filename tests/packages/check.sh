# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Sourced by what tries packages, after common.sh.

# as_root SCRIPT ARG…: the calling script goes on as root, with this cache
as_root() {
	# shellcheck disable=SC2154
	[[ $EUID == 0 ]] || exec sudo env "PATH=$PATH" "XDG_CACHE_HOME=${cache%/*}" "$@"
}

# check NAME COMMAND…: COMMAND works. What it says goes to a file in $work, and is shown if not;
# then passed is empty, and failed is set. Names begin with what is in about. COMMAND runs in a
# shell of its own, so that errexit holds within, for which check itself must not be in a
# condition.
about='' failed=0
check() {
	local name=$about$1 status=0
	shift
	passed=yes
	(
		trap - EXIT
		set -e
		"$@"
	) >"$work/said" 2>&1 &
	wait $! || status=$?
	if [[ $status == 0 ]]; then
		echo "ok $name"
		return
	fi
	# shellcheck disable=SC2034
	passed='' failed=1
	tail -n 40 "$work/said" | sed 's/^/# /'
	echo "not ok $name"
}
