/* Copying and filling by the string instructions, short and long, as kernels do it. */
#include "bench.h"

#define LONG  (256 * 1024)
#define SHORT 60000

static void copy_bytes(void *to, const void *from, u32 n)
{
	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void copy_words(void *to, const void *from, u32 n)
{
	n /= 4;
	asm volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void fill(void *to, u8 value, u32 n)
{
	asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
}

u32 row_rep_string(void)
{
	static u8 a[LONG + 256], b[LONG + 256];
	u32 i, random = 5;

	bench_text(a, 4096);
	for (i = 0; i < 64; i++) {
		copy_words(b, a, LONG);
		copy_bytes(a + 64, b, LONG);
		fill(a + 4096 * (i & 31), (u8)i, 8192);
	}
	for (i = 0; i < SHORT; i++) {
		u32 r = bench_random(&random), n = r & 63;

		copy_bytes(b + (r >> 8 & 0xffff), a + (r >> 12 & 0xffff), n);
		copy_words(a + (r >> 10 & 0xffff), b + (r >> 16), n);
		fill(b + (r >> 15), (u8)r, n);
	}
	return bench_crc32(0, a, 65536) ^ bench_crc32(0, b, 65536);
}
