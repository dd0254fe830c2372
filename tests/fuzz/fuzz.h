/*
 * What the fuzz targets share: taking an input apart, checks, and a machine with a vCPU but without devices or an I/O thread.
 *
 * Invariants: an input that has run out yields zeros, so that every prefix of an input is one. A target behaves the same for the same
 * input, whatever ran before it: what a target leaves behind is reset when the next input begins.
 */
#ifndef RINGER_FUZZ_H
#define RINGER_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/vcpu.h"
#include "monitor/vm.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* A mismatch is a crash: libFuzzer keeps the input. */
#define REQUIRE(condition, ...)                                                                                                            \
	do {                                                                                                                               \
		if (!(condition)) {                                                                                                        \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                                    \
			fprintf(stderr, __VA_ARGS__);                                                                                      \
			fputc('\n', stderr);                                                                                               \
			abort();                                                                                                           \
		}                                                                                                                          \
	} while (0)

/* ---- input ---- */

struct input {
	const u8 *p;
	size_t n;
};

static inline u8 take8(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static inline u16 take16(struct input *in)
{
	u16 low = take8(in);
	return (u16)(low | take8(in) << 8);
}

static inline u32 take32(struct input *in)
{
	u32 low = take16(in);
	return low | (u32)take16(in) << 16;
}

/* ---- machine ---- */

/*
 * RAM: `low` bytes below the PCI hole, `high` bytes from 4 GiB on; so much of it is not needed, but addresses beyond 4 GiB are. Ends the
 * program when the host has no room for it.
 */
static inline struct vcpu *fuzz_machine(u64 low, u64 high, u64 tc_size, enum flavour flavour)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	vm->opt.ram_size = low + high;
	vm->opt.tc_size = tc_size;
	vm->opt.flavour = flavour;
	REQUIRE(vm_init(vm, low + high) == 0, "no machine");
	vm->mem.low_size = low;
	return vcpu_create(vm);
}

/* Flat 32-bit segments at a privilege level, no paging. */
static inline void fuzz_cpu_flat(struct vcpu *v, unsigned cpl)
{
	u32 data = SEG_P | SEG_S | SEG_TYPE_W | SEG_TYPE_A | SEG_DB | SEG_G | cpl << SEG_DPL_SHIFT;

	vcpu_reset(v);
	v->cpl = cpl;
	v->cr0 = CR0_PE | CR0_ET | CR0_NE;
	for (int n = SEG_ES; n <= SEG_GS; n++)
		segment_set(v, n, cpl ? 0x23 : 0x10, 0, 0xffffffffu, data);
	segment_set(v, SEG_CS, cpl ? 0x1b : 0x08, 0, 0xffffffffu, data | SEG_TYPE_CODE);
}

/*
 * Runs a statement; yields the vector that it raised, or -1. The error code is in v->pending.error_code. Locals that the statement changes
 * must be static or volatile.
 */
#define CATCH(v, statement)                                                                                                                \
	({                                                                                                                                 \
		(v)->pending.vector = -1;                                                                                                  \
		if (!__builtin_setjmp((v)->unwind)) {                                                                                      \
			statement;                                                                                                         \
		}                                                                                                                          \
		int vector_ = (v)->pending.vector;                                                                                         \
		(v)->pending.vector = -1;                                                                                                  \
		vector_;                                                                                                                   \
	})

#endif
