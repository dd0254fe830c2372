/* Rows of plain integer code: loops, branches, recursion, calls through a table. */
#include <string.h>
#include "bench.h"

#define COLLATZ	 60000 /* no member of a sequence that starts below 113,383 leaves 32 bits */
#define SIEVE	 2000000
#define FIB	 31
#define INDIRECT 1000000

u32 row_collatz(void)
{
	u32 n, x, steps = 0;

	for (n = 1; n < COLLATZ; n++)
		for (x = n; x != 1; steps++)
			x = x & 1 ? 3 * x + 1 : x >> 1;
	return steps;
}

u32 row_sieve(void)
{
	static u8 composite[SIEVE];
	u32 i, k, count = 0;

	memset(composite, 0, sizeof(composite));
	for (i = 2; i < SIEVE; i++) {
		if (composite[i])
			continue;
		count++;
		if (i < 65536)
			for (k = i * i; k < SIEVE; k += i)
				composite[k] = 1;
	}
	return count;
}

static __attribute__((noinline, noipa)) u32 fib(u32 n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

u32 row_fib(void)
{
	return fib(FIB);
}

#define F(name, expr)                                                                                                                      \
	static __attribute__((noinline)) u32 name(u32 x)                                                                                   \
	{                                                                                                                                  \
		return expr;                                                                                                               \
	}
F(op_add, x + 0x9e3779b9)
F(op_xor, x ^ 0x85ebca6b)
F(op_rotate, x << 7 | x >> 25)
F(op_multiply, x * 0x01000193)
F(op_mix, x ^ x >> 15)
F(op_negate, ~x)
F(op_shift, x + (x << 3))
F(op_swap, __builtin_bswap32(x))

u32 row_indirect(void)
{
	static u32 (*const table[])(u32) = {op_add, op_xor, op_rotate, op_multiply, op_mix, op_negate, op_shift, op_swap};
	u32 i, random = 1, x = 1;

	for (i = 0; i < INDIRECT; i++)
		x = table[bench_random(&random) >> 8 & (i & 1024 ? 7 : 3)](x);
	return x;
}
