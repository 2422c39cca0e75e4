# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Tests: unit programs (with sanitizers), fixtures, live programs, and the runner.

ASAN_CFLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ASAN_SRCS := $(filter-out user/main.c user/cmd/% user/collect/%,$(USER_SRCS)) user/collect/side_decode.c
ASAN_OBJS := $(ASAN_SRCS:%.c=$(O)/asan/%.o) $(O)/gen/profile.pb-c.o
# The whole program with sanitizers, for the tests that make it fail
ASAN_ALL_OBJS := $(USER_SRCS:%.c=$(O)/asan/%.o) $(O)/gen/profile.pb-c.o
UNIT_TESTS := $(patsubst selftests/unit/%.c,$(O)/unit/%,$(wildcard selftests/unit/test_*.c))

$(O)/asan/%.o: %.c | $(USER_GEN)
	$(say) ASAN $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ASAN_CFLAGS) $(USER_CFLAGS) -Iselftests -MMD -MP -c $< -o $@

$(O)/asan/user/collect/session.o $(O)/asan/user/collect/shared.o $(O)/asan/user/collect/skel.o: $(BPF_SKELS)
$(O)/asan/bstack: $(ASAN_ALL_OBJS)
	$(say) LD $@
	$(Q)$(CC) $(ASAN_CFLAGS) -o $@ $^ $(USER_LIBS)

$(O)/unit/%: $(O)/asan/selftests/unit/%.o $(ASAN_OBJS)
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ASAN_CFLAGS) -o $@ $^ $(USER_LIBS)

# Fixtures: small programs whose stacks the tests know. -O0 keeps every frame pointer.
FIXTURE_CFLAGS := -O0 -g -fno-omit-frame-pointer -Wall -Wextra -Werror -D_GNU_SOURCE -pthread
FIXTURES := $(addprefix $(O)/fixtures/,chain stacks storm dlswap forkbomb jit deep work execer_a execer_b \
	manystacks swapcount count_a.so count_b.so swapways bare_a.so bare_b.so swapexec_a swapexec_b swap_a.so swap_b.so \
	vdsogone deep_a.so deep_b.so faults.so fail_kernel.so \
	unwound_pie unwound_nopie unwound_static unwound_cet unwound_noplt unwound_musl thrown \
	called probed_pie probed_nopie probed_fp probed.so mixed mixed_fp bare_fp.so bare_debug.so bare_noid.so jit_unwound \
	hurt hurt_process hurt_code)
# The same program in the ways that programs are built, all without frame pointers.
UNWOUND_CFLAGS := -O2 -g -fomit-frame-pointer -Wall -Wextra -Werror -D_GNU_SOURCE -pthread
UNWOUND_pie := -fPIE -pie
UNWOUND_nopie := -fno-pie -no-pie
UNWOUND_static := -static
UNWOUND_cet := -fcf-protection=full -fPIE -pie
UNWOUND_noplt := -fno-plt -fPIE -pie
UNWOUND_CC = $(CC)
$(O)/fixtures/unwound_musl: UNWOUND_CC = musl-gcc
$(O)/fixtures/unwound_musl: UNWOUND_CFLAGS += -DNO_UCONTEXT -Wl,--build-id
$(O)/fixtures/unwound_%: selftests/fixtures/unwound.c selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(UNWOUND_CC) $(UNWOUND_CFLAGS) $(UNWOUND_$*) -o $@ $<
PROBED_pie := -fPIE -pie
PROBED_nopie := -fno-pie -no-pie
PROBED_fp := -fno-omit-frame-pointer
$(O)/fixtures/probed_%: selftests/fixtures/probed.c selftests/fixtures/probed.h selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNWOUND_CFLAGS) $(PROBED_$*) -o $@ $< -ldl
$(O)/fixtures/probed.so: selftests/fixtures/probedlib.c selftests/fixtures/probed.h selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNWOUND_CFLAGS) -shared -fPIC -o $@ $<
$(O)/fixtures/thrown: selftests/fixtures/thrown.cc
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) -O2 -g -fomit-frame-pointer -Wall -Wextra -Werror -o $@ $<
# One program with .eh_frame and no frame pointers, and a library without .eh_frame.
BARE_fp := -fno-omit-frame-pointer
BARE_debug := -g -fomit-frame-pointer
$(O)/fixtures/bare_%.so: selftests/fixtures/barelib.c
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 $(BARE_$*) -Wall -Wextra -Werror -fno-asynchronous-unwind-tables -fno-unwind-tables -shared -fPIC \
		-nostartfiles -Wl,--build-id,--no-ld-generated-unwind-info -o $@ $<
