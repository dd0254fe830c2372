/*
 * Random numbers and random values of the machine's types. A struct rand is the whole state: the same seed gives the same sequence.
 */
#ifndef DIFF_RAND_H
#define DIFF_RAND_H

#include "tests/diff/case.h"

struct rand {
	u64 state;
};

static inline void rand_seed(struct rand *r, u64 seed)
{
	r->state = seed;
}
/* splitmix64 */
static inline u64 rand_u64(struct rand *r)
{
	u64 z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
static inline u32 rand_u32(struct rand *r)
{
	return (u32)(rand_u64(r) >> 32);
}
/* 0 .. n - 1 */
static inline u32 rand_below(struct rand *r, u32 n)
{
	return (u32)((u64)rand_u32(r) * n >> 32);
}

/* An integer: boundary values as often as random ones. */
u32 value_integer(struct rand *r);
/* An FXSAVE image that FXRSTOR takes: FX_SIZE bytes. */
void values_fpu(struct rand *r, u8 *fx);

/* Places in the second data page of images for FXRSTOR (2), FRSTOR (4) and LDMXCSR (4). */
enum { VALUES_FX = 0x800, VALUES_FSAVE = 0xc00, VALUES_MXCSR = 0xdf0 };
/* Contents of all pages: numbers of all kinds, runs of equal bytes, the images above. */
void values_fill_pages(u64 seed, u8 (*pages)[4096]);

#endif
