/*
 * The end of a case, for native.c and guest.c alike: finds what the case did to memory, undoes it, and makes the result comparable.
 * Compiled for 32-bit code without FPU use: the FPU state of the case is live or still to be read.
 */
#ifndef DIFF_COLLECT_H
#define DIFF_COLLECT_H

#include "tests/diff/case.h"

/* The first of n dwords that differ, or n. */
static inline u32 first_difference(const void *a, const void *b, u32 n)
{
	const u32 *p = a;
	u8 equal;

	asm volatile("cmpl %%eax, %%eax\n\trepe cmpsl\n\tsete %3" : "+S"(p), "+D"(b), "+c"(n), "=q"(equal) : : "memory", "cc");
	return (u32)(p - (const u32 *)a) - !equal;
}

static inline void copy_bytes(void *to, const void *from, u32 n)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static inline void collect_page(struct result *r, u32 address, const u8 *pristine)
{
	const u8 *now = (const u8 *)(uintptr_t)address;
	u32 n = first_difference(now, pristine, 1024) * 4;

	if (n == 4096)
		return;
	for (; n < 4096; n++) {
		if (now[n] == pristine[n])
			continue;
		if (r->changed < BYTES_MAX)
			r->bytes[r->changed] = (struct byte_change){address + n, now[n]};
		r->changed++;
		r->hash = ((r->hash ^ (address + n)) * 0x01000193u ^ now[n]) * 0x01000193u;
	}
	copy_bytes((void *)(uintptr_t)address, pristine, 4096);
}

/* Fills in r->changed, hash and bytes, and restores the pages. */
static inline void collect_memory(const struct batch *b, struct result *r)
{
	for (unsigned i = 0; i < RW_PAGES; i++)
		if (b->low || page_address[i] >= DATA)
			collect_page(r, page_address[i], b->pristine[i]);
}

/* Before the code is taken away. */
static inline void collect_insn(struct result *r)
{
	for (unsigned i = 0; i < sizeof(r->insn); i++)
		if (r->out.eip + i - CODE_BASE < CODE_PAGES * 4096)
			r->insn[i] = *(const volatile u8 *)(uintptr_t)(r->out.eip + i);
}

static inline u32 get32(const u8 *p)
{
	return p[0] | (u32)p[1] << 8 | (u32)p[2] << 16 | (u32)p[3] << 24;
}

/*
 * Takes the pointers to the last x87 instruction out of the image, and everything that is reserved or says something about the CPU model.
 * What the pages beyond the case's own look like from user mode differs, and so do bits of a page fault's error code.
 */
static inline void normalize(struct result *r)
{
	u8 *fx = r->out.fx;

	r->fop = fx[6] | (u32)fx[7] << 8;
	r->fip = get32(fx + 8);
	r->fdp = get32(fx + 16);
	fx[5] = 0;
	for (unsigned i = 6; i < 24; i++)
		fx[i] = 0;
	for (unsigned i = 28; i < 32; i++)
		fx[i] = 0;
	for (unsigned i = 0; i < 8; i++)
		for (unsigned k = 10; k < 16; k++)
			fx[32 + 16 * i + k] = 0;
	if (r->vector != 14) {
		r->cr2 = 0;
		return;
	}
	r->error &= 0x17;
	if (r->cr2 - DATA >= 0x12000)
		r->error &= ~1u;
}

#endif
