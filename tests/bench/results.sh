# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# What the benchmarks that run in a VM have in common. Source it.

# take_results FILE: a VM has one output for results, progress and complaints. Of those on
# stdin, append the results, which are lines of JSON, to FILE, and pass on the rest.
take_results() {
	local line
	while IFS= read -r line; do
		case $line in
		'{'*) printf '%s\n' "$line" >>"$1" ;;
		*) printf '%s\n' "$line" >&2 ;;
		esac
	done
}
