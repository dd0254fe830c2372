/*
 * Whether windows pay, under flavour=auto: their accounts.
 *
 * Direct code saves time as long as it runs; filling, zapping and emptying its window costs some. Each window has an account in
 * nanoseconds. It earns a share of the time that code ran in it, up to a limit, and pays for what its upkeep costs the host's kernel. Once
 * it has less than nothing its code runs checked. It may try again after a while, which doubles with each failure that comes soon.
 *
 * What a thing costs is a constant, measured once (docs/design.md, Does it pay?), not the time that it took: that would be another one in
 * each run, and longer whenever the host is busy.
 *
 * Invariant: over any time t in which a window lives, its upkeep is at most t / ACCOUNT_SHARE, and `most`, and what one operation costs.
 */
#ifndef RINGER_POLICY_H
#define RINGER_POLICY_H

#include "monitor/types.h"

struct vcpu;
struct window;

/* Nanoseconds. */
#define COST_SIGNAL	 2000u /* a fault and the way back */
#define COST_MAP	 3000u /* an mmap */
#define COST_PAGE	 200u  /* a page populated by it, or thrown away */
#define COST_LAZY	 5000u /* what the host faults in later of a large run */
#define COST_PROTECT	 700u
#define COST_UNMAP	 2500u
#define COST_MAPPING	 1000u	/* thrown away with a window */
#define COST_TABLE_WRITE 100u	/* by the monitor, for the page is traced */
#define COST_GUILT	 10000u /* a signal, and a TU made anew */

#define COST_INSN	 100u	/* an instruction translated once more, for it ran checked first */

#define NEW_INSNS      4096u /* translated between two ticks, for a program to be one that brings much code */
#define ACCOUNT_SHARE  4
#define ACCOUNT_USER   1000000 /* the most that an account can hold */
#define ACCOUNT_KERNEL 5000000 /* it has all of memory to map, and bursts are worth more to it */
#define RETRY_FIRST    10      /* times what the account can hold: the first wait */
#define RETRY_MAX      3200000000ull
#define RETRY_LONG     8 /* times the wait: who lived so long has not failed soon */

struct account {
	s64 balance, most;
	u64 paid;   /* since it earned last */
	u64 opened; /* vm time */
};

struct retry {
	u64 wait, not_before; /* vm time */
};

/* A window begins with half of what it can have at most. */
static inline void account_open(struct account *a, u64 now, s64 most)
{
	*a = (struct account){.balance = most / 2, .most = most, .opened = now};
}

static inline void account_pay(struct account *a, u64 ns)
{
	a->balance -= (s64)ns;
	a->paid += ns;
}

/* Code ran in the window for so long, upkeep included. */
static inline void account_earn(struct account *a, u64 ns)
{
	u64 share = ns > a->paid ? (ns - a->paid) / ACCOUNT_SHARE : 0;
	u64 room = a->balance < a->most ? (u64)(a->most - a->balance) : 0;
	a->paid = 0;
	a->balance += (s64)(share < room ? share : room);
}

/* The window has been given up. */
static inline void retry_later(struct retry *r, const struct account *a, u64 now)
{
	if (!r->wait || now - a->opened > RETRY_LONG * r->wait)
		r->wait = RETRY_FIRST * (u64)a->most;
	else
		r->wait = r->wait * 2 < RETRY_MAX ? r->wait * 2 : RETRY_MAX;
	r->not_before = now + r->wait;
}

/* A window is about to be used. */
void policy_open(struct vcpu *v, struct window *w);
/* Before code runs in a window that has less than nothing: false if that is so, and the window is given up. */
bool policy_settle(struct vcpu *v, struct window *w);
/* Whether the supervisor's window was given up, and its time has not come yet. */
bool policy_kernel_waits(struct vcpu *v);

/* Whether a page of the supervisor's window is mapped to be used once, or its region is another one in each address space: those who go
 * there are guilty. */
bool policy_avoids(const struct vcpu *v, u32 page);
/* Such a page was zapped singly. */
void policy_page_zapped(struct vcpu *v, u32 page);
/* A region of the supervisor's window was zapped because an address space has another one there. */
void policy_region_differs(struct vcpu *v, u32 number);
/* What regions are means something else now. */
void policy_forget_regions(struct vcpu *v);

#endif
