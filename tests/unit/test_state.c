/* Saved states: what is put comes back, on any alignment; what is missing or wrong yields zeros and `error`. */
#include <check.h>

#include "monitor/state.h"

START_TEST(round_trip)
{
	struct state s;
	char text[5] = {0};

	state_init(&s);
	state_put_section(&s, "thing", 7);
	state_put_u8(&s, 0xab);
	state_put_u16(&s, 0x1234);
	state_put_u32(&s, 0xdeadbeef);
	state_put_u64(&s, 0x0123456789abcdefull);
	state_put(&s, "ring", 5);
	ck_assert_uint_eq(state_get_section(&s, "thing"), 7);
	ck_assert_uint_eq(state_get_u8(&s), 0xab);
	ck_assert_uint_eq(state_get_u16(&s), 0x1234);
	ck_assert_uint_eq(state_get_u32(&s), 0xdeadbeef);
	ck_assert_uint_eq(state_get_u64(&s), 0x0123456789abcdefull);
	state_get(&s, text, 5);
	ck_assert_str_eq(text, "ring");
	ck_assert(!s.error);
	ck_assert_uint_eq(s.pos, s.len);
	state_free(&s);
}
END_TEST

START_TEST(little_endian)
{
	struct state s;
	const u8 expect[] = {0x78, 0x56, 0x34, 0x12};

	state_init(&s);
	state_put_u32(&s, 0x12345678);
	ck_assert_uint_eq(s.len, 4);
	ck_assert_mem_eq(s.data, expect, 4);
	state_free(&s);
}
END_TEST

START_TEST(past_the_end)
{
	struct state s;

	state_init(&s);
	state_put_u16(&s, 0xffff);
	ck_assert_uint_eq(state_get_u32(&s), 0);
	ck_assert(s.error);
	ck_assert_uint_eq(state_get_u8(&s), 0);
	state_free(&s);
}
END_TEST

START_TEST(wrong_section)
{
	struct state s;

	state_init(&s);
	state_put_section(&s, "pic", 1);
	state_put_u32(&s, 5);
	ck_assert_uint_eq(state_get_section(&s, "pit"), 0);
	ck_assert(s.error);
	ck_assert_uint_eq(state_get_u32(&s), 0);
	state_free(&s);
}
END_TEST

START_TEST(grows)
{
	struct state s;

	state_init(&s);
	for (u32 i = 0; i < 100000; i++)
		state_put_u32(&s, i);
	for (u32 i = 0; i < 100000; i++)
		ck_assert_uint_eq(state_get_u32(&s), i);
	ck_assert(!s.error);
	state_free(&s);
}
END_TEST

Suite *state_suite(void);
Suite *state_suite(void)
{
	Suite *s = suite_create("state");
	TCase *t = tcase_create("state");

	tcase_add_test(t, round_trip);
	tcase_add_test(t, little_endian);
	tcase_add_test(t, past_the_end);
	tcase_add_test(t, wrong_section);
	tcase_add_test(t, grows);
	suite_add_tcase(s, t);
	return s;
}
