/*
 * Integer arithmetic: results and flags of every width in register and memory form, against a model in C.
 */
#include "guestos/conformance/test.h"

/* Registers and flags around one instruction; the offsets are known to OP(). m is what ESI points to. */
struct alu {
	u32 a, d, c, f;
	u32 m[4];
};

#define OP(id, insn)                                                                                                                       \
	static void id(struct alu *x)                                                                                                      \
	{                                                                                                                                  \
		asm volatile(                                                                                                              \
			"pushl 12(%0)\n\tpopf\n\tmov (%0), %%eax\n\tmov 4(%0), %%edx\n\tmov 8(%0), %%ecx\n\tlea 16(%0), %%esi\n\t" insn    \
			"\n\tmov %%eax, (%0)\n\tmov %%edx, 4(%0)\n\tmov %%ecx, 8(%0)\n\tpushf\n\tpopl 12(%0)"                              \
			:                                                                                                                  \
			: "b"(x)                                                                                                           \
			: "eax", "ecx", "edx", "esi", "memory", "cc");                                                                     \
	}

typedef void (*op_fn)(struct alu *);

static const u32 values[] = {0,		 1,	     2,		 0xf,	     0x10,	 0x7e,	     0x7f,
			     0x80,	 0x81,	     0xfe,	 0xff,	     0x7fff,	 0x8000,     0xffff,
			     0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0x12345678, 0xa5c3e187};
enum { N_VALUES = sizeof(values) / sizeof(values[0]) };

static const u32 masks[3] = {0xff, 0xffff, 0xffffffff};
static const u32 tops[3] = {0x80, 0x8000, 0x80000000};
static const char *const widths[3] = {"8", "16", "32"};

static u32 base_flags(void)
{
	return FL_ONE | (no_irq ? 0 : FL_IF);
}

static u32 szp(u32 r, int w)
{
	u32 b = r & 0xff;

	b ^= b >> 4;
	b ^= b >> 2;
	b ^= b >> 1;
	return (r & tops[w] ? FL_SF : 0) | ((r & masks[w]) == 0 ? FL_ZF : 0) | (b & 1 ? 0 : FL_PF);
}

static u32 merge(u32 old, u32 r, int w)
{
	return (old & ~masks[w]) | (r & masks[w]);
}

enum binary { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST_, N_BINARY };

/* The model: result and flags of a binary operation; cf in, arithmetic flags out. */
static u32 binary_model(enum binary op, u32 a, u32 b, u32 cf, int w, u32 *flags)
{
	u32 m = masks[w], r;
	u64 wide;

	a &= m;
	b &= m;
	switch (op) {
	case ADD:
	case ADC:
		wide = (u64)a + b + (op == ADC ? cf : 0);
		r = (u32)wide & m;
		*flags = szp(r, w) | (wide > m ? FL_CF : 0) | ((a ^ b ^ r) & 0x10 ? FL_AF : 0) | (~(a ^ b) & (a ^ r) & tops[w] ? FL_OF : 0);
		return r;
	case SUB:
	case SBB:
	case CMP:
		wide = (u64)a - b - (op == SBB ? cf : 0);
		r = (u32)wide & m;
		*flags = szp(r, w) | (wide > m ? FL_CF : 0) | ((a ^ b ^ r) & 0x10 ? FL_AF : 0) | ((a ^ b) & (a ^ r) & tops[w] ? FL_OF : 0);
		return op == CMP ? a : r;
	case AND:
	case TEST_:
		r = a & b;
		break;
	case OR:
		r = a | b;
		break;
	default:
		r = a ^ b;
	}
	*flags = szp(r, w);
	return op == TEST_ ? a : r;
}

