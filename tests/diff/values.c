/*
 * Operands: integers, floating-point numbers of all formats and kinds, FPU states.
 */
#include <string.h>

#include "tests/diff/rand.h"

u32 value_integer(struct rand *r)
{
	static const u32 boundary[] = {
		0,	1,	 2,  0x7f, 0x80, 0xff,	     0x100,	 0x7fff,     0x8000,
		0xffff, 0x10000, 31, 32,   33,	 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe,
	};
	u32 x = rand_u32(r);

	switch (rand_below(r, 8)) {
	case 0:
	case 1:
	case 2:
		return boundary[rand_below(r, sizeof(boundary) / sizeof(boundary[0]))];
	case 3:
		return x & 0xff;
	case 4:
		return (u32)((s32)x >> rand_below(r, 32));
	default:
		return x;
	}
}

static void put32(u8 *p, u32 x)
{
	memcpy(p, &x, 4);
}

static void put64(u8 *p, u64 x)
{
	memcpy(p, &x, 8);
}

static u32 value_single(struct rand *r)
{
	static const u32 special[] = {0,	  0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
				      0x7f800001, 1,	      0x807fffff, 0x00800000, 0x7f7fffff, 0x4f000000, 0xcf000000, 0x40490fdb};

	if (rand_below(r, 3) == 0)
		return special[rand_below(r, 16)];
	return (rand_u32(r) & 0x807fffff) | (127 - 20 + rand_below(r, 60)) << 23;
}

static u64 value_double(struct rand *r)
{
	static const u64 special[] = {
		0,
		1ull << 63,
		0x3ff0000000000000,
		0xbff0000000000000,
		0x7ff0000000000000,
		0xfff0000000000000,
		0x7ff8000000000000,
		0xfff8000000000000,
		0x7ff0000000000001,
		1,
		0x800fffffffffffff,
		0x0010000000000000,
		0x7fefffffffffffff,
		0x41dfffffffc00000,
		0xc1e0000000000000,
		0x400921fb54442d18,
	};

	if (rand_below(r, 3) == 0)
		return special[rand_below(r, 16)];
	return (rand_u64(r) & 0x800fffffffffffff) | (u64)(1023 - 30 + rand_below(r, 80)) << 52;
}

/* 80 bits: 10 bytes at p. */
static void put_extended(struct rand *r, u8 *p)
{
	u64 mantissa = rand_u64(r) | 1ull << 63;
	u32 exponent = 16383 - 40 + rand_below(r, 90);

	switch (rand_below(r, 16)) {
	case 0:
		mantissa = exponent = 0;
		break;
	case 1: /* infinity */
		mantissa = 1ull << 63;
		exponent = 0x7fff;
		break;
	case 2: /* a NaN, perhaps a signalling one */
		exponent = 0x7fff;
		break;
	case 3: /* denormal */
		exponent = 0;
		mantissa >>= 1 + rand_below(r, 60);
		break;
	case 4: /* unnormal: invalid */
		mantissa &= ~(1ull << 63);
		break;
	case 5: /* an integer */
		exponent = 16383 + rand_below(r, 64);
		mantissa &= ~0ull << rand_below(r, 64);
		mantissa |= 1ull << 63;
		break;
	case 6: /* packed decimal */
		for (unsigned i = 0; i < 9; i++)
			p[i] = (u8)(rand_below(r, 10) | rand_below(r, 10) << 4);
		p[9] = rand_below(r, 2) ? 0x80 : 0;
		return;
	case 7:
		mantissa = 1ull << 63;
		exponent = 16383;
		break;
	default:
		break;
	}
	put64(p, mantissa);
	exponent |= rand_below(r, 2) << 15;
	p[8] = (u8)exponent;
	p[9] = (u8)(exponent >> 8);
}

static void put_vector(struct rand *r, u8 *p)
{
	unsigned kind = rand_below(r, 4);

	for (unsigned i = 0; i < 4; i++) {
		if (kind == 0)
			put32(p + 4 * i, value_single(r));
		else if (kind == 1)
			put64(p + 8 * (i & 1), value_double(r));
		else if (kind == 2)
			put32(p + 4 * i, value_integer(r));
		else
			put32(p + 4 * i, rand_u32(r));
	}
}

