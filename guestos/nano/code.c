/*
 * Nanobenchmarks of what depends on code and data beside each other: string instructions, atomics, and code that is rewritten and executed
 * each time.
 */
#include "guestos/nano/nano.h"

static u8 from[4096] __attribute__((aligned(4096))), to[4096] __attribute__((aligned(4096)));
static u8 code_page[4096] __attribute__((aligned(4096)));
static u32 counter;

static inline void copy(u32 n)
{
	u32 c = n / 4;
	void *d = to;
	const void *s = from;

	asm volatile("rep movsl" : "+c"(c), "+D"(d), "+S"(s)::"memory");
}

static inline void fill(u32 n)
{
	u32 c = n / 4;
	void *d = to;

	asm volatile("rep stosl" : "+c"(c), "+D"(d) : "a"(0) : "memory");
}

/* mov $n, %eax; ret. The compiler must not know what it calls. */
static inline u32 call_code(void)
{
	u32 r;

	asm volatile("call *%1" : "=a"(r) : "r"(code_page) : "memory");
	return r;
}

void nano_code(void)
{
	u32 wrong = 0;

	BENCH("rep_movsl_64_bytes", 20000, copy(64));
	BENCH("rep_movsl_4096_bytes", 5000, copy(4096));
	BENCH("rep_stosl_4096_bytes", 5000, fill(4096));
	BENCH("lock_add", 100000, asm volatile("lock addl $1, %0" : "+m"(counter)));

	code_page[0] = 0xb8;
	code_page[5] = 0xc3;
	BENCH("code_call", 20000, call_code());
	BENCH("code_data_beside", 5000, {
		*(volatile u32 *)(code_page + 2048) = i;
		call_code();
	});
	BENCH("code_rewrite_same", 2000, {
		*(volatile u32 *)(code_page + 1) = 7;
		wrong += call_code() != 7;
	});
	BENCH("code_rewrite", 2000, {
		*(volatile u32 *)(code_page + 1) = i;
		wrong += call_code() != i;
	});
	if (wrong)
		print("NOTE rewritten code: %u old results\n", wrong);
}
