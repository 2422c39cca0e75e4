# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# bstack: make, make check, make check-vm, make kernel-lockdep, make fuzz, make soak, make demo, make bench, make install,
# make clean.
# Settings: O= build folder, V=1 shows commands, PREFIX=, DESTDIR=, T=GLOB chooses tests,
# F=GLOB fuzz targets, TIME= seconds for each of them and for soak.

VERSION := 0.1
O ?= build
PREFIX ?= /usr/local
T ?= *
CC = gcc
CXX = g++
CLANG ?= clang-14
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
CLANG_FORMAT ?= clang-format-14
CLANG_TIDY ?= clang-tidy-14

ifeq ($(V),1)
Q :=
say := @:
else
Q := @
say := @printf '  %-8s %s\n'
endif

CFLAGS ?= -O2 -g
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wundef -Wvla -Werror
BASE_CFLAGS := -std=gnu11 $(WARN) -fno-common -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
	-DBSTACK_VERSION='"$(VERSION)"' -Iuser -I. -I$(O)/gen

all: $(O)/bstack

include bpf/bpf.mk
include user/user.mk
include selftests/selftests.mk
include selftests/fuzz/fuzz.mk

# Installs what packages.txt names and this machine lacks; asks no network when nothing is missing.
deps:
	$(Q)selftests/deps.sh build test

check: deps
	$(Q)$(MAKE) --no-print-directory check-run

# The live tests on other kernels, in guests. make check runs them too where QEMU is installed.
check-vm: deps
	$(Q)selftests/deps.sh vm
	$(Q)$(MAKE) --no-print-directory vm-run

# A kernel that checks itself, one more for check-vm: made once for its source, configuration and compiler.
kernel-lockdep: deps
	$(Q)selftests/deps.sh kernel
	$(Q)O=$(abspath $(O)) selftests/vm/lockdep.py

demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)O=$(O) selftests/demo.sh

# An hour, or TIME seconds, of recording the whole host under load: memory and counters are watched.
soak: SECONDS = $(if $(filter file,$(origin TIME)),3600,$(TIME))
soak: deps
	$(Q)$(MAKE) --no-print-directory all fixtures
	$(Q)O=$(abspath $(O)) BSTACK=$(abspath $(O))/bstack selftests/live/soak.py $(SECONDS)

bench: deps
	$(Q)$(MAKE) --no-print-directory all fixtures $(O)/bench/cost $(O)/bench/tables $(O)/live/test_verifier $(LIVE_TOOLS)
	$(Q)O=$(abspath $(O)) BSTACK=$(abspath $(O))/bstack selftests/bench/run.py

clean:
	$(Q)rm -rf $(O)

.PHONY: all deps check check-run check-vm vm-run kernel-lockdep demo soak bench install clean fixtures format
.DELETE_ON_ERROR:
