/*
 * The debugger's hand on a virtual CPU: breakpoints, watchpoints and single steps that the guest cannot see. monitor/gdbstub.c speaks for a
 * debugger; nothing here knows of it.
 *
 * A breakpoint is a linear address. Nothing is written into guest memory: the translator ends a TU in front of the instruction there, no TU
 * begins with it while the breakpoint is in force, and so every way to it, chained or not, leads to the dispatcher, which looks. Other code
 * is as it was.
 *
 * A watchpoint takes its linear page out of the flat tables and windows, for writes or for all accesses. Instructions that touch the page
 * come to the monitor one access at a time; one that touches the bytes runs alone, and the machine stops behind it.
 *
 * A step runs one instruction in a TU of its own. TF is not involved. One iteration of a repeated instruction is a step, as under TF; and
 * so is the delivery of an exception.
 *
 * Invariant: v->debug is NULL unless a debugger is there: that test is all that anybody else pays.
 */
#ifndef RINGER_DEBUG_H
#define RINGER_DEBUG_H

#include "monitor/vcpu.h"

#define DEBUG_MAX_BREAKS  1024
#define DEBUG_MAX_WATCHES 64
#define DEBUG_MAX_LEN	  4096u /* bytes of a watchpoint */

enum debug_break_kind { DEBUG_SW, DEBUG_HW };
struct debug_break {
	u32 linear;
	u32 kind;
};

enum { DEBUG_WRITES = 1, DEBUG_READS = 2, DEBUG_ACCESSES = 3 };
struct debug_watch {
	u32 linear, len;
	u32 kind; /* DEBUG_WRITES, ... */
};

/* Why the machine stopped (RUNSTATE_DEBUG). */
enum debug_cause { DEBUG_STEPPED, DEBUG_AT_BREAK, DEBUG_AT_WATCH };

/* Breakpoints are sorted by address and kind, watchpoints are in the order of their making. */
struct debug_set {
	u32 break_count, watch_count;
	struct debug_break breaks[DEBUG_MAX_BREAKS];
	struct debug_watch watches[DEBUG_MAX_WATCHES];
};

struct debug {
	struct debug_set wanted; /* the debugger's; in force from the next resume on. vm->lock */

	/* The vCPU thread's. */
	struct debug_set active;
	u64 filter[64]; /* bit n of all: there is a breakpoint at an address whose low 12 bits are n */
	enum { DEBUG_RUN, DEBUG_STEP_OVER, DEBUG_STEP } step;
	bool hold_interrupts; /* while it steps */
	bool due;	      /* a stop is */
	bool stands;	      /* it has stopped and been left at the address `at` */
	u32 at;
	struct debug_watch hit; /* the watchpoint that was touched, while DB_DEBUGGER is pending */

	/* Of the last stop. vm->lock. */
	enum debug_cause cause;
	struct debug_break at_break;
	struct debug_watch at_watch;
};

/* In v->pending_db, beside DR6's bits: a watchpoint has been touched. */
#define DB_DEBUGGER 0x80000000u

/* ---- the debugger's side; vm->lock held ---- */

/* False: no room. Setting what is set and clearing what is not is no error. */
bool debug_set_break(struct debug *d, u32 linear, enum debug_break_kind kind);
void debug_clear_break(struct debug *d, u32 linear, enum debug_break_kind kind);
bool debug_set_watch(struct debug *d, u32 linear, u32 len, u32 kind);
void debug_clear_watch(struct debug *d, u32 linear, u32 len, u32 kind);

/* ---- on the vCPU's thread, machine stopped, FPU saved: by vm_call_vcpu ---- */

/* *d is the caller's, zeroed, until debug_detach. */
void debug_attach(struct vcpu *v, struct debug *d);
/* What it has set is forgotten. */
void debug_detach(struct vcpu *v);
enum {
	DEBUG_ONE = 1,	 /* one instruction, then stop */
	DEBUG_NOIRQ = 2, /* and no interrupt or NMI meanwhile */
};
/*
 * Says how the vCPU goes on at the next vm_cont. The instruction at which it stands is run without looking for a breakpoint, unless the
 * debugger has moved EIP there. A step out of HLT wakes the CPU.
 */
void debug_resume(struct vcpu *v, unsigned flags);
/* The debugger has set EIP: the vCPU shall begin there, without what was left over from where it stood. */
void debug_moved(struct vcpu *v);
/*
 * Guest memory by linear address in the current address space, or physical: whatever rights the tables give, without a trace in them.
 * Returns how many bytes were done before the first that is no memory (not mapped, a device's, or for writes a ROM's).
 */
u32 debug_read(struct vcpu *v, u64 address, bool physical, void *buf, u32 n);
u32 debug_write(struct vcpu *v, u64 address, bool physical, const void *buf, u32 n);

/* ---- vCPU thread: the dispatcher, the translator and the memory's side; v->debug is not NULL ---- */

/* Whether a TU must end in front of the instruction at v's CS:eip. Without a flat CS the TU may serve other bases: then by page offset. */
bool debug_ends_tu(const struct vcpu *v, u32 eip, bool flat);
/* At v->eip, before its instruction: true if a breakpoint stops the machine there. */
bool debug_breaks(struct vcpu *v);
/* An instruction has been completed, or an exception or interrupt delivered. */
void debug_executed(struct vcpu *v);
/* DB_DEBUGGER was pending. */
void debug_watched(struct vcpu *v);
/* The machine stops, as has been due. FPU parked by this. */
void debug_stop(struct vcpu *v);
/* An access of n bytes: DEBUG_WRITES, DEBUG_READS or both. True, and noted, if it touches what is watched. */
bool debug_touches(struct vcpu *v, u32 linear, u32 n, u32 kind);
/* The kinds of accesses to a linear page that must come to the monitor. */
u32 debug_page_watched(const struct vcpu *v, u32 page);

static inline bool debug_stops(struct vcpu *v)
{
	if (likely(!v->debug) || !v->debug->due)
		return false;
	debug_stop(v);
	return true;
}
static inline bool debug_steps(const struct vcpu *v)
{
	return unlikely(v->debug != NULL) && v->debug->step != DEBUG_RUN;
}
static inline bool debug_holds_interrupts(const struct vcpu *v)
{
	return debug_steps(v) && v->debug->hold_interrupts;
}
static inline u32 debug_watched_kinds(const struct vcpu *v, u32 page)
{
	return likely(!v->debug) || !v->debug->active.watch_count ? 0 : debug_page_watched(v, page);
}

#endif
