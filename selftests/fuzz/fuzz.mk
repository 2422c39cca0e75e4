# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Fuzz targets: fuzz_NAME.c, by libFuzzer with sanitizers. make fuzz [F=NAME] [TIME=SECONDS each].

F ?= *
TIME ?= 60
FUZZ_CFLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer -D__SANITIZE_ADDRESS__
FUZZ_OBJS := $(ASAN_SRCS:%.c=$(O)/fuzz/%.o) $(O)/fuzz/gen/profile.pb-c.o
FUZZ_TARGETS := $(patsubst selftests/fuzz/%.c,$(O)/fuzz/%,$(wildcard selftests/fuzz/fuzz_*.c))

$(O)/fuzz/%.o: %.c | $(USER_GEN)
	$(say) FUZZ $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) $(USER_CFLAGS) -Iselftests -MMD -MP -c $< -o $@
$(O)/fuzz/gen/%.o: $(O)/gen/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -I$(O)/gen -c $< -o $@
$(O)/fuzz/fuzz_%: $(O)/fuzz/selftests/fuzz/fuzz_%.o $(FUZZ_OBJS)
	$(say) LD $@
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $^ $(USER_LIBS)

fuzz-targets: $(FUZZ_TARGETS)

fuzz: deps
	$(Q)$(MAKE) --no-print-directory fuzz-run
fuzz-run: $(FUZZ_TARGETS)
	$(Q)O=$(abspath $(O)) selftests/fuzz/run.py --time $(TIME) '$(F)'

.PHONY: fuzz fuzz-run fuzz-targets
-include $(FUZZ_OBJS:.o=.d) $(FUZZ_TARGETS:$(O)/fuzz/%=$(O)/fuzz/selftests/fuzz/%.d)
