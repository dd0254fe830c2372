# Ringer's build. `make` builds build/release/ringer; `make demo` and `make check` are the two commands of the README.
#   V=1 shows commands; MODE=release|debug|asan|ubsan|coverage chooses the build; WERROR=0 turns -Werror off.

MODE ?= release
B := build/$(MODE)
V ?= 0
WERROR ?= 1
Q := $(if $(filter 1,$(V)),,@)

CC ?= cc
PKGS := zydis capstone ncursesw libvncserver libpng readline
CFLAGS_release := -O2 -g
CFLAGS_debug := -Og -g3 -DRINGER_DEBUG
CFLAGS_asan := -O1 -g -fsanitize=address -fno-omit-frame-pointer
CFLAGS_ubsan := -O1 -g -fsanitize=undefined -fno-sanitize-recover=undefined -fno-sanitize=alignment
# Two threads count.
CFLAGS_coverage := -O1 -g --coverage -fprofile-update=atomic
LDFLAGS_coverage := --coverage
LDFLAGS_asan := -fsanitize=address
LDFLAGS_ubsan := -fsanitize=undefined
ifeq ($(CFLAGS_$(MODE)),)
$(error MODE must be release, debug, asan, ubsan or coverage)
endif

VERSION := 0.1.0
CPPFLAGS := -I. -I$(B)/gen -D_GNU_SOURCE -DRINGER_VERSION='"$(VERSION)"'
# Non-PIE: the translation cache lies below 2 GiB beside the text, so that every call and jump between them is rel32.
CFLAGS := -std=gnu11 -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -fno-pie -fno-strict-aliasing -pthread $(CFLAGS_$(MODE))
LDFLAGS := -no-pie -pthread $(LDFLAGS_$(MODE))
LDLIBS = $(shell pkg-config --libs $(PKGS) 2>/dev/null || echo -lZydis -lcapstone -lncursesw -ltinfo -lvncserver -lpng16 -lreadline) -lZycore

