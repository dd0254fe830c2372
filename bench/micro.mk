# What the micro benchmarks (bench/nano.py, tc.py, shadow.py) need beside the guest kernels: two programs of 32 bits that run on the host (and
# one of them in guests), and the translator without a guest.
MICRO_OUT := build/bench/micro
MICRO_CFLAGS := -m32 -std=gnu11 -O2 -g0 -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -D_GNU_SOURCE -fno-pie -fcf-protection=none -march=i686

$(MICRO_OUT)/%: bench/micro/%.c bench/micro.mk
	@echo "  LD      $@"
	@mkdir -p $(@D)
	$(Q)$(GUEST_CC) $(MICRO_CFLAGS) -static -no-pie -s -o $@ $<

# The phases of a translation are timed by functions that the linker puts in front of the translator's; the library is the usual one.
TC_WRAPPED := decoder_decode lower_insn emit_cold tu_publish
$(B)/bench/micro/tc: $(B)/bench/micro/tc.o $(B)/libringer.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) $(TC_WRAPPED:%=-Wl,--wrap=%) -o $@ $^ $(CHECK_LIBS) $(LDLIBS)

-include $(B)/bench/micro/tc.d

bench-micro: guestos $(MICRO_OUT)/native $(MICRO_OUT)/ring $(B)/bench/micro/tc
.PHONY: bench-micro