# With .eh_frame, without a build-id, under a program that keeps frame pointers.
$(O)/fixtures/bare_noid.so: selftests/fixtures/barelib.c
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -fomit-frame-pointer -Wall -Wextra -Werror -shared -fPIC -Wl,--build-id=none -o $@ $<
$(O)/fixtures/mixed_fp: selftests/fixtures/mixed.c selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNWOUND_CFLAGS) -fno-omit-frame-pointer -DKEEPS_FP -DFIXTURE_CLOCK=CLOCK_PROCESS_CPUTIME_ID -o $@ $< -ldl
$(O)/fixtures/mixed: selftests/fixtures/mixed.c selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNWOUND_CFLAGS) -DFIXTURE_CLOCK=CLOCK_PROCESS_CPUTIME_ID -fPIE -pie -o $@ $< -ldl
$(O)/fixtures/jit_unwound: selftests/fixtures/jit.c selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNWOUND_CFLAGS) -DFIXTURE_CLOCK=CLOCK_PROCESS_CPUTIME_ID -fno-optimize-sibling-calls -fno-ipa-icf \
		-DROUNDS=20000000 -o $@ $<
# Go keeps frame pointers and makes no .eh_frame. Its own linker makes no note of a build-id that the kernel finds;
# the host's does, and adds .eh_frame of the C library's start files, which is taken out again.
GO ?= go
GO_BUILD = GOFLAGS= GO111MODULE=off GOPROXY=off GOTOOLCHAIN=local GOCACHE=$(abspath $(O))/go-cache $(GO) build
ifneq ($(shell command -v $(GO) 2>/dev/null),)
FIXTURES += $(addprefix $(O)/fixtures/,gospin gospin_id gospin_cgo gospin_dwarf)
endif
$(O)/fixtures/gospin: selftests/fixtures/gospin.go
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)CGO_ENABLED=0 $(GO_BUILD) -o $@ $<
$(O)/fixtures/gospin_id: selftests/fixtures/gospin.go
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)CGO_ENABLED=1 $(GO_BUILD) -ldflags='-linkmode=external -extldflags=-Wl,--build-id' -o $@.tmp $<
	$(Q)objcopy -R .eh_frame -R .eh_frame_hdr $@.tmp $@
	$(Q)rm -f $@.tmp
$(O)/fixtures/gospin_cgo: selftests/fixtures/gospin.go
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)CGO_ENABLED=1 $(GO_BUILD) -ldflags='-linkmode=external -extldflags=-Wl,--build-id' -o $@ $<
$(O)/fixtures/gospin_dwarf: selftests/fixtures/gospin.go
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)CGO_ENABLED=1 $(GO_BUILD) -ldflags='-linkmode=external -extldflags=-Wl,--build-id -compressdwarf=false' \
		-o $@.tmp $<
	$(Q)objcopy -R .eh_frame -R .eh_frame_hdr $@.tmp $@
	$(Q)rm -f $@.tmp
