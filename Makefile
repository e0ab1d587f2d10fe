# SPDX-License-Identifier: GPL-2.0-only
#
# `make help` says what there is.

# The kernel to build for: the running one's headers, else the newest installed.
KDIR ?= $(firstword $(wildcard /lib/modules/$(shell uname -r)/build) \
	$(shell ls -1dv /lib/modules/*/build 2>/dev/null | tail -n 1))

top := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
build := $(top)/build
release = $(shell sed -n 's/^\#define UTS_RELEASE "\(.*\)"$$/\1/p' $(KDIR)/include/generated/utsrelease.h 2>/dev/null)
kbuild = $(build)/kmod/$(release)
prefix ?= /usr/local
DESTDIR ?=
udevdir ?= /usr/lib/udev/rules.d

.PHONY: all module tools modules_install install uninstall check check-full demo demo-qemu \
	check-packages check-packages-full bench bench-quick bench-compression docs netlink dist \
	deb rpm clean help
all: module tools

# Each kernel's objects have a tree of their own, of links to the sources, so
# that several kernels can be built side by side.
module:
	@test -n "$(KDIR)" -a -n "$(release)" || { \
	  echo "No kernel headers found$(if $(KDIR), in $(KDIR)). Install linux-headers-amd64," \
	       "or name a configured kernel tree with KDIR=." >&2; exit 1; }
	@mkdir -p $(kbuild)
	@find $(kbuild) -type l -delete
	@cp -rsf $(top)/Kbuild $(top)/kmod $(top)/uapi $(kbuild)/
	$(MAKE) -C $(KDIR) M=$(kbuild) $(KBUILD_ARGS) modules
	@cp -f $(kbuild)/multifd_zp.ko $(top)/multifd_zp.ko

tools:
	$(MAKE) -C $(top)/tools O=$(build) all

# The kernel's makefiles cannot have blanks in a path: they get a link.
modules_install: module
	$(if $(DESTDIR),mkdir -p "$(DESTDIR)" && ln -sfn "$$(realpath "$(DESTDIR)")" $(kbuild)/dest)
	$(MAKE) -C $(KDIR) M=$(kbuild) $(if $(DESTDIR),INSTALL_MOD_PATH=$(kbuild)/dest) modules_install

install: tools
	$(MAKE) -C $(top)/tools O=$(build) DESTDIR="$(DESTDIR)" PREFIX=$(prefix) install
	install -D -m 0644 $(top)/tools/60-multifd_zp.rules "$(DESTDIR)$(udevdir)/60-multifd_zp.rules"

uninstall:
	$(MAKE) -C $(top)/tools O=$(build) DESTDIR="$(DESTDIR)" PREFIX=$(prefix) uninstall
	rm -f "$(DESTDIR)$(udevdir)/60-multifd_zp.rules"
	for module in "$(DESTDIR)"/lib/modules/*/*/multifd_zp.ko*; do \
		[ -e "$$module" ] || continue; \
		rm -f "$$module" || exit; \
		$(if $(DESTDIR),,release=$${module#/lib/modules/}; depmod "$${release%%/*}" || exit;) \
	done

check:
	$(top)/tests/check

check-full:
	$(top)/tests/check --full

check-packages:
	$(top)/tests/packages/run
	$(top)/tests/packages/rpm

check-packages-full:
	$(top)/tests/packages/run --full
	$(top)/tests/packages/rpm

demo:
	$(top)/tests/demo

demo-qemu:
	$(top)/tests/demo --source qemu

bench: tools
	$(top)/tests/setup bench
	$(MAKE) module KDIR=$$($(top)/tests/vm/kernel uml-fast)/build
	$(MAKE) module KDIR=$$($(top)/tests/vm/kernel 6.1)/build
	$(top)/tests/bench/scan
	$(top)/tests/bench/compression
	$(top)/tests/bench/instructions
	$(top)/tests/bench/instructions --late --ways pump,no-workers,send --rounds 16 \
		--json $(build)/bench/late.json
	$(top)/tests/bench/instructions --native --ways pump,produce,vmsplice,send --rounds 64 \
		--memory anonymous,memfd,file --json $(build)/bench/native.json
	$(top)/tests/bench/history
	$(top)/tests/bench/history --plot $(build)/bench/bench-history.svg
	$(top)/tests/bench/migration $(BENCH_ARGS)
	$(top)/tests/bench/report table $(build)/bench/migration.json
	$(top)/tests/bench/report plots $(build)/bench/migration.json $(build)/bench
	$(top)/tests/bench/qemu
	$(top)/tests/bench/receive
	$(top)/tests/memory/table

bench-quick: tools
	$(top)/tests/setup bench
	$(MAKE) module KDIR=$$($(top)/tests/vm/kernel 6.1)/build
	$(top)/tests/bench/scan --runs 3 --megabytes 128
	$(top)/tests/bench/history
	$(top)/tests/bench/migration --quick --json $(build)/bench/quick.json
	$(top)/tests/bench/report table $(build)/bench/quick.json
	$(top)/tests/bench/report check $(build)/bench/quick.json

bench-compression: tools
	$(top)/tests/setup bench
	$(top)/tests/bench/compression

docs:
	$(top)/tests/setup docs
	$(MAKE) -C $(top)/Documentation O=$(build)/docs html

dist:
	$(top)/tools/packaging/dist

deb:
	$(top)/tools/packaging/deb

rpm:
	$(top)/tools/packaging/rpm

# What the netlink spec describes, with the kernel's generator.
netlink:
	$(top)/tools/netlink/generate

clean:
	rm -rf $(build) $(top)/multifd_zp.ko

help:
	@echo 'To use it:'
	@echo '  make                  the module for this kernel (./multifd_zp.ko), and the tools (build/)'
	@echo '  make module           only the module; KDIR=DIR: for the kernel whose headers are there'
	@echo '  make tools            only libmfd, mfdsend, mfdrecv, mfddemo and mfdctl'
	@echo '  make install          tools, library, headers, man pages, udev rule; DESTDIR=, prefix=/usr/local'
	@echo '  make modules_install  the module, below /lib/modules; DESTDIR='
	@echo '  make uninstall        takes back what these did'
	@echo 'To see it work:'
	@echo '  make demo             migrates a real memory image into a stock QEMU, in a VM'
	@echo '  make demo-qemu        migrates a running guest from a QEMU that uses the module'
	@echo '  make check            all tests and static checks; ends with "N passed, N failed"'
	@echo '  make check-full       that, and two hours of faults, random calls and other kernels'
	@echo '  make check-packages   builds the packages in fresh roots, and installs them there'
	@echo '  make check-packages-full  that, and uses, upgrades and removes those of Debian in VMs'
	@echo '  make bench            zero pages and compressors natively, sending and whole migrations in a VM,'
	@echo '                        beside stock ones; tables, plots. BENCH_ARGS=: see tests/bench/migration'
	@echo '  make bench-quick      zero pages and migrations in five minutes, to see that it works'
	@echo '  make bench-compression  what compression costs natively, beside stock libraries'
	@echo '  make docs             HTML documentation in build/docs/html/'
	@echo '  make netlink          files that are generated from Documentation/netlink/specs'
	@echo 'To give it to others:'
	@echo '  make dist             build/multifd_zp-VERSION.tar.gz'
	@echo '  make deb              Debian packages for this release, in build/deb/'
	@echo '  make rpm              an RPM of the module for DKMS, in build/rpm/'
	@echo '  make clean            removes build/ and ./multifd_zp.ko'
