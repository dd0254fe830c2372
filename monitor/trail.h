/*
 * What the vCPU did last, for crash reports: the TUs that the dispatcher entered (what chains and jump caches lead to from there is not
 * seen) and the interrupts and exceptions that it delivered.
 *
 * Invariant: entry n is at n % TRAIL_SIZE, and `count` is raised behind it, so that a reader on the vCPU's thread, also in a signal
 * handler, finds the last min(count, TRAIL_SIZE) whole but perhaps for the oldest. Written by the vCPU's thread only.
 */
#ifndef RINGER_TRAIL_H
#define RINGER_TRAIL_H

#include "monitor/types.h"

#define TRAIL_SIZE 16u

struct trail_tu {
	u32 cs, eip, mode; /* translator/mode.h */
	u32 host;	   /* rx address that was entered */
};

struct trail_event {
	u32 cs, eip; /* where it came in */
	u32 error, cr2;
	u8 vector;
	bool external, has_error;
};

struct trail {
	struct trail_tu tu[TRAIL_SIZE];
	struct trail_event event[TRAIL_SIZE];
	u64 tus, events;
};

static inline void trail_tu(struct trail *t, u32 cs, u32 eip, u32 mode, u32 host)
{
	t->tu[t->tus % TRAIL_SIZE] = (struct trail_tu){cs, eip, mode, host};
	t->tus++;
}

static inline void trail_event(struct trail *t, struct trail_event e)
{
	t->event[t->events % TRAIL_SIZE] = e;
	t->events++;
}

#endif
