/* The event loop: order and punctuality of timers, watches, waking from other threads, and that it sleeps. */
#include <check.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "monitor/event.h"
#include "monitor/vm.h"

#define MS 1000000ull

static struct vm *vm;
static char order[64];
static unsigned order_len;

static void set_up(void)
{
	vm = calloc(1, sizeof(*vm));
	ck_assert_int_eq(vm_init(vm, 1 << 20), 0);
	order_len = 0;
}

static void tear_down(void)
{
	vm_free(vm);
	free(vm);
}

static void note(char c)
{
	if (order_len < sizeof(order) - 1) {
		order[order_len++] = c;
		order[order_len] = '\0';
	}
}

struct named {
	struct timer timer;
	char name;
	u64 fired_at;
};

static void on_named(void *opaque)
{
	struct named *n = opaque;

	n->fired_at = clock_ns(&vm->clock);
	note(n->name);
}

static void on_stop(void *opaque)
{
	(void)opaque;
	event_stop(vm);
}

static void add(struct named *n, char name, u64 deadline)
{
	timer_init(&n->timer, vm, on_named, n);
	n->name = name;
	timer_mod(&n->timer, deadline);
}

static void run_until(u64 deadline)
{
	struct timer stop;

	timer_init(&stop, vm, on_stop, NULL);
	timer_mod(&stop, deadline);
	event_run(vm);
}

START_TEST(timers_in_order)
{
	struct named a, b, c, d;
	u64 now = clock_ns(&vm->clock);

	add(&c, 'c', now + 3 * MS);
	add(&a, 'a', now + 1 * MS);
	add(&d, 'd', now + 3 * MS);
	add(&b, 'b', now + 2 * MS);
	run_until(now + 5 * MS);
	ck_assert_str_eq(order, "abcd");
	ck_assert_uint_ge(a.fired_at, now + 1 * MS);
	ck_assert_uint_ge(c.fired_at, now + 3 * MS);
	ck_assert(!a.timer.armed);
}
END_TEST

START_TEST(deleted_and_moved)
{
	struct named a, b;
	u64 now = clock_ns(&vm->clock);

	add(&a, 'a', now + 1 * MS);
	add(&b, 'b', now + 2 * MS);
	timer_del(&a.timer);
	timer_mod(&b.timer, now + 4 * MS);
	run_until(now + 6 * MS);
	ck_assert_str_eq(order, "b");
	ck_assert_uint_ge(b.fired_at, now + 4 * MS);
}
END_TEST

static struct named rearmed;
static unsigned rearm_count;

static void on_past(void *opaque)
{
	(void)opaque;
	rearm_count++;
	timer_mod(&rearmed.timer, 0);
}

START_TEST(past_timer_starves_nobody)
{
	struct named a;
	u64 now = clock_ns(&vm->clock);

	rearm_count = 0;
	timer_init(&rearmed.timer, vm, on_past, NULL);
	timer_mod(&rearmed.timer, 0);
	add(&a, 'a', now + 5 * MS);
	/* The past timer would precede all others for ever. */
	alarm(5);
	run_until(now + 20 * MS);
	alarm(0);
	ck_assert_str_eq(order, "a");
	ck_assert_uint_gt(rearm_count, 1);
	ck_assert_uint_le(rearm_count, 1100);
	timer_del(&rearmed.timer);
	timer_del(&a.timer);
}
END_TEST

static int pipe_fds[2];

static void on_pipe(void *opaque, int fd, int revents)
{
	char c;

	(void)opaque;
	ck_assert(revents & POLLIN);
	ck_assert_int_eq(read(fd, &c, 1), 1);
	note(c);
	if (c == 'q')
		event_stop(vm);
}

static void *write_later(void *opaque)
{
	const char *text = opaque;
	struct timespec ts = {0, 5 * MS};

	for (; *text; text++) {
		nanosleep(&ts, NULL);
		ck_assert_int_eq(write(pipe_fds[1], text, 1), 1);
	}
	return NULL;
}

START_TEST(watches)
{
	pthread_t t;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	event_watch_fd(vm, pipe_fds[0], POLLIN, on_pipe, NULL);
	pthread_create(&t, NULL, write_later, "xyq");
	event_run(vm);
	pthread_join(t, NULL);
	ck_assert_str_eq(order, "xyq");
	event_watch_fd(vm, pipe_fds[0], 0, NULL, NULL);
	run_until(clock_ns(&vm->clock) + 2 * MS);
}
END_TEST

static struct timer from_thread;

static void *arm_from_thread(void *opaque)
{
	struct timespec ts = {0, 20 * MS};

	(void)opaque;
	nanosleep(&ts, NULL);
	pthread_mutex_lock(&vm->lock);
	timer_mod(&from_thread, clock_ns(&vm->clock) + MS);
	pthread_mutex_unlock(&vm->lock);
	return NULL;
}

START_TEST(earlier_timer_wakes)
{
	struct named far_away;
	u64 now = clock_ns(&vm->clock);
	pthread_t t;

	add(&far_away, 'z', now + 60 * NS_PER_SEC);
	timer_init(&from_thread, vm, on_stop, NULL);
	pthread_create(&t, NULL, arm_from_thread, NULL);
	event_run(vm);
	pthread_join(t, NULL);
	ck_assert_uint_lt(clock_ns(&vm->clock) - now, 2 * NS_PER_SEC);
	ck_assert_uint_eq(order_len, 0);
	timer_del(&far_away.timer);
}
END_TEST

START_TEST(sleeps)
{
	struct rusage before, after;
	s64 used_us;

	getrusage(RUSAGE_THREAD, &before);
	run_until(clock_ns(&vm->clock) + 200 * MS);
	getrusage(RUSAGE_THREAD, &after);
	used_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000 +
		  after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec;
	ck_assert_int_lt(used_us, 20000);
}
END_TEST

START_TEST(exit_request_ends_it)
{
	vm_request_exit(vm, VM_DEBUG_EXIT, 33);
	vm_request_exit(vm, VM_POWEROFF, 0);
	event_run(vm);
	ck_assert_int_eq(vm->exit_reason, VM_DEBUG_EXIT);
	ck_assert_int_eq(vm->exit_status, 33);
}
END_TEST

START_TEST(reset_under_no_reboot_ends)
{
	vm->opt.no_reboot = true;
	vm_request_reset(vm);
	event_run(vm);
	ck_assert_int_eq(vm->exit_reason, VM_REBOOT);
	ck_assert_int_eq(vm->exit_status, 0);
}
END_TEST

Suite *event_suite(void);
Suite *event_suite(void)
{
	Suite *s = suite_create("event");
	TCase *t = tcase_create("event");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, timers_in_order);
	tcase_add_test(t, deleted_and_moved);
	tcase_add_test(t, past_timer_starves_nobody);
	tcase_add_test(t, watches);
	tcase_add_test(t, earlier_timer_wakes);
	tcase_add_test(t, sleeps);
	tcase_add_test(t, exit_request_ends_it);
	tcase_add_test(t, reset_under_no_reboot_ends);
	suite_add_tcase(s, t);
	return s;
}
