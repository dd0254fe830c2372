/* Clocks: monotonic, one source for TSC and time, wall time with its offset. */
#include <check.h>
#include <time.h>

#include "monitor/clock.h"

static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

START_TEST(starts_at_zero)
{
	struct clock c;

	clock_init(&c);
	ck_assert_uint_lt(clock_ns(&c), NS_PER_SEC);
	ck_assert_uint_ge(c.tsc_hz, 100000000);
	ck_assert_uint_eq(c.tsc_hz % 1000, 0);
}
END_TEST

START_TEST(never_goes_back)
{
	struct clock c;
	u64 last = 0;

	clock_init(&c);
	for (int i = 0; i < 100000; i++) {
		u64 now = clock_ns(&c);

		ck_assert_uint_ge(now, last);
		last = now;
	}
}
END_TEST

START_TEST(tsc_follows_time)
{
	struct clock c;
	u64 ns, tsc, dns, dtsc;

	clock_init(&c);
	ns = clock_ns(&c);
	tsc = clock_tsc(&c);
	sleep_ms(50);
	dtsc = clock_tsc(&c) - tsc;
	dns = clock_ns(&c) - ns;
	/* Within 2 %: the two pairs were not read at one instant. */
	ck_assert_uint_lt(dtsc, muldiv64(dns, c.tsc_hz, NS_PER_SEC) * 102 / 100);
	ck_assert_uint_gt(dtsc, muldiv64(dns, c.tsc_hz, NS_PER_SEC) * 98 / 100);
}
END_TEST

START_TEST(tsc_is_set)
{
	struct clock c;
	u64 tsc;

	clock_init(&c);
	clock_set_tsc(&c, 1000);
	tsc = clock_tsc(&c);
	ck_assert_uint_ge(tsc, 1000);
	ck_assert_uint_lt(tsc, 1000 + c.tsc_hz);
	clock_set_tsc(&c, 0xffffffff00000000ull);
	ck_assert_uint_ge(clock_tsc(&c), 0xffffffff00000000ull);
}
END_TEST

START_TEST(wall_time)
{
	struct clock c;
	s64 sec;
	u32 nsec;

	clock_init(&c);
	clock_wall(&c, &sec, &nsec);
	ck_assert_int_le(sec - (s64)time(NULL), 1);
	ck_assert_int_ge(sec - (s64)time(NULL), -1);
	ck_assert_uint_lt(nsec, NS_PER_SEC);
	c.rtc_offset_sec = -86400;
	clock_wall(&c, &sec, &nsec);
	ck_assert_int_le(sec - (s64)time(NULL), -86399);
}
END_TEST

START_TEST(virtual_time)
{
	struct clock c;
	u64 retired = 0;
	s64 sec, later;
	u32 nsec;

	clock_init_virtual(&c);
	ck_assert_uint_eq(clock_ns(&c), 0);
	c.retired = &retired;
	sleep_ms(2);
	ck_assert_uint_eq(clock_ns(&c), 0);
	retired = 7;
	ck_assert_uint_eq(clock_ns(&c), 70);
	ck_assert_uint_eq(clock_tsc(&c), 70);
	clock_stop(&c);
	retired = 9;
	ck_assert_uint_eq(clock_ns(&c), 70);
	clock_start(&c);
	retired = 10;
	ck_assert_uint_eq(clock_ns(&c), 80);
	clock_wall(&c, &sec, &nsec);
	ck_assert_uint_eq(nsec, 80);
	clock_advance(&c, 3 * NS_PER_SEC);
	ck_assert_uint_eq(clock_ns(&c), 3 * NS_PER_SEC + 80);
	clock_wall(&c, &later, &nsec);
	ck_assert_int_eq(later - sec, 3);
}
END_TEST

START_TEST(wide_multiplication)
{
	ck_assert_uint_eq(muldiv64(UINT64_MAX, 1000, 1000), UINT64_MAX);
	ck_assert_uint_eq(muldiv64(3, 1193182, 1000000000), 0);
	ck_assert_uint_eq(muldiv64(1000000000000000000ull, 3000000000ull, NS_PER_SEC), 3000000000000000000ull);
}
END_TEST

Suite *clock_suite(void);
Suite *clock_suite(void)
{
	Suite *s = suite_create("clock");
	TCase *t = tcase_create("clock");

	tcase_add_test(t, starts_at_zero);
	tcase_add_test(t, never_goes_back);
	tcase_add_test(t, tsc_follows_time);
	tcase_add_test(t, tsc_is_set);
	tcase_add_test(t, wall_time);
	tcase_add_test(t, virtual_time);
	tcase_add_test(t, wide_multiplication);
	suite_add_tcase(s, t);
	return s;
}
