/*
 * The I/O thread's event loop: ppoll over an eventfd and the watched descriptors, with the nearest timer as its timeout.
 *
 * Invariants: everything but `wake_fd` and `stop` is guarded by vm->lock, which is released only while polling. The timer list is sorted by
 * `due`, first come first served among equals. `sleep_until` is meaningful while `sleeping`: whoever arms an earlier timer, or changes a
 * watch, then writes to the eventfd. What a round of timers arms is due in the
 * next round at the earliest, so one that always re-arms itself in the past keeps neither other timers, descriptors nor the vCPU from their
 * turn.
 */
#include "monitor/event.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "monitor/log.h"
#include "monitor/vm.h"

#define MAX_WATCHES 32
/* What a round sleeps at least when timers that it has just fired are due again: time for the vCPU to take the lock. */
#define BACKLOG_NAP_NS 20000ull

struct watch {
	int fd;
	int events;
	fd_fn *fn;
	void *opaque;
	u64 generation; /* tells a replaced watch from the one that was polled */
};

struct event_loop {
	int wake_fd;
	_Atomic bool stop;
	struct bh *bhs; /* scheduled */
	struct timer *timers;
	_Atomic u64 next_due; /* of the first timer; UINT64_MAX: there is none */
	struct watch watches[MAX_WATCHES];
	unsigned watch_count;
	u64 generation;
	u64 round; /* vm time of the round of timers that is being fired, 0 otherwise */
	bool sleeping;
	u64 sleep_until; /* vm time; UINT64_MAX: no timer armed */
};

/* The list has changed. */
static void note_next(struct event_loop *l)
{
	atomic_store_explicit(&l->next_due, l->timers ? l->timers->due : UINT64_MAX, memory_order_relaxed);
}

void timer_init(struct timer *t, struct vm *vm, timer_fn *fn, void *opaque)
{
	*t = (struct timer){.vm = vm, .fn = fn, .opaque = opaque};
}

void timer_del(struct timer *t)
{
	struct timer **p;

	if (!t->armed)
		return;
	for (p = &t->vm->events->timers; *p; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			break;
		}
	}
	t->armed = false;
	t->next = NULL;
	note_next(t->vm->events);
}

void timer_mod(struct timer *t, u64 deadline)
{
	struct event_loop *l = t->vm->events;
	struct timer **p;

	timer_del(t);
	t->deadline = deadline;
	t->due = l->round ? MAX(deadline, l->round + 1) : deadline;
	t->armed = true;
	for (p = &l->timers; *p && (*p)->due <= t->due; p = &(*p)->next)
		;
	t->next = *p;
	*p = t;
	note_next(l);
	if (l->sleeping && deadline < l->sleep_until) {
		l->sleep_until = deadline;
		event_wake(t->vm);
	}
}

void bh_init(struct bh *b, struct vm *vm, bh_fn *fn, void *opaque)
{
	*b = (struct bh){.vm = vm, .fn = fn, .opaque = opaque};
}

void bh_schedule(struct bh *b)
{
	struct event_loop *l = b->vm->events;

	if (b->scheduled)
		return;
	b->scheduled = true;
	b->next = l->bhs;
	l->bhs = b;
	event_wake(b->vm);
}

void bh_cancel(struct bh *b)
{
	struct bh **p;

	if (!b->scheduled)
		return;
	for (p = &b->vm->events->bhs; *p != b; p = &(*p)->next)
		;
	*p = b->next;
	b->scheduled = false;
}

static void run_bhs(struct event_loop *l)
{
	struct bh *b;

	while ((b = l->bhs)) {
		l->bhs = b->next;
		b->scheduled = false;
		b->fn(b->opaque);
	}
}

void event_watch_fd(struct vm *vm, int fd, int events, fd_fn *fn, void *opaque)
{
	struct event_loop *l = vm->events;
	unsigned i;

	for (i = 0; i < l->watch_count && l->watches[i].fd != fd; i++)
		;
	if (!events) {
		if (i == l->watch_count)
			return;
		l->watches[i] = l->watches[--l->watch_count];
	} else {
		if (i == l->watch_count) {
			if (l->watch_count == MAX_WATCHES)
				fatal("too many watched file descriptors");
			l->watch_count++;
		}
		l->watches[i] = (struct watch){fd, events, fn, opaque, ++l->generation};
	}
	if (l->sleeping)
		event_wake(vm);
}

