# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The program. Everything but collect/ and main.c also goes into the unit tests, with sanitizers.

USER_PKGS := libbpf libelf libdw zlib liblzma libprotobuf-c
USER_CFLAGS := $(BASE_CFLAGS) $(shell pkg-config --cflags $(USER_PKGS) 2>/dev/null)
USER_LIBS := $(shell pkg-config --libs $(USER_PKGS) 2>/dev/null) -liberty -lm

USER_SRCS := $(sort $(wildcard user/*.c user/*/*.c))
USER_OBJS := $(USER_SRCS:%.c=$(O)/%.o) $(O)/gen/profile.pb-c.o
PROTO_GEN := $(O)/gen/profile.pb-c.h

$(O)/gen/profile.pb-c.c $(O)/gen/profile.pb-c.h &: user/profile/profile.proto
	$(say) PROTO $<
	$(Q)mkdir -p $(O)/gen
	$(Q)protoc-c --c_out=$(O)/gen --proto_path=user/profile $<

$(O)/gen/%.pb-c.o: $(O)/gen/%.pb-c.c
	$(Q)$(CC) $(CFLAGS) -Wno-all -I$(O)/gen -c $< -o $@

# JavaScript of the flame graph, as a C string
$(O)/gen/flame_js.h: user/render/flame.js
	$(say) GEN $@
	$(Q)mkdir -p $(O)/gen
	$(Q)sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

USER_GEN := $(PROTO_GEN) $(O)/gen/flame_js.h

$(O)/user/%.o: user/%.c | $(USER_GEN) $(BPF_SKELS)
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(USER_CFLAGS) -MMD -MP -c $< -o $@

$(O)/user/collect/session.o $(O)/user/collect/shared.o $(O)/user/collect/skel.o: $(BPF_SKELS)

$(O)/bstack: $(USER_OBJS)
	$(say) LD $@
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(USER_LIBS)

-include $(USER_OBJS:.o=.d)

install: $(O)/bstack
	$(Q)install -D -m 755 $(O)/bstack $(DESTDIR)$(PREFIX)/bin/bstack
	$(Q)install -d $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions
	$(Q)install -m 644 user/doc/bstack.1 $(DESTDIR)$(PREFIX)/share/man/man1/bstack.1
	$(Q)for c in $$($(O)/bstack --list-commands); do \
		$(O)/bstack --man $$c > $(DESTDIR)$(PREFIX)/share/man/man1/bstack-$$c.1 || exit 1; done
	$(Q)$(O)/bstack --completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/bstack
	$(Q)$(O)/bstack --completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_bstack