static u32 value_mxcsr(struct rand *r)
{
	u32 x = 0x1f80;

	switch (rand_below(r, 8)) {
	case 0: /* rounding, FZ, DAZ, sticky flags */
		return x | (rand_u32(r) & 0xe07f);
	case 1: /* some exceptions unmasked */
		return rand_u32(r) & 0xffff;
	default:
		return x;
	}
}

/* Control and status word, in that order: a status that is consistent with the masks. */
static void value_control(struct rand *r, u32 *fcw, u32 *fsw)
{
	*fcw = 0x37f;
	*fsw = rand_below(r, 8) << 11 | (rand_u32(r) & 0x4700);
	switch (rand_below(r, 8)) {
	case 0:
		*fcw = 0x7f | (rand_u32(r) & 0xf00);
		*fsw |= rand_u32(r) & 0x7f;
		break;
	case 1: /* some exceptions unmasked, none pending */
		*fcw = 0x40 | (rand_u32(r) & 0xf3f);
		*fsw |= rand_u32(r) & 0x7f & *fcw & 0x3f;
		break;
	case 2:
		*fcw = 0x40 | (rand_u32(r) & 0xf3f);
		if (rand_below(r, 3) == 0)
			*fsw |= rand_u32(r) & 0x7f;
		break;
	default:
		break;
	}
	if (*fsw & ~*fcw & 0x3f)
		*fsw |= 0x8080;
}

void values_fpu(struct rand *r, u8 *fx)
{
	u32 fcw, fsw, tags = rand_below(r, 3);

	memset(fx, 0, FX_SIZE);
	value_control(r, &fcw, &fsw);
	fx[0] = (u8)fcw;
	fx[1] = (u8)(fcw >> 8);
	fx[2] = (u8)fsw;
	fx[3] = (u8)(fsw >> 8);
	fx[4] = tags == 0 ? 0xff : (u8)rand_u32(r);
	if (tags == 1)
		fx[4] |= (u8)rand_u32(r);
	put32(fx + 24, value_mxcsr(r));
	for (unsigned i = 0; i < 8; i++) {
		put_extended(r, fx + 32 + 16 * i);
		put_vector(r, fx + 160 + 16 * i);
	}
}

static void put_fsave(struct rand *r, u8 *p)
{
	u32 fcw, fsw;

	value_control(r, &fcw, &fsw);
	put32(p, fcw | 0xffff0000);
	put32(p + 4, fsw | 0xffff0000);
	put32(p + 8, rand_u32(r) | 0xffff0000);
	put32(p + 12, rand_u32(r));
	put32(p + 16, rand_u32(r) & 0x07ff0000);
	put32(p + 20, rand_u32(r));
	put32(p + 24, 0xffff0000);
	for (unsigned i = 0; i < 8; i++)
		put_extended(r, p + 28 + 10 * i);
}

void values_fill_pages(u64 seed, u8 (*pages)[4096])
{
	struct rand r;

	rand_seed(&r, ~seed);
	for (unsigned i = 0; i < PAGES; i++) {
		for (unsigned k = 0; k < 4096; k += 16) {
			put_vector(&r, &pages[i][k]);
			if (rand_below(&r, 4) == 0)
				put_extended(&r, &pages[i][k]);
		}
		/* Equal runs, for the repeated comparisons. */
		memset(&pages[i][0x300], (int)rand_below(&r, 3) - 1, 0x200);
	}
	for (unsigned i = 0; i < 2; i++)
		values_fpu(&r, &pages[1][VALUES_FX + 512 * i]);
	for (unsigned i = 0; i < 4; i++) {
		put_fsave(&r, &pages[1][VALUES_FSAVE + 112 * i]);
		put32(&pages[1][VALUES_MXCSR + 4 * i], value_mxcsr(&r));
	}
}