int event_init(struct vm *vm)
{
	struct event_loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->wake_fd < 0) {
		int err = errno;

		free(l);
		return -err;
	}
	atomic_init(&l->next_due, UINT64_MAX);
	vm->events = l;
	return 0;
}

void event_free(struct vm *vm)
{
	if (!vm->events)
		return;
	close(vm->events->wake_fd);
	free(vm->events);
	vm->events = NULL;
}

void event_wake(struct vm *vm)
{
	int saved = errno;
	u64 one = 1;

	/* The only possible failure is a full counter: then the loop is woken already. */
	if (write(vm->events->wake_fd, &one, sizeof(one)) < 0)
		errno = saved;
}

void event_stop(struct vm *vm)
{
	atomic_store(&vm->events->stop, true);
	event_wake(vm);
}

/* Fires what is due. Returns whether any was. */
static bool run_timers(struct vm *vm)
{
	struct event_loop *l = vm->events;
	bool fired = false;
	struct timer *t;

	l->round = clock_ns(&vm->clock);
	while ((t = l->timers) && t->due <= l->round) {
		l->timers = t->next;
		t->next = NULL;
		t->armed = false;
		t->fn(t->opaque);
		fired = true;
	}
	l->round = 0;
	note_next(l);
	return fired;
}

void event_run_timers(struct vm *vm)
{
	run_timers(vm);
}

u64 event_next_due(struct vm *vm)
{
	return atomic_load_explicit(&vm->events->next_due, memory_order_relaxed);
}

static void run_watches(struct vm *vm, const struct pollfd *polled, const u64 *generations, unsigned n)
{
	struct event_loop *l = vm->events;

	for (unsigned i = 0; i < n; i++) {
		if (!polled[i].revents)
			continue;
		/* An earlier callback may have removed or replaced this watch. */
		for (unsigned j = 0; j < l->watch_count; j++) {
			struct watch w = l->watches[j];

			if (w.generation == generations[i]) {
				w.fn(w.opaque, w.fd, polled[i].revents);
				break;
			}
		}
	}
}

/* Sleeps until something happens, with the lock released. min_ns: at least this long, unless a descriptor is ready. */
static void poll_once(struct vm *vm, u64 min_ns)
{
	struct event_loop *l = vm->events;
	struct pollfd fds[MAX_WATCHES + 1];
	u64 generations[MAX_WATCHES];
	unsigned n = l->watch_count;
	struct timespec ts, *timeout = NULL;
	int ready;

	fds[0] = (struct pollfd){.fd = l->wake_fd, .events = POLLIN};
	for (unsigned i = 0; i < n; i++) {
		fds[i + 1] = (struct pollfd){.fd = l->watches[i].fd, .events = (short)l->watches[i].events};
		generations[i] = l->watches[i].generation;
	}
	l->sleep_until = UINT64_MAX;
	if (vm->clock.retired || (vm->clock.stopped && (!l->timers || l->timers->due > clock_ns(&vm->clock)))) {
		/* Nobody need be woken for a timer; one that is armed anew may be due at once. */
		l->sleep_until = 0;
	} else if (l->timers) {
		u64 now = clock_ns(&vm->clock), due = l->timers->due, ns = due > now ? due - now : 0;

		ns = MAX(ns, min_ns);
		l->sleep_until = now + ns;
		ts = (struct timespec){(time_t)(ns / NS_PER_SEC), (long)(ns % NS_PER_SEC)};
		timeout = &ts;
	}
	l->sleeping = true;
	pthread_mutex_unlock(&vm->lock);
	ready = ppoll(fds, n + 1, timeout, NULL);
	vm_lock(vm);
	l->sleeping = false;
	if (ready <= 0)
		return;
	if (fds[0].revents) {
		u64 count;

		if (read(l->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
			fatal("event loop: %m");
	}
	run_watches(vm, fds + 1, generations, n);
}

void event_run(struct vm *vm)
{
	struct event_loop *l = vm->events;

	/* Timers are due to the microsecond; the default slack of 50 us would be seen in a guest's clock. */
	prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0);
	vm_lock(vm);
	while (!atomic_load(&l->stop)) {
		bool fired;

		run_bhs(l);
		fired = !vm->clock.retired && run_timers(vm);

		if (atomic_load(&l->stop))
			break;
		poll_once(vm, fired ? BACKLOG_NAP_NS : 0);
	}
	pthread_mutex_unlock(&vm->lock);
}
