/*
 * A compressor of the Lempel-Ziv family, greedy, with a hash table of the last place of each four bytes, and its decompressor.
 * The stream: a control byte, below 0x80 that many + 1 literals follow, else a match of (control - 0x80) + 4 bytes, its 16-bit distance
 * follows.
 */
#include <string.h>
#include "bench.h"

#define BYTES	  (512 * 1024)
#define HASH_BITS 14
#define MAX_MATCH (4 + 0x7f)
#define WINDOW	  0xffff

static u32 word_at(const u8 *p)
{
	u32 w;

	memcpy(&w, p, 4);
	return w;
}

static u32 put_literals(u8 *out, const u8 *from, u32 n)
{
	u32 o = 0, part, i;

	for (; n; n -= part, from += part) {
		part = n < 0x80 ? n : 0x80;
		out[o++] = (u8)(part - 1);
		for (i = 0; i < part; i++)
			out[o++] = from[i];
	}
	return o;
}

static u32 compress(u8 *out, const u8 *in, u32 n)
{
	static u32 last[1 << HASH_BITS];
	u32 i = 0, literals = 0, o = 0, length, slot, candidate;

	memset(last, 0xff, sizeof(last));
	while (i + 4 <= n) {
		slot = word_at(in + i) * 2654435761u >> (32 - HASH_BITS);
		candidate = last[slot];
		last[slot] = i;
		if (candidate >= i || i - candidate > WINDOW || word_at(in + candidate) != word_at(in + i)) {
			i++;
			continue;
		}
		for (length = 4; length < MAX_MATCH && i + length < n && in[candidate + length] == in[i + length]; length++)
			;
		o += put_literals(out + o, in + literals, i - literals);
		out[o++] = (u8)(0x80 + length - 4);
		out[o++] = (u8)(i - candidate);
		out[o++] = (u8)((i - candidate) >> 8);
		i += length;
		literals = i;
	}
	return o + put_literals(out + o, in + literals, n - literals);
}

static u32 decompress(u8 *out, const u8 *in, u32 n)
{
	u32 i = 0, o = 0, k, length, distance;

	while (i < n) {
		if (in[i] < 0x80) {
			length = in[i++] + 1u;
			for (k = 0; k < length; k++)
				out[o++] = in[i++];
			continue;
		}
		length = in[i] - 0x80u + 4;
		distance = in[i + 1] | (u32)in[i + 2] << 8;
		i += 3;
		for (k = 0; k < length; k++, o++)
			out[o] = out[o - distance];
	}
	return o;
}

u32 row_lz(void)
{
	static u8 text[BYTES], packed[BYTES + BYTES / 64], again[BYTES];
	u32 n;

	if (!text[0])
		bench_text(text, BYTES);
	n = compress(packed, text, BYTES);
	if (decompress(again, packed, n) != BYTES || memcmp(text, again, BYTES))
		bench_fail("what was compressed is not what comes out");
	return bench_crc32(0, packed, n);
}
