/*
 * The I/O thread's event loop: timers on vm time, file descriptors, and bottom halves. Callbacks run on the I/O thread (timers under
 * virtual time: on the vCPU's) with vm->lock held. All functions here are called with vm->lock held, from any thread, unless said
 * otherwise.
 */
#ifndef RINGER_EVENT_H
#define RINGER_EVENT_H

#include <poll.h>

#include "monitor/types.h"

struct vm;
struct event_loop;

typedef void timer_fn(void *opaque);
/* A timer is embedded in its owner; it must be deleted before its memory goes. */
struct timer {
	struct vm *vm;
	timer_fn *fn;
	void *opaque;
	u64 deadline; /* vm time in ns; meaningful while armed */
	bool armed;
	u64 due; /* event.c's own: the deadline, or later if it was in the past when a round of timers armed it */
	struct timer *next;
};

void timer_init(struct timer *t, struct vm *vm, timer_fn *fn, void *opaque);
/* (Re-)arms the timer to fire once at `deadline` (vm time, ns); a deadline in the past fires as soon as possible. */
void timer_mod(struct timer *t, u64 deadline);
void timer_del(struct timer *t);

/* A bottom half: fn is called on the I/O thread, once for however many calls of bh_schedule came before. Embedded in its owner. */
typedef void bh_fn(void *opaque);
struct bh {
	struct vm *vm;
	bh_fn *fn;
	void *opaque;
	bool scheduled;
	struct bh *next;
};

void bh_init(struct bh *b, struct vm *vm, bh_fn *fn, void *opaque);
void bh_schedule(struct bh *b);
void bh_cancel(struct bh *b);

typedef void fd_fn(void *opaque, int fd, int revents);
/* Watches fd for `events` (POLLIN...); one watch per fd; a second call replaces the first. events 0 removes it. */
void event_watch_fd(struct vm *vm, int fd, int events, fd_fn *fn, void *opaque);

/* vm->events life cycle; called by vm.c without the lock. event_run returns after event_stop. */
int event_init(struct vm *vm);
void event_free(struct vm *vm);
void event_run(struct vm *vm);
/*
 * Under virtual time (clock.h) event_run leaves the timers alone, and the vCPU thread runs them, at exact times: what is due now; and,
 * without the lock, the vm time at which the next one is, UINT64_MAX if there is none.
 */
void event_run_timers(struct vm *vm);
u64 event_next_due(struct vm *vm);
/* Async-signal-safe, any thread, with or without the lock. */
void event_stop(struct vm *vm);
void event_wake(struct vm *vm);

#endif
