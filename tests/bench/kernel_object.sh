# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by the scripts beside it, after tests/lib/common.sh: the module's own
# code, compiled by the kernel's makefiles with the kernel's flags, for linking
# into a program, so that it can be measured natively. comp_stubs.c is what such
# code expects of a kernel.

# kernel_object KDIR DIR SOURCE…: make DIR/kernel.o of these, which lie in DIR;
# only functions called bench_kernel_* can be called from outside
kernel_object() {
	local kdir=$1 dir=$2 renamed=() function
	shift 2
	# shellcheck disable=SC2154
	cp -r "$top/kmod" "$top/uapi" "$dir"
	{
		echo 'obj-m := bench.o'
		echo "bench-y := $(printf '%s\n' "$@" | sed 's/\.c$/.o/' | tr '\n' ' ')"
		# shellcheck disable=SC2016
		echo 'LINUXINCLUDE := -I$(src)/uapi -I$(src)/kmod $(LINUXINCLUDE)'
	} >"$dir/Kbuild"
	make -s -C "$kdir" M="$dir" bench.o >"$dir/log" 2>&1 || {
		tail -n 30 "$dir/log" >&2
		die "could not compile the kernel's part"
	}
	for function in memcpy memset memmove; do
		renamed+=(--redefine-sym "$function=kernel_$function")
	done
	objcopy "${renamed[@]}" --wildcard --keep-global-symbol='bench_kernel_*' \
		"$dir/bench.o" "$dir/kernel.o"
}

# native_program OUT KERNEL-DIR SOURCE… [-lLIBRARY…]: link a program with it
native_program() {
	local out=$1 dir=$2
	shift 2
	gcc -D_GNU_SOURCE -O2 -Wall -Wextra -no-pie -fno-pie -Wl,-z,noexecstack \
		-o "$out" "$dir/kernel.o" "$@"
}
