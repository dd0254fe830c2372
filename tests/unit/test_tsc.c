/* The guest's TSC by lines through the host's (monitor/tsc.h): it follows vm time, never goes back, stands still with the clock. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "monitor/vcpu.h"
#include "monitor/vm.h"

/* How far a line may be from vm time, in TSC cycles. It is a microsecond, but a busy host may spoil the first, short measurements. */
#define NEAR 100000

static struct vm *vm;
static struct vcpu *v;

static void create(void)
{
	vm = calloc(1, sizeof(*vm));
	v = aligned_alloc(64, (sizeof(*v) + 63) & ~63ul);
	memset(v, 0, sizeof(*v));
	v->vm = vm;
	clock_init(&vm->clock);
	tsc_init(v);
	v->tsc.usable = true;
}

static void destroy(void)
{
	free(v);
	free(vm);
}

/* What translated code does; 0: it calls out. */
static u64 in_cache(void)
{
	u64 elapsed = __rdtsc() + v->tsc_line.base;

	if (elapsed >> v->tsc_line.shift)
		return 0;
	return v->tsc_line.offset + (u64)((unsigned __int128)(elapsed * 2) * v->tsc_line.scale >> 64);
}

static u64 rdtsc_guest(void)
{
	u64 t = in_cache();

	return t ? t : tsc_read(v);
}

/* A line may end at any moment, above all when the host is busy; then the next reading draws another. */
static bool is_drawn(void)
{
	for (int i = 0; i < 1000; i++) {
		if (in_cache())
			return true;
		tsc_read(v);
	}
	return false;
}

/* Reads for some vm time, and checks each reading. */
static u64 follow(u64 ns, u64 last)
{
	u64 end = clock_ns(&vm->clock) + ns;

	while (clock_ns(&vm->clock) < end) {
		u64 before = clock_tsc(&vm->clock), t = rdtsc_guest(), after = clock_tsc(&vm->clock);

		ck_assert_uint_ge(t, last);
		ck_assert_uint_ge(t + NEAR, before);
		ck_assert_uint_le(t, after + NEAR);
		last = t;
	}
	return last;
}

START_TEST(follows_time)
{
	create();
	follow(300000000, 0);
	/* From the first line of 2^20 cycles to one that is long. */
	ck_assert_uint_ge(v->tsc_line.shift, 24);
	ck_assert_uint_ge(v->stats.tsc_lines, 5);
	ck_assert_uint_lt(v->stats.tsc_lines, 100);
	ck_assert(is_drawn());
	destroy();
}
END_TEST

/* A frequency that is not the host's, by so much as a saved machine may bring along. */
START_TEST(other_frequency)
{
	create();
	clock_set_tsc_hz(&vm->clock, vm->clock.tsc_hz * 3 / 4);
	follow(50000000, 0);
	ck_assert(is_drawn());
	clock_set_tsc_hz(&vm->clock, vm->clock.tsc_hz / 4);
	tsc_restart(v);
	/* No line for what is less than half of the host's. */
	follow(20000000, 0);
	ck_assert(in_cache() == 0);
	destroy();
}
END_TEST

START_TEST(stands_still)
{
	u64 last, stood;

	create();
	last = follow(20000000, 0);
	tsc_stop(v);
	clock_stop(&vm->clock);
	stood = tsc_read(v);
	ck_assert_uint_ge(stood, last);
	nanosleep(&(struct timespec){0, 20000000}, NULL);
	ck_assert_uint_eq(tsc_read(v), stood);
	ck_assert(in_cache() == 0);
	clock_start(&vm->clock);
	last = follow(20000000, stood);
	/* 20 ms of standing still are not made good. */
	ck_assert_uint_le(last, clock_tsc(&vm->clock) + NEAR);
	/* Somebody else has stopped the clock: what has been shown since stays. */
	clock_stop(&vm->clock);
	nanosleep(&(struct timespec){0, 2000000}, NULL);
	last = in_cache();
	tsc_stop(v);
	ck_assert_uint_ge(tsc_read(v), last);
	ck_assert_uint_eq(tsc_read(v), tsc_read(v));
	clock_start(&vm->clock);
	for (int i = 0; i < 1000000; i++) {
		u64 t = rdtsc_guest();

		ck_assert_uint_ge(t, last);
		last = t;
	}
	destroy();
}
END_TEST

START_TEST(is_written)
{
	create();
	follow(20000000, 0);
	clock_set_tsc(&vm->clock, 1000);
	tsc_restart(v);
	ck_assert_uint_lt(tsc_read(v), 1000 + vm->clock.tsc_hz);
	follow(20000000, 1000);
	clock_set_tsc(&vm->clock, 1ull << 62);
	tsc_restart(v);
	follow(20000000, 1ull << 62);
	destroy();
}
END_TEST

/* CR4.TSD: ring 3 may not go without the callout. */
START_TEST(forbidden)
{
	u64 last;

	create();
	last = follow(20000000, 0);
	v->cr4 |= CR4_TSD;
	tsc_stop(v);
	last = follow(5000000, last);
	ck_assert(in_cache() == 0);
	v->cr4 &= ~CR4_TSD;
	follow(20000000, last);
	ck_assert(is_drawn());
	destroy();
}
END_TEST

/* A host TSC that is set anew (a host that slept): nothing goes back, and soon all is well again. */
START_TEST(host_jumps)
{
	u64 last;

	create();
	last = follow(20000000, 0);
	v->tsc_line.base -= 1ull << 40; /* as if the host's had gone back */
	v->tsc.known_host += 1ull << 40;
	ck_assert(in_cache() == 0);
	for (u64 end = clock_ns(&vm->clock) + 500000000; clock_ns(&vm->clock) < end;) {
		u64 t = rdtsc_guest();

		ck_assert_uint_ge(t, last);
		last = t;
	}
	follow(20000000, last);
	destroy();
}
END_TEST

Suite *tsc_suite(void);
Suite *tsc_suite(void)
{
	Suite *s = suite_create("tsc");
	TCase *t = tcase_create("tsc");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, follows_time);
	tcase_add_test(t, other_frequency);
	tcase_add_test(t, stands_still);
	tcase_add_test(t, is_written);
	tcase_add_test(t, forbidden);
	tcase_add_test(t, host_jumps);
	suite_add_tcase(s, t);
	return s;
}
