# Ringer's build. `make` builds build/release/ringer; `make demo` and `make check` are the two commands of the README.
#   V=1 shows commands; MODE=release|debug|asan|ubsan chooses the build; WERROR=0 turns -Werror off.

MODE ?= release
B := build/$(MODE)
V ?= 0
WERROR ?= 1
Q := $(if $(filter 1,$(V)),,@)

CC ?= cc
PKGS := zydis
CFLAGS_release := -O2 -g
CFLAGS_debug := -Og -g3 -DRINGER_DEBUG
CFLAGS_asan := -O1 -g -fsanitize=address -fno-omit-frame-pointer
CFLAGS_ubsan := -O1 -g -fsanitize=undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment
LDFLAGS_asan := -fsanitize=address
LDFLAGS_ubsan := -fsanitize=undefined
ifeq ($(CFLAGS_$(MODE)),)
$(error MODE must be release, debug, asan or ubsan)
endif

VERSION := 0.1.0
CPPFLAGS := -I. -I$(B)/gen -D_GNU_SOURCE -DRINGER_VERSION='"$(VERSION)"'
# Non-PIE: the translation cache lies below 2 GiB beside the text, so that every call and jump between them is rel32.
CFLAGS := -std=gnu11 -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -fno-pie -fno-strict-aliasing -pthread $(CFLAGS_$(MODE))
LDFLAGS := -no-pie -pthread $(LDFLAGS_$(MODE))
LDLIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null || echo -lZydis)

# Everything but main.c goes into the library that ringer and the unit tests link.
SRCS := $(filter-out monitor/main.c,$(wildcard monitor/*.c monitor/devices/*.c shadowpt/*.c cache/*.c translator/*.c))
ASMS := $(wildcard monitor/*.S cache/*.S)
# Run with the guest's FPU state in the host's registers: no SSE, no x87.
HOT := monitor/exception.c monitor/segment.c monitor/segment_insn.c monitor/far.c monitor/priv.c monitor/io_insn.c monitor/legacy.c \
       monitor/string.c monitor/fpu_insn.c monitor/dispatch.c monitor/interrupt.c monitor/signal.c monitor/fpu.c \
       shadowpt/access.c shadowpt/walk.c shadowpt/softmmu.c cache/tu.c cache/jc.c cache/smc.c
OBJS := $(SRCS:%.c=$(B)/%.o) $(ASMS:%.S=$(B)/%.o)

all: $(B)/ringer

$(B)/ringer: $(B)/monitor/main.o $(B)/libringer.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/libringer.a: $(OBJS)
	@echo "  AR      $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$(HOT:%.c=$(B)/%.o): CFLAGS += -mgeneral-regs-only

$(B)/%.o: %.c
	@echo "  CC      $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/%.o: %.S
	@echo "  AS      $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJS:.o=.d) $(B)/monitor/main.d

clean:
	rm -rf build

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: all clean format