# Its code can lie in huge pages
$(O)/fixtures/hurt: FIXTURE_CFLAGS += -Wl,-z,max-page-size=0x200000
$(O)/fixtures/execer_%: selftests/fixtures/execer.c selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(FIXTURE_CFLAGS) -DNAME=$* -o $@ $<
$(O)/fixtures/deep_%.so: selftests/fixtures/deeplib.c
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(FIXTURE_CFLAGS) -DNAME=$* -shared -fPIC -Wl,-soname,deep_$* -o $@ $<
$(O)/fixtures/count_%.so: selftests/fixtures/countlib.c selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(FIXTURE_CFLAGS) -DNAME=$* -shared -fPIC -o $@ $<
$(O)/fixtures/bare_a.so $(O)/fixtures/bare_b.so: $(O)/fixtures/bare_%.so: selftests/fixtures/barecount.c
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(FIXTURE_CFLAGS) -DNAME=$* -shared -fPIC -o $@ $<
$(O)/fixtures/swapexec_%: selftests/fixtures/swapexec.c selftests/fixtures/fixture.h
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(FIXTURE_CFLAGS) -DNAME=$* -static -no-pie -o $@ $<
$(O)/fixtures/swap_%.so: selftests/fixtures/swaplib.c
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(FIXTURE_CFLAGS) -DNAME=$* -shared -fPIC -o $@ $<
$(O)/fixtures/faults.so $(O)/fixtures/fail_kernel.so: $(O)/fixtures/%.so: selftests/fixtures/%.c
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O1 -g -fno-builtin -Wall -Wextra -Werror -D_GNU_SOURCE -shared -fPIC -o $@ $<
$(O)/fixtures/%: selftests/fixtures/%.c $(wildcard selftests/fixtures/*.h)
	$(say) FIXTURE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(FIXTURE_CFLAGS) -o $@ $< -ldl
fixtures: $(FIXTURES)

# Live tests in C: selftests/live/test_NAME.c with its programs in NAME.bpf.c
LIVE_BPF := $(patsubst selftests/live/%.bpf.c,$(O)/gen/%.skel.h,$(wildcard selftests/live/*.bpf.c))
DIFFER_OBJS := $(filter $(O)/user/base/% $(O)/user/unwind/% $(O)/user/resolve/%,$(USER_OBJS))
LIVE_TESTS := $(patsubst selftests/live/%.c,$(O)/live/%,$(wildcard selftests/live/test_*.c))
# What the tests in Python run beside bstack
LIVE_TOOLS := $(O)/live/lock_watch
LIVE_BPF_OBJS := $(patsubst selftests/live/%.bpf.c,$(O)/bpf/%.bpf.o,$(wildcard selftests/live/*.bpf.c))
$(LIVE_BPF_OBJS): BPF_EXTRA := -Iselftests/live
$(O)/bpf/%.bpf.o: selftests/live/%.bpf.c $(wildcard selftests/live/*.h bpf/*.h) vmlinux/vmlinux.h
	$(make_bpf_object)
$(O)/live/%: selftests/live/%.c $(LIVE_BPF) $(wildcard selftests/*.h selftests/live/*.h)
	$(say) LIVE $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O1 -g $(USER_CFLAGS) -Iselftests -Iselftests/live -fno-omit-frame-pointer -pthread -o $@ $< \
		$(LIVE_EXTRA) $(USER_LIBS)

# It makes tables as bstack does
$(O)/live/test_differ: LIVE_EXTRA = $(DIFFER_OBJS)
$(O)/live/test_differ: $(DIFFER_OBJS)
# What the programs cost the verifier: a baseline is true for one kernel and one compiler.
$(O)/live/test_verifier: $(BPF_SKELS)
$(O)/live/test_verifier: LIVE_EXTRA = -DCLANG_MAJOR='"$(firstword $(subst ., ,$(shell $(CLANG) -dumpversion)))"'
verifier-baseline: $(O)/live/test_verifier
	$(Q)mkdir -p selftests/golden
	$(Q)$< --baseline > $(O)/verifier.txt
	$(Q)mv $(O)/verifier.txt selftests/golden/verifier.txt
.PHONY: verifier-baseline

# Benchmarks in C: what the kernel's own walks cost, beside ours
$(O)/bpf/cost.bpf.o: selftests/bench/cost.bpf.c vmlinux/vmlinux.h
	$(make_bpf_object)
$(O)/bench/cost: selftests/bench/cost.c $(O)/gen/cost.skel.h
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -g $(USER_CFLAGS) -o $@ $< $(USER_LIBS)

$(O)/bench/tables: selftests/bench/tables.c $(addprefix $(O)/user/,unwind/table.o unwind/cfi.o unwind/uncovered.o base/base.o base/table.o)
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -O2 -g $(USER_CFLAGS) -o $@ $^ $(USER_LIBS)

PY_TESTS := $(sort $(wildcard selftests/*/test_*.py selftests/*/test_*.sh))
ALL_TESTS := $(UNIT_TESTS) $(PY_TESTS) $(LIVE_TESTS)

# How user/ and bpf/ are compiled, for the analyzers
$(O)/compile_commands.json: export USER_COMMAND = $(CC) $(CFLAGS) $(USER_CFLAGS)
$(O)/compile_commands.json: export BPF_COMMAND = $(CLANG) $(BPF_CFLAGS)
$(O)/compile_commands.json: Makefile bpf/bpf.mk user/user.mk selftests/selftests.mk selftests/lint/compile_commands.py \
		$(USER_SRCS) $(wildcard bpf/*.bpf.c)
	$(say) GEN $@
	$(Q)mkdir -p $(@D)
	$(Q)selftests/lint/compile_commands.py $(USER_SRCS) $(wildcard bpf/*.bpf.c) > $@

check-run: $(O)/bstack $(O)/asan/bstack $(UNIT_TESTS) $(LIVE_TESTS) $(LIVE_TOOLS) fixtures fuzz-targets \
	$(O)/compile_commands.json
	$(Q)O=$(abspath $(O)) BSTACK=$(abspath $(O))/bstack CLANG_FORMAT=$(CLANG_FORMAT) CLANG_TIDY=$(CLANG_TIDY) \
		CLANG=$(CLANG) \
		selftests/run -t '$(T)' $(ALL_TESTS)

vm-run: $(O)/bstack $(LIVE_TESTS) $(LIVE_TOOLS) fixtures
	$(Q)O=$(abspath $(O)) selftests/vm/vm.py

format:
	$(Q)$(CLANG_FORMAT) -i $$(find bpf user selftests -name '*.[ch]')

-include $(ASAN_OBJS:.o=.d) $(UNIT_TESTS:$(O)/unit/%=$(O)/asan/selftests/unit/%.d)