#define BINARY(name)                                                                                                                       \
	OP(name##8r, #name " %%dl, %%al")                                                                                                  \
	OP(name##16r, #name " %%dx, %%ax")                                                                                                 \
	OP(name##32r, #name " %%edx, %%eax")                                                                                               \
	OP(name##8m, #name "b %%dl, (%%esi)")                                                                                              \
	OP(name##16m, #name "w %%dx, (%%esi)")                                                                                             \
	OP(name##32m, #name "l %%edx, (%%esi)")
BINARY(add)
BINARY(or)
BINARY(adc)
BINARY(sbb)
BINARY(and)
BINARY(sub)
BINARY(xor)
BINARY(cmp)
BINARY(test)

#define ROW(n)                                                                                                                             \
	{                                                                                                                                  \
#n, {n##8r, n##16r, n##32r },                                                                                              \
		{                                                                                                                          \
			n##8m, n##16m, n##32m                                                                                              \
		}                                                                                                                          \
	}
static const struct {
	const char *name;
	op_fn reg[3], mem[3];
} binaries[N_BINARY] = {ROW(add), ROW(or), ROW(adc), ROW(sbb), ROW(and), ROW(sub), ROW(xor), ROW(cmp), ROW(test)};

static void compare(const char *name, int w, u32 a, u32 b, u32 f_in, u32 got, u32 want, u32 got_f, u32 want_f, u32 f_mask)
{
	if (got != want)
		fail("%s%s %x, %x (flags %x): result %x, want %x", name, widths[w], a, b, f_in, got, want);
	if ((got_f ^ want_f) & f_mask)
		fail("%s%s %x, %x (flags %x): flags %x, want %x", name, widths[w], a, b, f_in, got_f & f_mask, want_f & f_mask);
	if ((got_f ^ f_in) & ~(u32)FL_ARITH)
		fail("%s%s: other flags changed from %x to %x", name, widths[w], f_in, got_f);
}

TEST(binary, "isa.add or adc sbb and sub xor cmp test")
{
	for (u32 op = 0; op < N_BINARY; op++) {
		u32 mask = op == AND || op == OR || op == XOR || op == TEST_ ? FL_ARITH & ~FL_AF : FL_ARITH;

		for (u32 i = 0; i < N_VALUES * N_VALUES * 6; i++) {
			u32 a = values[i / 6 % N_VALUES], b = values[i / 6 / N_VALUES], cf = i & 1, want_f, want;
			int w = (int)(i / 2 % 3);
			u32 f = base_flags() | (cf ? FL_CF | FL_OF | FL_AF : FL_ZF | FL_SF | FL_PF);
			struct alu x = {a, b, 0, f, {a, 0x77777777}};

			want = binary_model((enum binary)op, a, b, cf, w, &want_f);
			binaries[op].reg[w](&x);
			compare(binaries[op].name, w, a, b, f, x.a, merge(a, want, w), x.f, want_f, mask);
			x = (struct alu){a, b, 0, f, {a, 0x77777777}};
			binaries[op].mem[w](&x);
			compare(binaries[op].name, w, a, b, f, x.m[0], merge(a, want, w), x.f, want_f, mask);
			EQ(x.m[1], 0x77777777, "memory beyond the operand");
		}
	}
}

#define UNARY(name)                                                                                                                        \
	OP(name##8r, #name " %%al")                                                                                                        \
	OP(name##16r, #name " %%ax")                                                                                                       \
	OP(name##32r, #name " %%eax")                                                                                                      \
	OP(name##8m, #name "b (%%esi)")                                                                                                    \
	OP(name##16m, #name "w (%%esi)")                                                                                                   \
	OP(name##32m, #name "l (%%esi)")
UNARY(inc)
UNARY(dec)
UNARY(neg)
UNARY(not )

static const struct {
	const char *name;
	op_fn reg[3], mem[3];
} unaries[4] = {ROW(inc), ROW(dec), ROW(neg), ROW(not )};

TEST(unary, "isa.inc dec neg not")
{
	for (u32 op = 0; op < 4; op++)
		for (u32 i = 0; i < N_VALUES * 6; i++) {
			u32 a = values[i / 6], cf = i & 1, want_f, want;
			int w = (int)(i / 2 % 3);
			u32 f = base_flags() | (cf ? FL_CF : FL_OF | FL_AF), f_in = f & FL_ARITH;
			struct alu x = {a, 0, 0, f, {a}};

			if (op == 0)
				want = binary_model(ADD, a, 1, 0, w, &want_f);
			else if (op == 1)
				want = binary_model(SUB, a, 1, 0, w, &want_f);
			else if (op == 2)
				want = binary_model(SUB, 0, a, 0, w, &want_f);
			else
				want = ~a, want_f = f_in;
			if (op < 2)
				want_f = (want_f & ~(u32)FL_CF) | (f & FL_CF);
			unaries[op].reg[w](&x);
			compare(unaries[op].name, w, a, 0, f, x.a, merge(a, want, w), x.f, want_f, FL_ARITH);
			x = (struct alu){a, 0, 0, f, {a}};
			unaries[op].mem[w](&x);
			compare(unaries[op].name, w, a, 0, f, x.m[0], merge(a, want, w), x.f, want_f, FL_ARITH);
		}
}

enum shift { ROL, ROR, RCL, RCR, SHL, SHR, SAR, N_SHIFT };

/* The model works bit by bit, as the manual's pseudo-code does. *flags: in and out; *defined: which are defined. */
static u32 shift_model(enum shift op, u32 a, u32 count, int w, u32 *flags, u32 *defined)
{
	u32 m = masks[w], top = tops[w], cf = *flags & FL_CF, first = a & m, n;

	count &= 31;
	*defined = FL_ARITH;
	if (!count)
		return a & m;
	a &= m;
	n = count;
	if ((op == RCL || op == RCR) && w < 2)
		n %= w ? 17 : 9;
	for (; n; n--) {
		u32 out = op == ROL || op == RCL || op == SHL ? !!(a & top) : a & 1;

		switch (op) {
		case ROL:
			a = (a << 1 | out) & m;
			break;
		case ROR:
			a = a >> 1 | (out ? top : 0);
			break;
		case RCL:
			a = (a << 1 | cf) & m;
			break;
		case RCR:
			a = a >> 1 | (cf ? top : 0);
			break;
		case SHL:
			a = a << 1 & m;
			break;
		case SHR:
			a >>= 1;
			break;
		default:
			a = a >> 1 | (a & top);
		}
		cf = out;
	}
	*defined = FL_CF | (count == 1 ? FL_OF : 0);
	if (op == SHL || op == SHR || op == SAR) {
		*defined |= FL_SF | FL_ZF | FL_PF;
		*flags = szp(a, w);
		if (op != SAR && count >= (8u << w))
			*defined &= ~(u32)FL_CF;
	} else {
		*defined |= FL_SF | FL_ZF | FL_PF | FL_AF;
	}
	*flags = (*flags & ~(u32)(FL_CF | FL_OF)) | cf;
	if (op == ROL || op == RCL || op == SHL ? (!!(a & top) != cf)
	    : op == SHR				? first & top
	    : op == SAR				? 0
						: !!(a & top) != !!(a & top >> 1))
		*flags |= FL_OF;
	return a;
}

#define SHIFT(name)                                                                                                                        \
	OP(name##8r, #name " %%cl, %%al")                                                                                                  \
	OP(name##16r, #name " %%cl, %%ax")                                                                                                 \
	OP(name##32r, #name " %%cl, %%eax")                                                                                                \
	OP(name##8m, #name "b %%cl, (%%esi)")                                                                                              \
	OP(name##16m, #name "w %%cl, (%%esi)")                                                                                             \
	OP(name##32m, #name "l %%cl, (%%esi)")                                                                                             \
	OP(name##1, #name "l %%eax")                                                                                                       \
	OP(name##5, #name "l $5, %%eax")
SHIFT(rol)
SHIFT(ror)
SHIFT(rcl)
SHIFT(rcr)
SHIFT(shl)
SHIFT(shr)
SHIFT(sar)

static const struct {
	const char *name;
	op_fn reg[3], mem[3];
} shifts[N_SHIFT] = {ROW(rol), ROW(ror), ROW(rcl), ROW(rcr), ROW(shl), ROW(shr), ROW(sar)};
static const op_fn shifts_imm[N_SHIFT][2] = {{rol1, rol5}, {ror1, ror5}, {rcl1, rcl5}, {rcr1, rcr5},
					     {shl1, shl5}, {shr1, shr5}, {sar1, sar5}};

TEST(shift, "isa.rol ror rcl rcr shl shr sar")
{
	for (u32 op = 0; op < N_SHIFT; op++)
		for (u32 i = 0; i < N_VALUES; i++)
			for (u32 count = 0; count < 40; count++)
				for (u32 k = 0; k < 6; k++) {
					u32 a = values[i], want, mask, want_f;
					int w = (int)(k % 3);
					u32 f = base_flags() | (k & 1 ? FL_CF | FL_ZF : FL_OF | FL_AF | FL_PF);
					struct alu x = {a, 0, count, f, {a}};

					want_f = f & FL_ARITH;
					want = shift_model((enum shift)op, a, count, w, &want_f, &mask);
					shifts[op].reg[w](&x);
					compare(shifts[op].name, w, a, count, f, x.a, merge(a, want, w), x.f, want_f, mask);
					x = (struct alu){a, 0, count, f, {a}};
					shifts[op].mem[w](&x);
					compare(shifts[op].name, w, a, count, f, x.m[0], merge(a, want, w), x.f, want_f, mask);
				}
}

TEST(shift_imm, "isa.shifts by 1 and by an immediate")
{
	for (u32 op = 0; op < N_SHIFT; op++)
		for (u32 i = 0; i < N_VALUES * 2; i++) {
			u32 a = values[i / 2], f = base_flags() | FL_CF, want_f = FL_CF, mask, want;
			struct alu x = {a, 0, 0, f, {0}};

			want = shift_model((enum shift)op, a, i & 1 ? 5 : 1, 2, &want_f, &mask);
			shifts_imm[op][i & 1](&x);
			compare(shifts[op].name, 2, a, i & 1 ? 5 : 1, f, x.a, want, x.f, want_f, mask);
		}
}

OP(shld32, "shld %%cl, %%edx, %%eax")
OP(shrd32, "shrd %%cl, %%edx, %%eax")
OP(shld16, "shld %%cl, %%dx, %%ax")
OP(shrd16, "shrd %%cl, %%dx, %%ax")
OP(shld32m, "shld %%cl, %%edx, (%%esi)")
OP(shrd32i, "shrdl $7, %%edx, (%%esi)")

static void double_shift(op_fn fn, int right, int w, u32 a, u32 d, u32 count, int mem, const char *name)
{
	u32 bits = 8u << w, n = count & 31, f = base_flags() | FL_CF | FL_ZF, want, want_f = FL_CF | FL_ZF, mask = FL_ARITH;
	struct alu x = {a, d, count, f, {a}};
	u64 both;

	if (n >= bits)
		return; /* undefined */
	want = a & masks[w];
	if (n) {
		d &= masks[w];
		both = right ? (u64)d << bits | want : (u64)want << bits | d;
		mask = FL_CF | FL_ZF | FL_SF | FL_PF | (n == 1 ? FL_OF : 0);
		if (right) {
			want_f = (u32)(both >> (n - 1) & 1);
			want = (u32)(both >> n) & masks[w];
		} else {
			want_f = (u32)(both >> (2 * bits - n) & 1);
			want = (u32)(both << n >> bits) & masks[w];
		}
		want_f |= szp(want, w) | ((want ^ a) & tops[w] ? FL_OF : 0);
	}
	fn(&x);
	compare(name, w, a, count, f, mem ? x.m[0] : x.a, merge(a, want, w), x.f, want_f, mask);
}

TEST(shld, "isa.shld shrd")
{
	for (u32 i = 0; i < N_VALUES * N_VALUES; i++)
		for (u32 n = 0; n < 34; n++) {
			u32 a = values[i % N_VALUES], d = values[i / N_VALUES];

			double_shift(shld32, 0, 2, a, d, n, 0, "shld");
			double_shift(shrd32, 1, 2, a, d, n, 0, "shrd");
			double_shift(shld16, 0, 1, a, d, n, 0, "shld");
			double_shift(shrd16, 1, 1, a, d, n, 0, "shrd");
			double_shift(shld32m, 0, 2, a, d, n, 1, "shld mem");
		}
	for (u32 i = 0; i < N_VALUES; i++)
		double_shift(shrd32i, 1, 2, values[i], 0x12345678, 7, 1, "shrd imm");
}

OP(mul8, "mulb %%dl")
OP(mul16, "mulw %%dx")
OP(mul32, "mull %%ecx")
OP(imul8, "imulb %%dl")
OP(imul16, "imulw (%%esi)")
OP(imul32, "imull (%%esi)")
OP(imul2, "imul %%edx, %%eax")
OP(imul2w, "imul %%dx, %%ax")
OP(imul3, "imul $-77, %%edx, %%eax")
OP(imul3m, "imull $0x12345, (%%esi), %%eax")

static u64 sx(u32 v, int w)
{
	return w == 0 ? (u64)(int64_t)(int8_t)v : w == 1 ? (u64)(int64_t)(int16_t)v : (u64)(int64_t)(s32)v;
}

static void mul_case(op_fn fn, u32 a, u32 b, u32 got_lo, u32 got_hi, u32 want_lo, u32 want_hi, u32 f, int over, const char *name)
{
	(void)fn;
	if (got_lo != want_lo || got_hi != want_hi)
		fail("%s %x * %x: %x:%x, want %x:%x", name, a, b, got_hi, got_lo, want_hi, want_lo);
	if ((f & (FL_CF | FL_OF)) != (over ? FL_CF | FL_OF : 0u))
		fail("%s %x * %x: flags %x", name, a, b, f & FL_ARITH);
}

TEST(mul, "isa.mul imul")
{
	for (u32 i = 0; i < N_VALUES * N_VALUES; i++) {
		u32 a = values[i % N_VALUES], b = values[i / N_VALUES], f = base_flags();
		struct alu x = {a, b, b, f, {b}};
		u64 p = (u64)a * b;

		mul32(&x);
		mul_case(mul32, a, b, x.a, x.d, (u32)p, (u32)(p >> 32), x.f, p >> 32 != 0, "mul32");
		x = (struct alu){a, b, b, f, {b}};
		p = (u64)(u16)a * (u16)b;
		mul16(&x);
		mul_case(mul16, a, b, x.a, x.d, merge(a, (u32)p, 1), merge(b, (u32)p >> 16, 1), x.f, p >> 16 != 0, "mul16");
		x = (struct alu){a, b, b, f, {b}};
		p = (u64)(u8)a * (u8)b;
		mul8(&x);
		mul_case(mul8, a, b, x.a, x.d, merge(a, (u32)p, 1), b, x.f, p >> 8 != 0, "mul8");
		x = (struct alu){a, b, b, f, {b}};
		p = sx(a, 2) * sx(b, 2);
		imul32(&x);
		mul_case(imul32, a, b, x.a, x.d, (u32)p, (u32)(p >> 32), x.f, p != sx((u32)p, 2), "imul32");
		x = (struct alu){a, b, b, f, {b}};
		imul2(&x);
		mul_case(imul2, a, b, x.a, x.d, (u32)p, b, x.f, p != sx((u32)p, 2), "imul r, r");
		x = (struct alu){a, b, b, f, {b}};
		p = sx(a, 1) * sx(b, 1);
		imul16(&x);
		mul_case(imul16, a, b, x.a, x.d, merge(a, (u32)p, 1), merge(b, (u32)p >> 16, 1), x.f, p != sx((u32)p, 1), "imul16");
		x = (struct alu){a, b, b, f, {b}};
		imul2w(&x);
		mul_case(imul2w, a, b, x.a, x.d, merge(a, (u32)p, 1), b, x.f, p != sx((u32)p, 1), "imul r16, r16");
		x = (struct alu){a, b, b, f, {b}};
		p = sx(a, 0) * sx(b, 0);
		imul8(&x);
		mul_case(imul8, a, b, x.a, x.d, merge(a, (u32)p, 1), b, x.f, p != sx((u32)p, 0), "imul8");
		x = (struct alu){a, b, b, f, {b}};
		p = sx(b, 2) * (u64)-77ll;
		imul3(&x);
		mul_case(imul3, a, b, x.a, x.d, (u32)p, b, x.f, p != sx((u32)p, 2), "imul imm8");
		x = (struct alu){a, b, b, f, {b}};
		p = sx(b, 2) * 0x12345ull;
		imul3m(&x);
		mul_case(imul3m, a, b, x.a, x.d, (u32)p, b, x.f, p != sx((u32)p, 2), "imul imm32");
	}
}

OP(div32, "divl %%ecx")
OP(idiv32, "idivl %%ecx")
OP(div16, "divw %%cx")
OP(idiv16, "idivw (%%esi)")
OP(div8, "divb %%cl")
OP(idiv8, "idivb %%cl")

TEST(div, "isa.div idiv")
{
	struct alu x = {0x89abcdef, 0x01234567, 0x10203040, base_flags(), {0}};

	/* quotient and remainder satisfy q * d + r == n, r < d */
	div32(&x);
	if ((u64)x.a * x.c + x.d != 0x0123456789abcdefull || x.d >= x.c)
		fail("div32: %x rem %x", x.a, x.d);
	x = (struct alu){(u32)-1000000, 0xffffffff, 7, base_flags(), {0}};
	idiv32(&x);
	EQ(x.a, (u32)-142857, "idiv32 quotient");
	EQ(x.d, (u32)-1, "idiv32 remainder");
	x = (struct alu){1000000, 0, (u32)-7, base_flags(), {0}};
	idiv32(&x);
	EQ(x.a, (u32)-142857, "idiv32 quotient");
	EQ(x.d, 1, "idiv32 remainder");
	x = (struct alu){0x1111d431, 0x22220003, 0x33333039, base_flags(), {0}};
	div16(&x);
	EQ(x.a, 0x11110000u | 0x3d431 / 0x3039, "div16 quotient");
	EQ(x.d, 0x22220000u | 0x3d431 % 0x3039, "div16 remainder");
	x = (struct alu){0x1111ff9c, 0x2222ffff, 0, base_flags(), {7}};
	idiv16(&x);
	EQ(x.a, 0x1111fff2, "idiv16 quotient");
	EQ(x.d, 0x2222fffe, "idiv16 remainder");
	x = (struct alu){0x11110203, 5, 0x44, base_flags(), {0}};
	div8(&x);
	EQ(x.a, 0x11110000u | 0x203 % 0x44 << 8 | 0x203 / 0x44, "div8");
	x = (struct alu){0x1111ff80, 5, 0x11, base_flags(), {0}};
	idiv8(&x);
	EQ(x.a, 0x1111f700u | 0xf9, "idiv8");
}

OP(daa, "daa")
OP(das, "das")
OP(aaa, "aaa")
OP(aas, "aas")
OP(aam, "aam")
OP(aam7, "aam $7")
OP(aad, "aad")
OP(aad3, "aad $3")

/* DAA and DAS by the manual's pseudo-code (SDM Vol. 2A). */
static void decimal_model(int sub, u32 al, u32 f, u32 *r, u32 *rf)
{
	u32 old = al, cf = f & FL_CF, out = 0;

	if ((al & 15) > 9 || f & FL_AF) {
		u32 borrow = sub ? al < 6 : al > 0xf9;

		al = (sub ? al - 6 : al + 6) & 0xff;
		out |= FL_AF | ((cf || borrow) ? FL_CF : 0);
	}
	if (old > 0x99 || cf) {
		al = (sub ? al - 0x60 : al + 0x60) & 0xff;
		out |= FL_CF;
	} else if (!sub) {
		out &= ~(u32)FL_CF;
	}
	*r = al;
	*rf = out | szp(al, 0);
}

TEST(bcd, "isa.daa das aaa aas aam aad")
{
	for (u32 v = 0; v < 1024; v++) {
		u32 a = 0x55550300u | (v & 0xff), fl = (v & 256 ? FL_CF : 0u) | (v & 512 ? FL_AF : 0u), f = base_flags() | fl, r, rf, adj;
		struct alu x = {a, 0, 0, f, {0}};

		daa(&x);
		decimal_model(0, v & 0xff, fl, &r, &rf);
		compare("daa", 0, a, fl, f, x.a, merge(a, r, 0), x.f, rf, FL_ARITH & ~FL_OF);
		x = (struct alu){a, 0, 0, f, {0}};
		das(&x);
		decimal_model(1, v & 0xff, fl, &r, &rf);
		compare("das", 0, a, fl, f, x.a, merge(a, r, 0), x.f, rf, FL_ARITH & ~FL_OF);
		adj = (v & 15) > 9 || fl & FL_AF;
		x = (struct alu){a, 0, 0, f, {0}};
		aaa(&x);
		r = ((a & 0xffff) + (adj ? 0x106 : 0)) & 0xff0f;
		compare("aaa", 1, a, fl, f, x.a, merge(a, r, 1), x.f, adj ? FL_AF | FL_CF : 0, FL_AF | FL_CF);
		x = (struct alu){a, 0, 0, f, {0}};
		aas(&x);
		r = ((a & 0xffff) - (adj ? 0x106 : 0)) & 0xff0f;
		compare("aas", 1, a, fl, f, x.a, merge(a, r, 1), x.f, adj ? FL_AF | FL_CF : 0, FL_AF | FL_CF);
		x = (struct alu){a, 0, 0, f, {0}};
		aam(&x);
		r = (v & 0xff) / 10 << 8 | (v & 0xff) % 10;
		compare("aam", 1, a, fl, f, x.a, merge(a, r, 1), x.f, szp(r, 0), FL_SF | FL_ZF | FL_PF);
		x = (struct alu){a, 0, 0, f, {0}};
		aam7(&x);
		r = (v & 0xff) / 7 << 8 | (v & 0xff) % 7;
		compare("aam 7", 1, a, fl, f, x.a, merge(a, r, 1), x.f, szp(r, 0), FL_SF | FL_ZF | FL_PF);
		x = (struct alu){a, 0, 0, f, {0}};
		aad(&x);
		r = (3 * 10 + v) & 0xff;
		compare("aad", 1, a, fl, f, x.a, merge(a, r, 1), x.f, szp(r, 0), FL_SF | FL_ZF | FL_PF);
		x = (struct alu){a, 0, 0, f, {0}};
		aad3(&x);
		r = (3 * 3 + v) & 0xff;
		compare("aad 3", 1, a, fl, f, x.a, merge(a, r, 1), x.f, szp(r, 0), FL_SF | FL_ZF | FL_PF);
	}
}
