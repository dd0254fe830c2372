/*
 * The guest's TSC for translated code: a line through the host's TSC that is drawn anew every second or so, so that it follows vm time
 * (clock.h) to a microsecond. While one is drawn RDTSC runs in the translation cache; at all other times it is a callout that comes here.
 *
 * Invariants: what RDTSC and RDMSR show never goes back but where the guest writes the TSC; both show the same. No line is drawn while
 * vm time stands still or is virtual (lockstep), while CR4.TSD is set, nor where the host's TSC stops or differs from CPU to CPU. vCPU
 * thread, but for tsc_init.
 */
#ifndef RINGER_TSC_H
#define RINGER_TSC_H

#include "monitor/types.h"

struct vcpu;

/*
 * Translated code shows `offset` + (host TSC + `base`) * `scale` / 2^63, as long as (host TSC + base) >> shift is 0. Without a line base
 * and shift are 0, so that it never is.
 */
struct tsc_line {
	u64 base, scale, offset;
	u32 shift;
};

struct tsc {
	bool usable;		   /* lines may be drawn at all */
	u32 next_shift;		   /* how long the next one may hold */
	u64 shown;		   /* without a line: what may have been shown */
	u64 known_host, known_tsc; /* a point on the last line, or on the one that is to come; 0: none */
};

/* Whether lines may be drawn, by clock and host. vm->clock is set up. */
void tsc_init(struct vcpu *v);
/* What RDTSC shows. Draws a line if there is none that holds. */
u64 tsc_read(struct vcpu *v);
/* Ends the line: vm time has stopped, or CR4.TSD is set. */
void tsc_stop(struct vcpu *v);
/* The same, and the guest's TSC may go back: it has been written. */
void tsc_restart(struct vcpu *v);

#endif
