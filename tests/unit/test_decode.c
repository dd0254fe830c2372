/*
 * The decoder's memo against Zydis itself: random instructions of all maps, each several times with other numbers behind the same prefixes,
 * opcode, ModRM and SIB, in both widths. What the memo gives must be what Zydis gives, to the byte.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/cpuid.h"
#include "translator/decode.h"

enum { ROUNDS = 60000, TAILS = 4 };

static u32 next_random(u32 *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void make(u8 code[16], u32 *random)
{
	static const u8 prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};
	unsigned n = 0;

	for (unsigned i = 0; i < 16; i++)
		code[i] = (u8)next_random(random);
	for (u32 r = next_random(random) % 8; r > 4; r--)
		code[n++] = prefixes[next_random(random) % sizeof(prefixes)];
	/* A third of each: one-byte opcodes, 0F, 0F 38 or 0F 3A. */
	u32 map = next_random(random) % 3;
	if (map)
		code[n++] = 0x0f;
	if (map == 2)
		code[n++] = next_random(random) & 1 ? 0x38 : 0x3a;
}

/* Both decode `avail` bytes; true if it was an instruction. */
static bool compare(struct decoder *d, bool wide, const u8 *code, u32 avail)
{
	ZydisDecodedInstruction in, expected;
	ZydisDecodedOperand *ops, expected_ops[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus s = decoder_decode(d, wide, code, avail, &in, &ops);

	ck_assert_uint_eq(s, ZydisDecoderDecodeFull(&d->zydis[wide], code, avail < 15 ? avail : 15, &expected, expected_ops));
	if (!ZYAN_SUCCESS(s))
		return false;
	ck_assert_msg(!memcmp(&in, &expected, sizeof(in)), "%02x %02x %02x %02x %02x %02x: the instruction differs", code[0], code[1],
		      code[2], code[3], code[4], code[5]);
	for (unsigned i = 0; i < in.operand_count; i++)
		ck_assert_msg(!memcmp(&ops[i], &expected_ops[i], sizeof(*ops)), "%02x %02x %02x %02x %02x %02x: operand %u differs",
			      code[0], code[1], code[2], code[3], code[4], code[5], i);
	return true;
}

static struct decoder *new_decoder(u64 features)
{
	struct decoder *d = calloc(1, sizeof(*d));

	ck_assert_ptr_nonnull(d);
	decoder_set_features(d, features);
	return d;
}

START_TEST(same_as_zydis)
{
	struct decoder *d = new_decoder(CPUF_LZCNT);
	u32 random = 1, decoded = 0;

	for (int i = 0; i < ROUNDS; i++) {
		u8 code[16];
		bool wide = next_random(&random) & 1;

		make(code, &random);
		/* All of the instruction but what is behind its first n bytes stays: some of that is numbers. */
		u32 keep = 1 + next_random(&random) % 7;
		for (int k = 0; k < TAILS; k++) {
			decoded += compare(d, wide, code, 16);
			for (u32 b = keep; b < 16; b++)
				code[b] = (u8)next_random(&random);
		}
	}
	ck_assert_uint_gt(decoded, ROUNDS);
	/* It was the memo that answered, often. */
	ck_assert_uint_lt(d->misses, (u64)ROUNDS * TAILS * 9 / 10);
	free(d);
}
END_TEST

START_TEST(every_number_is_put_in)
{
	/* Displacements of 8, 16 and 32 bits, immediates of each kind, both, none. */
	static const u8 codes[][16] = {
		{0x8b, 0x45, 0x7f},
		{0x8b, 0x85},
		{0xa1},
		{0xa2},
		{0x67, 0xa1},
		{0x67, 0x8b, 0x46},
		{0x67, 0x8b, 0x86},
		{0x81, 0x44, 0x24},
		{0x83, 0xc0},
		{0x66, 0x81, 0xc0},
		{0xb8},
		{0xb0},
		{0x68},
		{0x6a},
		{0xe8},
		{0xe9},
		{0xeb},
		{0x74},
		{0x0f, 0x84},
		{0xc8},
		{0xc2},
		{0xd1, 0xe0},
		{0xc1, 0xe0},
		{0x69, 0x80},
		{0x6b, 0x40},
		{0xf7, 0x00},
		{0xf7, 0x10},
		{0x9a},
		{0xea},
		{0xcd},
		{0x8d, 0x04, 0x8d},
		{0x0f, 0xba, 0x60},
		{0x0f, 0xa4, 0x40},
		{0x64, 0xa1},
		{0xc7, 0x85},
		{0xc6, 0x00},
		{0x0f, 0x0f, 0xc1},
	};
	struct decoder *d = new_decoder(0);
	u32 random = 2;

	for (unsigned i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		for (int k = 0; k < 64; k++) {
			u8 code[16];
			unsigned known = 16;

			memcpy(code, codes[i], 16);
			while (known > 1 && !code[known - 1])
				known--;
			for (u32 b = known; k && b < 16; b++)
				code[b] = (u8)next_random(&random);
			compare(d, true, code, 16);
			compare(d, false, code, 16);
		}
	}
	free(d);
}
END_TEST

/* Where a page ends, an instruction that is known in full is not taken for one that is there in full. */
START_TEST(short_of_bytes)
{
	static const u8 code[16] = {0x81, 0x84, 0x24, 1, 2, 3, 4, 5, 6, 7, 8};
	struct decoder *d = new_decoder(0);

	ck_assert(compare(d, true, code, 16));
	for (u32 avail = 1; avail < 16; avail++)
		ck_assert(compare(d, true, code, avail) == (avail >= 11));
	free(d);
}
END_TEST

/* With LZCNT F3 0F BD is that, without it is BSR: nothing of the one is left in the other. */
START_TEST(features)
{
	static const u8 code[16] = {0xf3, 0x0f, 0xbd, 0xc1};
	struct decoder *d = new_decoder(CPUF_LZCNT);
	ZydisDecodedInstruction in;
	ZydisDecodedOperand *ops;

	for (int i = 0; i < 2; i++) {
		decoder_decode(d, true, code, 16, &in, &ops);
		ck_assert_int_eq(in.mnemonic, ZYDIS_MNEMONIC_LZCNT);
	}
	decoder_set_features(d, 0);
	decoder_decode(d, true, code, 16, &in, &ops);
	ck_assert_int_eq(in.mnemonic, ZYDIS_MNEMONIC_BSR);
	free(d);
}
END_TEST

Suite *decode_suite(void);
Suite *decode_suite(void)
{
	Suite *s = suite_create("decode");
	TCase *tc = tcase_create("decode");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, same_as_zydis);
	tcase_add_test(tc, every_number_is_put_in);
	tcase_add_test(tc, short_of_bytes);
	tcase_add_test(tc, features);
	suite_add_tcase(s, tc);
	return s;
}