# Everything but main.c goes into the library that ringer and the unit tests link.
SRCS := $(filter-out monitor/main.c,$(wildcard monitor/*.c monitor/devices/*.c monitor/display/*.c shadowpt/*.c cache/*.c translator/*.c))
ASMS := $(wildcard monitor/*.S cache/*.S)
# Run with the guest's FPU state in the host's registers: no SSE, no x87.
HOT := monitor/exception.c monitor/segment.c monitor/segment_insn.c monitor/far.c monitor/real.c monitor/task.c monitor/priv.c monitor/io_insn.c monitor/legacy.c \
       monitor/string.c monitor/fpu_insn.c monitor/dispatch.c monitor/callout.c monitor/interrupt.c monitor/signal.c monitor/fpu.c \
       monitor/clock.c monitor/tsc.c monitor/cpuid.c monitor/msr.c monitor/lockstep.c monitor/debug.c monitor/trace.c \
       shadowpt/access.c shadowpt/walk.c shadowpt/softmmu.c shadowpt/window.c shadowpt/window_map.c shadowpt/window_fill.c shadowpt/policy.c cache/tu.c cache/link.c shadowpt/parole.c cache/jc.c cache/smc.c \
       translator/verify_chain.c
OBJS := $(SRCS:%.c=$(B)/%.o) $(ASMS:%.S=$(B)/%.o)

all: $(B)/ringer

$(B)/ringer: $(B)/monitor/main.o $(B)/libringer.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/libringer.a: $(OBJS)
	@echo "  AR      $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$(HOT:%.c=$(B)/%.o): CFLAGS += -mgeneral-regs-only
ifeq ($(MODE),coverage)
$(OBJS) $(B)/monitor/main.o: CFLAGS += -include tests/coverage/exit.h
endif

$(B)/%.o: %.c
	@echo "  CC      $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/%.o: %.S
	@echo "  AS      $<"
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The DSDT as a C array for acpi.c; a warning of iasl's is an error.
$(B)/gen/dsdt.hex: monitor/devices/dsdt.asl
	@echo "  ASL     $<"
	@mkdir -p $(@D)
	$(Q)iasl -we -tc -p $(B)/gen/dsdt $< >$(B)/gen/dsdt.log 2>&1 || { cat $(B)/gen/dsdt.log; rm -f $@; exit 1; }
	$(Q)sed -i 's/^unsigned char/static const unsigned char/' $@

$(B)/monitor/acpi.o: $(B)/gen/dsdt.hex

# The option ROMs, at offset 0 of their segment, as C arrays for load_firmware.c.
ROMS := linuxboot multiboot
$(ROMS:%=$(B)/gen/%.hex): $(B)/gen/%.hex: monitor/rom/%.S monitor/rom/option_rom.inc
	@echo "  ROM     $<"
	@mkdir -p $(@D)
	$(Q)$(CC) -I. -m32 -c -o $(@:.hex=.o) $<
	$(Q)$(LD) -m elf_i386 -Ttext 0 --oformat binary -o $(@:.hex=.bin) $(@:.hex=.o)
	$(Q)od -An -v -tx1 $(@:.hex=.bin) | sed 's/ \(..\)/0x\1,/g' >$@

$(B)/monitor/load_firmware.o: $(ROMS:%=$(B)/gen/%.hex)

-include $(OBJS:.o=.d) $(B)/monitor/main.d

# Unit tests: tests/unit/test_NAME.c defines `Suite *NAME_suite(void)`; the runner finds it through a list made from the files' names.
UNIT_SRCS := $(sort $(wildcard tests/unit/test_*.c))
UNIT_OBJS := $(UNIT_SRCS:%.c=$(B)/%.o) $(B)/tests/unit/runner.o $(B)/tests/unit/doubles.o
UNIT_NAMES := $(UNIT_SRCS:tests/unit/test_%.c=%)
CHECK_LIBS = $(shell pkg-config --libs check 2>/dev/null || echo -lcheck)

# Rewritten only when a test file came or went.
$(B)/gen/unit_suites.inc: FORCE
	@mkdir -p $(@D)
	@printf 'X(%s)\n' $(UNIT_NAMES) | cmp -s - $@ || printf 'X(%s)\n' $(UNIT_NAMES) > $@

$(B)/tests/unit/runner.o: $(B)/gen/unit_suites.inc

$(B)/tests/unit/unit: $(UNIT_OBJS) $(B)/libringer.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LDLIBS)

unit: $(B)/tests/unit/unit
	$(B)/tests/unit/unit

-include $(UNIT_OBJS:.o=.d)

-include guestos/guestos.mk

# --- demo, check, bench ---
# Each installs what is missing first; the build is a make of its own, for only then does it find what was installed.
BUILD = $(Q)$(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

# GUEST=686-pae or rt-686-pae boots another kernel.
demo: install-deps
	$(BUILD) all guestos
	$(Q)RINGER=$(B)/ringer scripts/demo.sh $(GUEST)

check: install-deps
	$(BUILD) all guestos $(B)/tests/unit/unit $(B)/tests/verify/mutate $(B)/bench/ratchet/translate bench-programs bench-micro fuzz
	$(Q)MODE=$(MODE) tests/run.sh

# The stress cases of `make check`, but SOAK seconds each: half an hour in all.
SOAK ?= 600
soak: install-deps
	$(BUILD) all
	$(Q)scripts/fetch-guests.sh && scripts/mkinitramfs.sh
	$(Q)tests/boot/run.py --runner $(B)/ringer --seconds $(SOAK) stress-auto stress-direct stress-few-mappings

.PHONY: soak

# Benchmarks: all of them, in about two minutes, or only some: BENCH_ARGS="--only macro,boot --runs 1". The report is written from the last
# whole run.
-include bench/bench.mk

bench bench-quick: install-deps
	$(BUILD) all bench-programs bench-micro
	$(Q)scripts/fetch-guests.sh
	$(Q)scripts/mkinitramfs.sh
	$(Q)bench/all.py --ringer $(B)/ringer $(if $(filter bench-quick,$@),--quick) $(BENCH_ARGS)

bench-report:
	scripts/install-deps.sh bench-report
	$(Q)bench/report.py --write

.PHONY: demo check bench bench-quick bench-report

# --- differential tests ---
# Instructions, run by the host's CPU in 32-bit user mode and by Ringer: `make diff`, `make diff-long SEED=7 CASES=5000000 FLAVOURS=direct`.
SEED ?= 1
CASES ?= 10000000
FLAVOURS ?= checked direct
DIFF_SRCS := $(wildcard tests/diff/*.c)
DIFF_HOST := $(filter-out tests/diff/native.c tests/diff/guest.c,$(DIFF_SRCS)) translator/opcodes.c translator/insn_info.c
DIFF_HEADERS := $(wildcard tests/diff/*.h) translator/opcodes.h translator/insn_info.h translator/insn_table.h
DIFF_PROGRAMS := build/diff/diff build/diff/native build/diff/guest.elf

build/diff/diff: $(DIFF_HOST) $(DIFF_HEADERS)
	@echo "  LD      $@"
	@mkdir -p $(@D)
	$(Q)$(CC) -I. -D_GNU_SOURCE $(CFLAGS) $(LDFLAGS) -o $@ $(DIFF_HOST) $(LDLIBS)

build/diff/native: tests/diff/native.c $(DIFF_HEADERS)
	@echo "  LD      $@"
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) -std=gnu11 -m32 -static -no-pie -fno-pie -mgeneral-regs-only -O2 -g -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) \
		-fcf-protection=none -D_GNU_SOURCE -I. -o $@ $<

build/diff/guest.elf: tests/diff/guest.c $(DIFF_HEADERS) $(GUEST_LIB) guestos/lib/link.ld
	@echo "  LD      $@"
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_CFLAGS) $(GUEST_LDFLAGS) -o $@ $< $(GUEST_LIB) -lgcc

diff: $(B)/ringer $(DIFF_PROGRAMS)
	$(Q)status=0; for flavour in checked direct; do \
		echo "flavour=$$flavour"; build/diff/diff --runner $(B)/ringer --accel bt,flavour=$$flavour,verify=on --seed 1 --cases 200000 || status=1; \
	done; exit $$status

diff-long: $(B)/ringer $(DIFF_PROGRAMS)
	$(Q)status=0; for flavour in $(FLAVOURS); do \
		build/diff/diff --runner $(B)/ringer --accel bt,flavour=$$flavour,verify=on --seed $(SEED) --cases $(CASES) || status=1; \
	done; exit $$status

.PHONY: diff diff-long

-include tests/fuzz/fuzz.mk
-include bench/micro.mk

# --- the verifier's mutation test: `make mutate`, `make mutate MUTANTS=20000000 SEED=7` ---
MUTANTS ?= 3000000
MUTATE_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard tests/verify/*.c) $(addprefix tests/diff/,gen.c make.c operands.c sequence.c values.c))

$(B)/tests/verify/mutate: $(MUTATE_OBJS) $(B)/libringer.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CHECK_LIBS) $(LDLIBS)

mutate: $(B)/tests/verify/mutate
	$(B)/tests/verify/mutate --mutants $(MUTANTS) --seed $(SEED)

-include $(MUTATE_OBJS:.o=.d)

.PHONY: mutate

# --- golden tests of translated code: `make golden` compares, `make golden-rebase` writes tests/golden/*.txt anew, to be read as a diff ---
GOLDEN_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard tests/golden/*.c))

$(B)/tests/golden/golden: $(GOLDEN_OBJS) $(B)/libringer.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

golden: $(B)/tests/golden/golden
	$(B)/tests/golden/golden

golden-rebase: $(B)/tests/golden/golden
	$(B)/tests/golden/golden --rebase

-include $(GOLDEN_OBJS:.o=.d)

.PHONY: golden golden-rebase

# --- the instruction table as a document, and what tests and guests execute of it ---
$(B)/tests/coverage/instructions: $(B)/tests/coverage/instructions.o $(B)/libringer.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(B)/tests/coverage/instructions.d

docs-instructions: $(B)/tests/coverage/instructions
	$(Q)$(B)/tests/coverage/instructions --markdown >docs/instructions.md

docs-check: $(B)/tests/coverage/instructions
	@$(B)/tests/coverage/instructions --markdown | diff -u docs/instructions.md - && echo "PASS docs/instructions.md is what the table says" || \
		{ echo "FAIL docs/instructions.md is out of date: make docs-instructions"; exit 1; }

coverage-insn: $(B)/ringer $(B)/tests/coverage/instructions $(DIFF_PROGRAMS) guestos
	$(Q)scripts/fetch-guests.sh && scripts/mkinitramfs.sh
	$(Q)tests/coverage/report.py --build $(B)

# Lines executed, in a build of its own.
coverage:
	$(BUILD) MODE=coverage all guestos build/coverage/tests/unit/unit build/coverage/tests/golden/golden
	$(Q)scripts/fetch-guests.sh && scripts/mkinitramfs.sh
	$(Q)tests/coverage/lines.py

.PHONY: docs-instructions docs-check coverage-insn coverage

# --- upkeep ---
install-deps:
	scripts/install-deps.sh

clean:
	rm -rf build

SOURCES_IN_STYLE = $$(git ls-files '*.c' '*.h')
format:
	clang-format -i $(SOURCES_IN_STYLE)

format-check:
	clang-format --dry-run -Werror $(SOURCES_IN_STYLE)

FORCE:
.PHONY: all unit install-deps clean format format-check FORCE
