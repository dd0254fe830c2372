# libFuzzer targets: tests/fuzz/NAME.c becomes build/fuzz/NAME, with the whole of Ringer under AddressSanitizer and UBSan.
#   make fuzz                                   builds them
#   make fuzz-run SECONDS=60 [TARGET=walk]      runs them, each so long; what they find is in build/fuzz/crashes
#   build/fuzz/walk FILE                        replays one input
FUZZ_CC ?= clang
FUZZ_B := build/fuzz
FUZZ_TARGETS := $(sort $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c)))
FUZZ_SANITIZE := -fsanitize=address,undefined -fno-sanitize=alignment -fno-sanitize-recover=undefined
# -fPIE is off as in the other builds: the translation cache must be near the text.
FUZZ_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -Wno-unknown-warning-option -fno-pie -fno-strict-aliasing \
	-fno-omit-frame-pointer -pthread -fsanitize=fuzzer-no-link $(FUZZ_SANITIZE)
FUZZ_LDFLAGS := -no-pie -pthread -fsanitize=fuzzer $(FUZZ_SANITIZE)
# What ends the program in Ringer ends one input in the targets that include tests/fuzz/catch.h.
FUZZ_CATCHING := load options
FUZZ_WRAP := fatal warn exit malloc calloc realloc free strdup strndup asprintf
# Stand-ins for the vCPU, whatever of it is linked.
FUZZ_WRAP_device := vcpu_set_event vcpu_clear_event vcpu_post vcpu_unpause fpu_save smc_phys_write
FUZZ_OBJS := $(SRCS:%.c=$(FUZZ_B)/%.o) $(ASMS:%.S=$(FUZZ_B)/%.o)
FUZZ_TARGET_OBJS := $(FUZZ_TARGETS:%=$(FUZZ_B)/tests/fuzz/%.o)
SECONDS ?= 60
TARGET ?= $(FUZZ_TARGETS)

$(HOT:%.c=$(FUZZ_B)/%.o): FUZZ_CFLAGS += -mgeneral-regs-only

$(FUZZ_B)/%.o: %.c
	@echo "  FUZZ CC $<"
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_B)/%.o: %.S
	@echo "  FUZZ AS $<"
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(CPPFLAGS) -MMD -MP -c -o $@ $<

$(FUZZ_B)/monitor/acpi.o: $(B)/gen/dsdt.hex
$(FUZZ_B)/monitor/load_firmware.o: $(ROMS:%=$(B)/gen/%.hex)

$(FUZZ_B)/libringer.a: $(FUZZ_OBJS)
	@echo "  AR      $@"
	$(Q)rm -f $@ && ar rcs $@ $^

$(FUZZ_TARGETS:%=$(FUZZ_B)/%): $(FUZZ_B)/%: $(FUZZ_B)/tests/fuzz/%.o $(FUZZ_B)/libringer.a
	@echo "  FUZZ LD $@"
	$(Q)$(FUZZ_CC) $(FUZZ_LDFLAGS) $(if $(filter $*,$(FUZZ_CATCHING)),$(FUZZ_WRAP:%=-Wl,--wrap=%)) $(FUZZ_WRAP_$*:%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS)

fuzz: $(FUZZ_TARGETS:%=$(FUZZ_B)/%)

fuzz-run: fuzz
	$(Q)FUZZ_SECONDS=$(SECONDS) tests/fuzz/run.sh $(TARGET)

-include $(FUZZ_OBJS:.o=.d) $(FUZZ_TARGET_OBJS:.o=.d)

.PHONY: fuzz fuzz-run
