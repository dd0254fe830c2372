/* The guest's page tables, walked as the CPU does (SDM Vol. 3A chapter 4). */
#ifndef RINGER_WALK_H
#define RINGER_WALK_H

#include "monitor/vcpu.h"

struct walk {
	u64 pa;	       /* guest-physical address of the byte asked for */
	bool writable; /* a write at this privilege is allowed and D is set already: the page may be entered as writable */
	bool global;   /* survives MOV CR3 */
	bool user;     /* U = 1 at every level */
	bool paged;    /* there are page tables: pde_pa and table_pa hold */
	bool large;    /* mapped by a 4 MB or 2 MB page */
	bool accessed; /* A was set at every level */
	bool no_exec;  /* NX counts, and is set at some level */
	u64 pde;       /* the page-directory entry used */
	u64 pde_pa;    /* guest-physical address of the page-directory entry used */
	u64 table_pa;  /* of the page table; 0 if large */
};

/*
 * Translates `linear` for an access (ACC_* flags), sets A (and D for writes) in the guest's tables.
 * Returns -1 on success, else the #PF error code (nothing raised, CR2 untouched). vCPU thread.
 */
int walk_translate(struct vcpu *v, u32 linear, int acc, struct walk *w);
/* As above without changing A or D and without permission checks; false if not mapped. For debuggers and logs. */
bool walk_peek(struct vcpu *v, u32 linear, u64 *pa);
/* Whether a TLB may hold a translation for fetches at CPL 3 without anybody's having fetched: allowed, and A is set. *pa: what it is. */
bool walk_fetched(struct vcpu *v, u32 linear, u64 *pa);

#endif
