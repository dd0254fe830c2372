/*
 * What the device tests share: a machine without a CPU whose event loop runs in a thread, time that can be pushed forward, wires that count
 * their edges, and the save/load checks that every device must pass.
 */
#ifndef RINGER_DEVICE_HARNESS_H
#define RINGER_DEVICE_HARNESS_H

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/event.h"
#include "monitor/io.h"
#include "monitor/state.h"
#include "monitor/vm.h"

#define US 1000ull
#define MS 1000000ull

struct rig {
	struct vm *vm;
	pthread_t thread;
	struct timer sentinel;
	_Atomic bool reached;
};

struct wire {
	int level;
	unsigned rises;
};

static inline void wire_set(void *opaque, int line, int level)
{
	struct wire *w = opaque;

	(void)line;
	if (level && !w->level)
		w->rises++;
	w->level = level;
}

static inline struct irq wire_irq(struct wire *w)
{
	return (struct irq){wire_set, w, 0};
}

static inline void *rig_thread(void *vm)
{
	event_run(vm);
	return NULL;
}

static inline void rig_reached(void *opaque)
{
	struct rig *r = opaque;

	r->reached = true;
}

static inline struct rig *rig_create(void)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->vm = calloc(1, sizeof(*r->vm));
	ck_assert_int_eq(vm_init(r->vm, 64 << 20), 0);
	/* Time passes only in rig_advance: what a test sees does not depend on how busy the host is. */
	clock_stop(&r->vm->clock);
	timer_init(&r->sentinel, r->vm, rig_reached, r);
	ck_assert_int_eq(pthread_create(&r->thread, NULL, rig_thread, r->vm), 0);
	return r;
}

static inline void rig_free(struct rig *r)
{
	event_stop(r->vm);
	pthread_join(r->thread, NULL);
	pthread_mutex_lock(&r->vm->lock);
	while (r->vm->device_count) {
		struct device *d = &r->vm->devices[--r->vm->device_count];

		if (d->free)
			d->free(d->opaque);
	}
	pthread_mutex_unlock(&r->vm->lock);
	vm_free(r->vm);
	free(r->vm);
	free(r);
}

static inline void rig_lock(struct rig *r)
{
	pthread_mutex_lock(&r->vm->lock);
}

static inline void rig_unlock(struct rig *r)
{
	pthread_mutex_unlock(&r->vm->lock);
}

/* Pushes vm time forward and waits until every timer that is due then has fired once. */
static inline void rig_advance(struct rig *r, u64 ns)
{
	rig_lock(r);
	r->vm->clock.offset_ns += (s64)ns;
	r->reached = false;
	timer_mod(&r->sentinel, clock_ns(&r->vm->clock));
	rig_unlock(r);
	event_wake(r->vm);
	for (int i = 0; !r->reached && i < 20000; i++)
		nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
	ck_assert(r->reached);
}

static inline u8 in8(struct rig *r, u16 port)
{
	return (u8)io_read(r->vm, port, 1);
}

static inline void out8(struct rig *r, u16 port, u8 value)
{
	io_write(r->vm, port, value, 1);
}

static inline struct device *rig_device(struct rig *r, const char *name)
{
	for (unsigned i = 0; i < r->vm->device_count; i++)
		if (strcmp(r->vm->devices[i].name, name) == 0)
			return &r->vm->devices[i];
	ck_abort_msg("no device %s", name);
	return NULL;
}

static inline void rig_save(struct rig *r, const char *name, struct state *s)
{
	struct device *d = rig_device(r, name);

	state_init(s);
	d->save(d->opaque, s);
	ck_assert(!s->error);
}

static inline bool rig_load(struct rig *r, const char *name, struct state *s)
{
	struct device *d = rig_device(r, name);

	s->pos = 0;
	s->error = false;
	d->load(d->opaque, s);
	return !s->error;
}

static inline void check_saves_as(struct rig *r, const char *name, const struct state *expect)
{
	struct state s;

	rig_save(r, name, &s);
	ck_assert_uint_eq(s.len, expect->len);
	ck_assert_mem_eq(s.data, expect->data, s.len);
	state_free(&s);
}

/*
 * Saved from one, loaded into the other, saved again: the same bytes. Streams that are cut off are refused and change nothing. Then the
 * other is fed with nonsense and left to run on it. The lock is held where time must not pass.
 */
static inline void check_saved_state(struct rig *from, struct rig *to, const char *name)
{
	struct state a;

	rig_lock(from);
	rig_save(from, name, &a);
	rig_unlock(from);
	rig_lock(to);
	ck_assert(rig_load(to, name, &a));
	ck_assert_uint_eq(a.pos, a.len);
	check_saves_as(to, name, &a);
	for (size_t n = 0; n < a.len; n++) {
		struct state cut;

		state_init(&cut);
		state_put(&cut, a.data, n);
		ck_assert_msg(!rig_load(to, name, &cut), "%s: %zu of %zu bytes are accepted", name, n, a.len);
		state_free(&cut);
	}
	check_saves_as(to, name, &a);
	rig_unlock(to);

	srandom(1);
	for (int i = 0; i < 2000; i++) {
		struct state bad;

		state_init(&bad);
		state_put(&bad, a.data, a.len);
		for (int k = 0; a.len && k < 1 + i % 3; k++)
			bad.data[(size_t)random() % a.len] = (u8)random();
		rig_lock(to);
		/* What is accepted is taken over, all of it. */
		if (rig_load(to, name, &bad))
			check_saves_as(to, name, &bad);
		rig_unlock(to);
		state_free(&bad);
		if (i % 100 == 0)
			rig_advance(to, 5 * MS);
	}
	rig_lock(to);
	ck_assert(rig_load(to, name, &a));
	rig_unlock(to);
	state_free(&a);
}

/* Random accesses to a range of ports: nothing a guest does may crash or hang. */
static inline void poke_ports(struct rig *r, u16 first, u16 last, int n)
{
	srandom(2);
	for (int i = 0; i < n; i++) {
		u16 port = (u16)(first + random() % (last - first + 1));
		unsigned size = 1u << random() % 3;

		if (random() & 1)
			io_write(r->vm, port, (u32)random(), size);
		else
			io_read(r->vm, port, size);
		if (i % 500 == 0)
			rig_advance(r, (u64)random() % (50 * MS));
	}
}

#endif
