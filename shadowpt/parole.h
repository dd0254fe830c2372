/*
 * Guilt is for a time. A program's memset runs checked because once it met a page that held another program's code before, or took true
 * faults in quick succession as the heap grew; and it runs for the rest of its life. When the term is over the instruction is acquitted;
 * one that falls back, as those do that work on devices, gets twice the term.
 */
#ifndef RINGER_PAROLE_H
#define RINGER_PAROLE_H

#include "monitor/types.h"

struct vcpu;

#define PAROLE_SLOTS 1024u
#define PAROLE_TERM  4u	   /* interrupts, at first */
#define PAROLE_MOST  4096u /* and at most */

struct parole {
	struct {
		u64 insn_pa;
		u64 until; /* stats.interrupts; 0: acquitted */
		u32 term;
	} slot[PAROLE_SLOTS];
	u64 next; /* no term ends before this many interrupts; 0: none runs */
};

/* An instruction has been found guilty. */
void parole_begin(struct vcpu *v, u64 insn_pa);
/* An interrupt was taken: acquits those whose term is over, and drops their TUs. No translated code is on the way. */
void parole_tick(struct vcpu *v);

#endif
