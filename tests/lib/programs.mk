# SPDX-License-Identifier: GPL-2.0-only
#
# Test programs in C that run in a VM and share the kit of tests/kmod. A folder's
# makefile says
#   programs   which there are, each of a C file of its own
#   shared     C files that all of them are made of, here or in tests/kmod
#   bin        where the programs go; by default to their objects
# and includes this. To be called as
#   make -C FOLDER O=/absolute/build/folder

ifeq ($(O),)
O := $(abspath ../../build)
endif

CFLAGS ?= -O2 -g
override CFLAGS += -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -pthread -MMD -MP \
	-I../../uapi -I../kmod
LDLIBS := -lcmocka -lz -lzstd

obj := $(O)/tests/$(notdir $(CURDIR))
bin ?= $(obj)
targets := $(programs:%=$(bin)/%)

all: $(targets)

$(targets): $(bin)/%: $(obj)/%.o $(shared:%.c=$(obj)/%.o)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

vpath %.c ../kmod

$(obj)/%.o: %.c Makefile ../lib/programs.mk | $(obj)
	$(CC) $(CFLAGS) -c -o $@ $<

$(obj):
	mkdir -p $@

clean:
	rm -rf $(obj) $(targets)

.PHONY: all clean
.SECONDARY:
-include $(wildcard $(obj)/*.d)
