# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Small initial root file systems for VMs. Source it after common.sh.

PATH=$PATH:/usr/sbin:/sbin

# modules_for KERNEL-DIR MODULE…: the modules' files, each after what it needs
modules_for() {
	modprobe -C /dev/null -d "$1" -S "$(cat "$1/release")" -a --show-depends "${@:2}" |
		sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

# fill_initramfs KERNEL-DIR INIT MODULES TMP DIR
fill_initramfs() {
	local kernel=$1 init=$2 modules=$3 tmp=$4 file name n=10
	mkdir -p "$tmp"/root/{bin,modules,dev,proc,sys,run,lower,new}
	install -m 755 "$init" "$tmp/root/init"
	install -m 755 "$busybox" "$tmp/root/bin/busybox"
	ln -s busybox "$tmp/root/bin/sh"
	# shellcheck disable=SC2086
	for file in ${modules:+$(modules_for "$kernel" $modules)}; do
		name=$n-$(basename "$file")
		case $file in
		*.xz) xz -dc "$file" >"$tmp/root/modules/${name%.xz}" ;;
		*.zst) zstd -qdc "$file" >"$tmp/root/modules/${name%.zst}" ;;
		*) cp "$file" "$tmp/root/modules/$name" ;;
		esac
		n=$((n + 1))
	done
	(cd "$tmp/root" && find . -print0 | cpio --quiet -0 -o -H newc -R 0:0 >"$tmp/cpio")
	rm -r "$tmp/root"
}

# initramfs KERNEL-DIR INIT MODULES: print the path of an uncompressed cpio with
# busybox, the script INIT as /init, and the MODULES with what they need in
# /modules, named so that sorting gives the order to load them in. The machine's own busybox,
# unless MZP_BUSYBOX names another.
initramfs() {
	local kernel=$1 init=$2 key
	need cpio check
	need modprobe check
	busybox=${MZP_BUSYBOX:-$(command -v busybox)} || die "busybox is missing; run: tests/setup check"
	key=$({ recipe "$init" "$busybox" "${BASH_SOURCE[0]}"; echo "$@"; } | sha256sum | cut -c1-12)
	echo "$(cached "initramfs/$(basename "$init")" "$key" fill_initramfs "$@")/cpio"
}
