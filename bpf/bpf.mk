# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# BPF objects and their skeletons: bpf/NAME.bpf.c -> $(O)/gen/NAME.skel.h

BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(subst aarch64,arm64,$(subst x86_64,x86,$(shell uname -m))) \
	-Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-declarations -I. -Ivmlinux
BPF_SKELS := $(O)/gen/profile.skel.h $(O)/gen/profile_lean.skel.h

# Of one source, by the rule that calls it; BPF_EXTRA: what else the compiler is told
define make_bpf_object
	$(say) BPF $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) $(BPF_EXTRA) -c $< -o $@.tmp
	$(Q)$(BPFTOOL) gen object $@ $@.tmp
	$(Q)rm -f $@.tmp
endef

$(O)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) vmlinux/vmlinux.h
	$(make_bpf_object)

# The same programs without kfuncs: see user/collect/skel.c
$(O)/bpf/profile_lean.bpf.o: BPF_EXTRA := -DBSTACK_NO_KFUNCS
$(O)/bpf/profile_lean.bpf.o: bpf/profile.bpf.c $(wildcard bpf/*.h) vmlinux/vmlinux.h
	$(make_bpf_object)

$(O)/gen/%.skel.h: $(O)/bpf/%.bpf.o
	$(say) SKEL $@
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

.SECONDARY:
