/*
 * x87: arithmetic to the last bit, rounding, comparisons, the stack, and the images of the environment.
 */
#include "guestos/conformance/test.h"

static UDATA u32 mem[64] __attribute__((aligned(16)));

static struct state fpu(const u8 *code)
{
	struct state s = at_ring(code, 3);

	s.ebx = ADDR(mem);
	run(&s);
	ended(&s, "x87 code");
	return s;
}

CODE(thirds, "fninit; fld1; push $3; fildl (%esp); fdivrp; fstl (%ebx); fsts 8(%ebx); fstpt 12(%ebx); push $2; fildl (%esp); fsqrt; fstpl "
	     "24(%ebx); fldpi; fstpt 32(%ebx);"
	     "fldl2e; fldln2; fmulp; fstpl 48(%ebx); add $8, %esp; fnstsw %ax");

TEST(thirds, "x87.division and square root to the last bit")
{
	struct state s = fpu(thirds);

	EQ(mem[0], 0x55555555, "1/3, double");
	EQ(mem[1], 0x3fd55555, "1/3, double");
	EQ(mem[2], 0x3eaaaaab, "1/3, single");
	EQ(mem[3], 0xaaaaaaab, "1/3, extended");
	EQ(mem[4], 0xaaaaaaaa, "1/3, extended");
	EQ(mem[5] & 0xffff, 0x3ffd, "1/3, extended");
	EQ(mem[6], 0x667f3bcd, "sqrt 2");
	EQ(mem[7], 0x3ff6a09e, "sqrt 2");
	EQ(mem[8], 0x2168c235, "pi");
	EQ(mem[9], 0xc90fdaa2, "pi");
	EQ(mem[12], 0, "log2 e * ln 2");
	EQ(mem[13], 0x3ff00000, "log2 e * ln 2");
	EQ(s.eax & 0x3800, 0, "top");
}

CODE(rounding, "fldcw (%ebx); fildl 4(%ebx); push $2; fidivl (%esp); pop %eax; fld %st(0); frndint; fistpl 8(%ebx); fistpl 12(%ebx)");

TEST(rounding, "x87.the four rounding modes")
{
	static const s32 want[4][2] = {{2, -2}, {2, -3}, {3, -2}, {2, -2}};

	for (u32 rc = 0; rc < 4; rc++)
		for (u32 neg = 0; neg < 2; neg++) {
			asm volatile("fninit");
			mem[0] = 0x37f | rc << 10;
			mem[1] = neg ? (u32)-5 : 5;
			fpu(rounding);
			EQ(mem[2], want[rc][neg], "frndint of 2.5");
			EQ(mem[3], want[rc][neg], "fistp of 2.5");
		}
	asm volatile("fninit");
}

CODE(precision, "fldcw (%ebx); fld1; push $3; fildl (%esp); fdivrp; fstpt 12(%ebx); pop %eax");

TEST(precision, "x87.precision control")
{
	asm volatile("fninit");
	mem[0] = 0x27f;
	fpu(precision);
	EQ(mem[3], 0xaaaaa800, "1/3 to double, low word");
	mem[0] = 0x07f;
	fpu(precision);
	EQ(mem[3], 0, "1/3 to single, low word");
	EQ(mem[4], 0xaaaaab00, "1/3 to single, high word");
	asm volatile("fninit");
}

CODE(compare, "fninit; fldl (%ebx); fldl 8(%ebx); fcom; fnstsw %ax; fucomi %st(1); pushf; pop %ecx; fcomip %st(1); pushf; pop %edx; fstp "
	      "%st(0); fld1; fchs; ftst;"
	      "mov %eax, %esi; fnstsw %ax; fxam; mov %eax, %edi; fnstsw %ax; fcmovnb %st(0), %st");

static void compare_case(u32 lo, u32 hi, u32 sw, u32 flags, const char *what)
{
	struct state s;

	mem[0] = 0;
	mem[1] = 0x40000000; /* 2.0 */
	mem[2] = lo;
	mem[3] = hi;
	s = fpu(compare);
	EQ(s.esi & 0x4500, sw, what);
	EQ(s.ecx & (FL_ZF | FL_PF | FL_CF), flags, what);
	EQ(s.edx & (FL_ZF | FL_PF | FL_CF), flags, what);
	EQ(s.edi & 0x4500, 0x100, "ftst of -1");
	EQ(s.eax & 0x4700, 0x600, "fxam of -1");
}

TEST(compare, "x87.fcom fucomi fcomip ftst fxam")
{
	compare_case(0, 0x3ff00000, 0x100, FL_CF, "1 with 2");
	compare_case(0, 0x40080000, 0, 0, "3 with 2");
	compare_case(0, 0x40000000, 0x4000, FL_ZF, "2 with 2");
	compare_case(0, 0x7ff80000, 0x4500, FL_ZF | FL_PF | FL_CF, "NaN with 2");
}

CODE(integers, "fninit; fildq (%ebx); fistpq 8(%ebx); fildl (%ebx); fistps 16(%ebx); filds (%ebx); fistl 20(%ebx); fistpl 24(%ebx); fbld "
	       "32(%ebx); fistpl 44(%ebx); fildl 44(%ebx);"
	       "fbstp 48(%ebx); fnstsw %ax");

TEST(integers, "x87.integer and decimal operands")
{
	struct state s;

	mem[0] = 0x89abcdef;
	mem[1] = 0x01234567;
	mem[8] = 0x00123456;
	mem[9] = 0;
	mem[10] = 0x8000;
	s = fpu(integers);
	EQ(mem[2], 0x89abcdef, "64 bits, low");
	EQ(mem[3], 0x01234567, "64 bits, high");
	EQ(mem[4] & 0xffff, 0x8000, "a 32-bit value that does not fit 16 bits");
	EQ(mem[5], 0xffffcdef, "16 bits");
	EQ(mem[11], (u32)-123456, "fbld");
	EQ(mem[12], 0x123456, "fbstp");
	EQ(mem[14] & 0xffff, 0x8000, "fbstp, sign");
	EQ(s.eax & 1, 1, "IE");
}

CODE(misc, "fninit; fldpi; fxtract; fstpl (%ebx); fstpl 8(%ebx); push $5; fildl (%esp); fldpi; fscale; fstpl 16(%ebx); push $7; fildl "
	   "(%esp); fprem; fstpl 24(%ebx); fstp %st(0);"
	   "fld1; fabs; fchs; fstps 32(%ebx); add $8, %esp; fldz; fdivr %st(0); fnstsw %ax; fstpt 36(%ebx); fld1; fxch; fstp %st(0)");

TEST(misc, "x87.fxtract fscale fprem fabs fchs, 0/0")
{
	struct state s;

	s = fpu(misc);
	EQ(mem[1], 0x3ff921fb, "significand of pi");
	EQ(mem[3], 0x3ff00000, "exponent of pi");
	EQ(mem[5], 0x405921fb, "pi * 32");
	EQ(s.eax & 1, 1, "IE after 0/0");
	EQ(mem[9], 0, "0/0, low");
	EQ(mem[10], 0xc0000000, "0/0, high");
	EQ(mem[11] & 0xffff, 0xffff, "0/0, exponent");
	EQ(mem[8], 0xbf800000, "-1");
}

CODE(stack, "fninit; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1; fnstsw %ax; mov %eax, %ecx; fld1; fnstsw %ax; mov %eax, %ebp; fnclex; "
	    "fninit; fstp %st(0); fnstsw "
	    "%ax; mov %eax, %edx; ffree %st(3); fdecstp; fincstp; fincstp; fnstsw %ax; mov %eax, %esi; mov %ebp, %eax");

TEST(stack, "x87.stack overflow and underflow")
{
	struct state s;

	if (qemu_skips("x87 stack faults are not detected"))
		return;
	s = fpu(stack);
	EQ(s.ecx & 0x3a41, 0, "status of a full stack");
	EQ(s.eax & 0x0241, 0x241, "status of an overflow");
	EQ(s.edx & 0x0241, 0x041, "status of an underflow");
	EQ(s.esi & 0x3800, 2 << 11, "top after fincstp");
}

CODE(env, "fninit; fld1; env_at: fldl (%ebx); fnstenv 64(%ebx); fninit; fldenv 64(%ebx); fnstcw 96(%ebx); fnstsw 98(%ebx); fnsave "
	  "112(%ebx); fnstsw %ax;"
	  "frstor 112(%ebx); fstpl 8(%ebx); fstpl 16(%ebx); .byte 0x66; fnstenv 32(%ebx)");

TEST(env, "x87.fnstenv fldenv fnsave frstor")
{
	struct state s;

	mem[0] = 0;
	mem[1] = 0x40140000;
	s = fpu(env);
	EQ(mem[16] & 0xffff, 0x37f, "control word");
	EQ(mem[17] & 0x3800, 6 << 11, "status word");
	EQ(mem[18] & 0xffff, 0x0fff, "tag word");
	EQ(mem[24] & 0xffff, 0x37f, "control word after fldenv");
	EQ(mem[24] >> 16 & 0x3800, 6 << 11, "status word after fldenv");
	EQ(s.eax & 0x3800, 0, "status word after fnsave");
	EQ(mem[3], 0x40140000, "st0 after frstor");
	EQ(mem[5], 0x3ff00000, "st1 after frstor");
	EQ(mem[8] & 0xffff, 0x37f, "control word of a 16-bit image");
}

TEST(env_pointers, "x87.instruction and operand pointers in fnstenv")
{
	mem[0] = 0;
	mem[1] = 0x40140000;
	fpu(env);
	EQ(mem[19], ADDR(env_at), "FIP");
	EQ(mem[21], ADDR(mem), "FDP");
}

CODE(cw, "fninit; fnstcw (%ebx); movw $0x0c7f, 2(%ebx); fldcw 2(%ebx); fnstcw 4(%ebx); fninit; fnstcw 6(%ebx); fnstsw 8(%ebx)");

TEST(control, "x87.control and status words")
{
	fpu(cw);
	EQ(mem[0] & 0xffff, 0x37f, "after fninit");
	EQ(mem[1] & 0xff7f, 0x0c7f & 0xff7f, "after fldcw");
	EQ(mem[1] >> 16, 0x37f, "after fninit");
	EQ(mem[2] & 0xffff, 0, "status");
}

CODE(loop, "fninit; fldz; fld1; mov $1000, %ecx; 1: fadd %st(0), %st(1); fld %st(0); fmul %st(2); fstp %st(0); dec %ecx; jnz 1b; fstp "
	   "%st(0); fistpl (%ebx)");

TEST(loop, "x87.state across blocks and rings")
{
	fpu(loop);
	EQ(mem[0], 1000, "sum");
}
