/*
 * Stopping and continuing a machine that runs, from another thread. The guest counts in memory without an end; the test's thread is the I/O
 * thread.
 */
#include "monitor/runstate.h"

#include <unistd.h>

#include "tests/unit/vm_harness.h"

#define COUNTER 0x20000
#define CODE	0x21000

static pthread_t guest;
static unsigned told;
static enum runstate told_state;
static struct runstate_listener listener;

static void on_change(void *opaque, enum runstate now)
{
	(void)opaque;
	told++;
	told_state = now;
}

static void *run_guest(void *opaque)
{
	(void)opaque;
	vm_run();
	return NULL;
}

/* incl COUNTER; testb $1, COUNTER + 8; jz CODE; int3 */
static void start(void)
{
	machine_create();
	PUT(CODE, 0xff, 0x05, 0x00, 0x00, 0x02, 0x00, 0xf6, 0x05, 0x08, 0x00, 0x02, 0x00, 0x01, 0x74, 0xf1, 0xcc);
	v->eip = CODE;
	told = 0;
	listener = (struct runstate_listener){.fn = on_change};
	pthread_mutex_lock(&vm->lock);
	runstate_listen(vm, &listener);
	pthread_mutex_unlock(&vm->lock);
	pthread_create(&guest, NULL, run_guest, NULL);
	while (!(*(volatile u32 *)ram_at(COUNTER)))
		usleep(100);
	pthread_mutex_lock(&vm->lock);
}

static void end(void)
{
	*(volatile u8 *)ram_at(COUNTER + 8) = 1;
	pthread_mutex_unlock(&vm->lock);
	pthread_join(guest, NULL);
	machine_destroy();
}

static u32 counter(void)
{
	return *(volatile u32 *)ram_at(COUNTER);
}

START_TEST(stop_and_cont)
{
	u32 count;
	u64 ns;

	start();
	vm_stop_wait(vm, RUNSTATE_PAUSED);
	ck_assert(vm->run.vcpu_stopped);
	ck_assert_int_eq(vm->run.state, RUNSTATE_PAUSED);
	ck_assert_uint_ge(v->eip, CODE);
	ck_assert_uint_le(v->eip, CODE + 15);
	count = counter();
	ns = clock_ns(&vm->clock);
	usleep(20000);
	ck_assert_uint_eq(counter(), count);
	ck_assert(clock_ns(&vm->clock) == ns);
	/* The first reason stays. */
	vm_stop_wait(vm, RUNSTATE_DEBUG);
	ck_assert_int_eq(vm->run.state, RUNSTATE_PAUSED);
	ck_assert(vm_cont(vm));
	ck_assert_int_eq(vm->run.state, RUNSTATE_RUNNING);
	for (int i = 0; i < 10000 && counter() == count; i++)
		usleep(1000);
	ck_assert_uint_ne(counter(), count);
	ck_assert(clock_ns(&vm->clock) > ns);
	/* And again, at once. */
	for (int i = 0; i < 200; i++) {
		vm_stop_wait(vm, RUNSTATE_PAUSED);
		ck_assert(vm_cont(vm));
	}
	end();
}
END_TEST

static void look(void *opaque)
{
	u32 *seen = opaque;

	seen[0] = v->eip;
	seen[1]++;
	ck_assert(pthread_equal(pthread_self(), guest));
}

START_TEST(calls)
{
	u32 seen[2] = {0}, count;

	start();
	ck_assert(vm_call_vcpu(vm, look, seen));
	ck_assert_uint_eq(seen[1], 1);
	ck_assert_uint_ge(seen[0], CODE);
	ck_assert(!vm->run.vcpu_stopped);
	vm_stop_wait(vm, RUNSTATE_PAUSED);
	count = counter();
	for (u32 n = 2; n < 50; n++) {
		ck_assert(vm_call_vcpu(vm, look, seen));
		ck_assert_uint_eq(seen[1], n);
		ck_assert_uint_eq(seen[0], v->eip);
	}
	ck_assert(vm->run.vcpu_stopped);
	ck_assert_uint_eq(counter(), count);
	ck_assert(vm_cont(vm));
	end();
}
END_TEST

static void end_loop(void *opaque)
{
	unsigned *calls = opaque;

	(*calls)++;
	event_stop(vm);
}

/* Listeners are called on the I/O thread; a bottom half runs once; a timer that is due when the machine has stopped is due. */
START_TEST(listeners)
{
	struct timer t;
	struct bh twice, never;
	unsigned fired = 0, calls = 0;

	start();
	timer_init(&t, vm, end_loop, &fired);
	timer_mod(&t, clock_ns(&vm->clock));
	bh_init(&twice, vm, end_loop, &calls);
	bh_init(&never, vm, end_loop, &calls);
	bh_schedule(&twice);
	bh_schedule(&never);
	bh_schedule(&twice);
	bh_cancel(&never);
	vm_stop_wait(vm, RUNSTATE_DEBUG);
	ck_assert_uint_eq(told, 0);
	pthread_mutex_unlock(&vm->lock);
	event_run(vm);
	ck_assert_uint_eq(told, 1);
	ck_assert_int_eq(told_state, RUNSTATE_DEBUG);
	ck_assert_uint_eq(calls, 1);
	ck_assert_uint_eq(fired, 1);
	pthread_mutex_lock(&vm->lock);
	ck_assert(vm_cont(vm));
	end();
}
END_TEST

START_TEST(off_is_off)
{
	u32 seen[2] = {0};

	start();
	vm->opt.no_shutdown = true;
	vm_request_poweroff(vm);
	vm_stop_wait(vm, RUNSTATE_PAUSED);
	ck_assert_int_eq(vm->run.state, RUNSTATE_SHUTDOWN);
	ck_assert(!vm_cont(vm));
	/* What a reset does on the vCPU's thread. */
	vm_reset_devices(vm);
	ck_assert_int_eq(vm->run.state, RUNSTATE_PAUSED);
	ck_assert(vm_cont(vm));
	/* At its end nobody answers, and nobody waits. */
	*(volatile u8 *)ram_at(COUNTER + 8) = 1;
	while (!vm->run.vcpu_ended)
		pthread_cond_wait(&vm->run.changed, &vm->lock);
	ck_assert(!vm_call_vcpu(vm, look, seen));
	vm_stop_wait(vm, RUNSTATE_PAUSED);
	end();
}
END_TEST

START_TEST(names)
{
	ck_assert_str_eq(runstate_name(RUNSTATE_RUNNING), "running");
	ck_assert_str_eq(runstate_name(RUNSTATE_IO_ERROR), "io-error");
}
END_TEST

Suite *runstate_suite(void)
{
	Suite *s = suite_create("runstate");
	TCase *t = tcase_create("runstate");

	tcase_add_test(t, stop_and_cont);
	tcase_add_test(t, calls);
	tcase_add_test(t, listeners);
	tcase_add_test(t, off_is_off);
	tcase_add_test(t, names);
	tcase_set_timeout(t, 60);
	suite_add_tcase(s, t);
	return s;
}
