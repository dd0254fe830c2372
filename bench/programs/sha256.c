/* SHA-256 (FIPS 180-4) over known data, without any instruction made for it. */
#include "bench.h"

#define BYTES (1024 * 1024)

static u32 rotate(u32 x, u32 n)
{
	return x >> n | x << (32 - n);
}

/* The first 32 bits of the fractional parts of the n-th root (2 or 3) of the first primes, by bisection over integers. */
static u32 root_fraction(u32 prime, u32 power)
{
	u64 low = 0, high = (u64)20 << 32;

	while (high - low > 1) {
		u64 middle = (low + high) / 2;
		/* A number with 32 fractional bits; the 64 bits of a product are enough to tell it from its neighbours. */
		long double m = (long double)middle / 4294967296.0L, p = power == 2 ? m * m : m * m * m;

		if (p <= prime)
			low = middle;
		else
			high = middle;
	}
	return (u32)low;
}

static void constants(u32 *k, u32 *h)
{
	u32 n = 0, p, d;

	for (p = 2; n < 64; p++) {
		for (d = 2; d * d <= p && p % d; d++)
			;
		if (d * d <= p)
			continue;
		if (n < 8)
			h[n] = root_fraction(p, 2);
		k[n++] = root_fraction(p, 3);
	}
}

static void block(u32 *h, const u32 *k, const u8 *p)
{
	u32 w[64], s[8], i, t1, t2;

	for (i = 0; i < 16; i++)
		w[i] = (u32)p[4 * i] << 24 | (u32)p[4 * i + 1] << 16 | (u32)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
		       (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
	for (i = 0; i < 8; i++)
		s[i] = h[i];
	for (i = 0; i < 64; i++) {
		t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
		t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
		s[7] = s[6];
		s[6] = s[5];
		s[5] = s[4];
		s[4] = s[3] + t1;
		s[3] = s[2];
		s[2] = s[1];
		s[1] = s[0];
		s[0] = t1 + t2;
	}
	for (i = 0; i < 8; i++)
		h[i] += s[i];
}

u32 row_sha256(void)
{
	static u8 data[BYTES + 64]; /* the last block: a bit, and the length in bits, big-endian */
	static u32 k[64], first[8];
	u32 h[8], i;

	if (!k[0]) {
		constants(k, first);
		if (k[0] != 0x428a2f98 || k[63] != 0xc67178f2 || first[0] != 0x6a09e667)
			bench_fail("the constants of SHA-256 came out wrong");
		bench_text(data, BYTES);
		data[BYTES] = 0x80;
		data[BYTES + 61] = BYTES * 8 >> 16 & 0xff;
	}
	for (i = 0; i < 8; i++)
		h[i] = first[i];
	for (i = 0; i < BYTES + 64; i += 64)
		block(h, k, data + i);
	return h[0] ^ h[7];
}
