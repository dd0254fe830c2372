# The benchmark programs: one static i386 binary, for the host and for the guests. Only what a row is about uses SSE.
BENCH_CC ?= gcc
BENCH_CFLAGS := -m32 -std=gnu11 -O2 -g0 -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror) -D_GNU_SOURCE -fno-pie -fcf-protection=none
BENCH_X87 := -march=i686 -mtune=generic -mfpmath=387
BENCH_SSE2 := -march=i686 -mtune=generic -msse2 -mfpmath=sse
BENCH_OUT := build/bench/programs
BENCH_SRCS := $(filter-out bench/programs/matrix.c,$(wildcard bench/programs/*.c))
BENCH_OBJS := $(BENCH_SRCS:bench/programs/%.c=$(BENCH_OUT)/%.o) $(BENCH_OUT)/matrix_x87.o $(BENCH_OUT)/matrix_sse2.o
BENCH_HEADERS := bench/programs/bench.h bench/programs/rows.inc bench/bench.mk

$(BENCH_OUT)/ringer-bench: $(BENCH_OBJS)
	@echo "  LD      $@"
	$(Q)$(BENCH_CC) -m32 -static -no-pie -s -o $@ $^

$(BENCH_OUT)/matrix_x87.o: bench/programs/matrix.c $(BENCH_HEADERS)
	@echo "  CC      $@"
	@mkdir -p $(@D)
	$(Q)$(BENCH_CC) $(BENCH_CFLAGS) $(BENCH_X87) -DROW=row_matrix_x87 -c -o $@ $<

$(BENCH_OUT)/matrix_sse2.o: bench/programs/matrix.c $(BENCH_HEADERS)
	@echo "  CC      $@"
	@mkdir -p $(@D)
	$(Q)$(BENCH_CC) $(BENCH_CFLAGS) $(BENCH_SSE2) -DROW=row_matrix_sse2 -c -o $@ $<

$(BENCH_OUT)/%.o: bench/programs/%.c $(BENCH_HEADERS)
	@echo "  CC      $<"
	@mkdir -p $(@D)
	$(Q)$(BENCH_CC) $(BENCH_CFLAGS) $(BENCH_X87) -c -o $@ $<

$(BENCH_OUT)/scale: bench/scaling/scale.c bench/bench.mk
	@echo "  LD      $@"
	@mkdir -p $(@D)
	$(Q)$(BENCH_CC) $(BENCH_CFLAGS) $(BENCH_X87) -static -no-pie -s -o $@ $<

bench-programs: $(BENCH_OUT)/ringer-bench $(BENCH_OUT)/scale
.PHONY: bench-programs

# --- the ratchet (bench/ratchet.py): counts of a fixed translation workload, compared with bench/ratchet.json; `make ratchet-accept` writes that ---
$(B)/bench/ratchet/translate: $(B)/bench/ratchet/translate.o $(B)/libringer.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

-include $(B)/bench/ratchet/translate.d

ratchet ratchet-accept: $(B)/bench/ratchet/translate
	$(Q)bench/ratchet.py --program $< --cc "$(CC)" --flags="$(CFLAGS_$(MODE))" $(if $(filter ratchet-accept,$@),--accept)

.PHONY: ratchet ratchet-accept
