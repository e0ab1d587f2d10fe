# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Sourced by tests/packages/secureboot and mok, after common.sh and initramfs.sh: a machine with
# Secure Boot on, and the module to load there. Goes to a folder that is gone at the end.

need openssl check
# shellcheck disable=SC2154
kernel=$("$top/tests/vm/kernel" 6.1)
qemu=$("$top/tests/vm/qemu" stable)
module=$top/build/kmod/$(<"$kernel/release")/multifd_zp.ko
[[ -e $module ]] || die "no $module; run: make module KDIR=\$(tests/vm/kernel 6.1)/build"
firmware=/usr/share/OVMF
[[ -e $firmware/OVMF_CODE_4M.secboot.fd ]] || die "no firmware; run: tests/setup check"

work=$(mktemp -d "${TMPDIR:-/tmp}/mzp-secureboot.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit

# signed KEY CERTIFICATE FILE: the module as DKMS signs it, to FILE
signed() {
	strip --strip-debug -o "$3" "$module"
	"$kernel/build/scripts/sign-file" sha256 "$1" "$2" "$3"
}

# initial_root INIT MODULES FILE…: print one, to which FILEs are added
initial_root() {
	local initrd
	initrd=$(initramfs "$kernel" "$top/tests/packages/$1" "$2")
	shift 2
	cat "$initrd"
	printf '%s\0' "$@" | cpio --quiet -0 -o -H newc -R 0:0
}

# machine KEYS: set vm to QEMU's command for one whose firmware has these, with what it keeps
# in the file vars
machine() {
	cp "$firmware/OVMF_VARS_4M.$1.fd" vars
	# shellcheck disable=SC2034,SC2054
	vm=("$qemu" -nodefaults -no-user-config -display none -machine q35,smm=on -accel tcg
		-cpu max -m 1G -global driver=cfi.pflash01,property=secure,value=on
		-drive "if=pflash,unit=0,format=raw,readonly=on,file=$firmware/OVMF_CODE_4M.secboot.fd"
		-drive if=pflash,unit=1,format=raw,file=vars)
}
