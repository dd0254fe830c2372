# The guest kernels: `make guestos` builds build/guestos/{conformance,shadow,modes,demo,nano,nano16,state,pages,machine}.elf, 32-bit Multiboot ELF files, and
# bios.img, a floppy's or a disk's image that boots by the BIOS.

GB := build/guestos
GUEST_CC ?= gcc
GUEST_CFLAGS := -std=gnu11 -m32 -march=i686 -mno-sse -mno-mmx -mno-80387 -O2 -g -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -ffreestanding \
	-fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables -fno-toplevel-reorder -fno-strict-aliasing -fcf-protection=none \
	-fno-tree-loop-distribute-patterns -I.
GUEST_LIB := $(patsubst guestos/%,$(GB)/%.o,$(wildcard guestos/lib/*.S guestos/lib/*.c))
GUEST_LDFLAGS := -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,-T,guestos/lib/link.ld

guest_objs = $(patsubst guestos/%,$(GB)/%.o,$(wildcard guestos/$(1)/*.c guestos/$(1)/*.S))
GUEST_KERNELS := conformance shadow modes demo nano nano16 state pages machine
GUEST_OBJS := $(GUEST_LIB) $(foreach k,$(GUEST_KERNELS),$(call guest_objs,$(k)))

guestos: $(GUEST_KERNELS:%=$(GB)/%.elf) $(GB)/bios.img

# The tests of shadow and modes run in the harness of conformance.
GUEST_EXTRA_shadow := $(GB)/conformance/main.c.o
GUEST_EXTRA_modes := $(GB)/conformance/main.c.o
GUEST_EXTRA_nano16 := $(GB)/modes/low.c.o $(GB)/modes/low.S.o

define guest_kernel
$(GB)/$(1).elf: $(GUEST_LIB) $(call guest_objs,$(1)) $(GUEST_EXTRA_$(1)) guestos/lib/link.ld
	@echo "  LD      $$@"
	$$(Q)$$(GUEST_CC) $$(GUEST_LDFLAGS) -o $$@ $$(filter %.o,$$^) -lgcc
endef
$(foreach k,$(GUEST_KERNELS),$(eval $(call guest_kernel,$(k))))

$(GUEST_OBJS): $(GB)/%.o: guestos/%
	@echo "  CC      $<"
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

# The kernel for the BIOS: 16-bit C, which writes to addresses below 4 KiB, and some 32-bit C.
BIOS_OBJS := $(call guest_objs,bios)
BIOS_CFLAGS := -Os -fno-delete-null-pointer-checks -Wno-array-bounds
$(GB)/bios/real.c.o $(GB)/bios/devices.c.o: BIOS_CFLAGS += -m16

$(BIOS_OBJS): $(GB)/%.o: guestos/%
	@echo "  CC      $<"
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(GUEST_CFLAGS) $(BIOS_CFLAGS) -MMD -MP -c -o $@ $<

$(GB)/bios.img: $(BIOS_OBJS) guestos/bios/link.ld
	@echo "  IMAGE   $@"
	$(Q)$(GUEST_CC) -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,-T,guestos/bios/link.ld \
		-o $(GB)/bios.elf $(BIOS_OBJS) -lgcc
	$(Q)objcopy -O binary $(GB)/bios.elf $@.tmp
	$(Q)truncate -s 1440K $@.tmp
	$(Q)mv $@.tmp $@

-include $(GUEST_OBJS:.o=.d) $(BIOS_OBJS:.o=.d)

.PHONY: guestos
