/*
 * What the parts of the direct memory flavour share, and nobody else sees: the bookkeeping of windows (see window.h).
 *
 *	window.c	life of windows: address space, which one code uses
 *	window_map.c	what is in them: regions, host mappings, traces of page tables, zaps
 *	window_fill.c	fills
 *	policy.c	whether they pay: heat, guilt
 *
 * A window is kept in regions of 2 MiB, the least that one page-directory entry maps in any paging mode. A region that has mappings has two
 * "uses": one on the page of its directory entry, one on its page table. A guest page with uses is traced; when its last use goes, it is
 * plain data again.
 */
#ifndef RINGER_WINDOW_STATE_H
#define RINGER_WINDOW_STATE_H

#include "monitor/vcpu.h"
#include "shadowpt/policy.h"
#include "shadowpt/window.h"

struct walk;

#include "shadowpt/walk.h"

#define WINDOW_SIZE  (1ull << 32)
#define WINDOW_GUARD (1ull << 16)
_Static_assert(WINDOW_REACH + PAGE_SIZE <= WINDOW_GUARD, "an operand's end");
#define WINDOW_COUNT 128
#define REGION_SHIFT 21
#define REGION_COUNT (1u << (32 - REGION_SHIFT))
#define REGION_PAGES 512u
#define POOL_REGIONS 4096u
#define ZAP_MAX	     128u
#define A20_PAGE     (1u << (20 - PAGE_SHIFT))
#define AROUND	     16u /* pages looked at around a fault */
#define HEAT_SLOTS   64u
#define CALM_NEWS    8u /* exceptions and first accesses between two interrupts, at most, of a program that is past its start */
#define COOL_NS	     200000000ull
#define JUDGE_NS     10000000ull
#define ACTIVITY_NS  10000ull
#define KERNEL_POLLS 4096u
#define GUILTY_SLOTS 8192u
#define BLAME_SLOTS  256u
#define BLAME_LIMIT  64u /* true faults of one instruction between two interrupts: a signal for each is too much */
#define REBIND_MAX   16u /* pages that a region may lose when it goes over to another page table */
#define CHURN_SLOTS  4096u
#define CHURN_LIMIT  8u
#define CHURN_NS     100000000ull /* zaps count half after so long */

struct region {
	u64 mapped[REGION_PAGES / 64];
	u64 writable[REGION_PAGES / 64];
	u64 pde_pa, table_pa; /* table_pa 0: a large page; pde_pa 0: no paging */
	u64 pde;	      /* the directory entry when the region was made */
	u32 count;	      /* pages mapped */
	u32 next_free;
	u16 window, number;
	u16 entry_size;
	/* Uses: index * 2 on the directory page, index * 2 + 1 on the table page; links are use + 1. */
	u32 next_use[2], prev_use[2];
	struct page_desc *used[2]; /* of the pages used: what lies at their addresses may have changed since */
};

/*
 * The supervisor's window serves all address spaces. Its regions do not use their directory: the directories of the current address space
 * are used as a whole (roots, pool entries of their own), and a CR3 load compares the entries of the regions that live.
 */
#define ROOT_NUMBER 0xffff

struct window {
	u8 *base;
	bool used, kernel;
	bool lost; /* the host refused something: pages may be gone that the bookkeeping has for mapped, until they fault */
	u16 live_count;
	u16 live[REGION_COUNT]; /* numbers of the regions in use */
	u32 root[4];		/* kernel: index + 1 of the root uses */
	u32 cr3;
	u64 pdpte[4];
	bool pae;
	u64 last_use;
	u32 mappings;		  /* host mappings, at most */
	u16 region[REGION_COUNT]; /* index + 1 into the pool */
	struct account account;
	u32 next, stride; /* user: the page behind the last fill's block, and the pages that the block had */
	u32 prefault;	  /* linear address of the last true fault, or 0 */
	u32 zap[ZAP_MAX]; /* linear pages */
	u32 zap_count;
};

#define KERNEL_WINDOW WINDOW_COUNT

struct windows {
	struct window window[WINDOW_COUNT + 1];
	u32 paging; /* the bits of CR0, CR4, EFER and A20 that windows were made under */
	struct region *pool;
	u32 free_region; /* index + 1 */
	u32 mappings, budget;
	u32 span; /* pages that one fill may map, a power of two; two fills fit into the budget, so that an instruction with two operands
		     gets on */
	u64 clock;
	u8 *gs;	      /* what GS base holds */
	u32 reserved; /* windows that have address space */
	u32 top;      /* windows from here on are not used, but for the supervisor's */
	bool refused; /* the host gives no more of it: go on with those that there are, or checked */
	struct heat {
		u32 cr3;
		u64 ran, price; /* processor time of checked user code, and how much of it a window costs to begin with; ns */
		u64 brought;	/* instructions translated for it, checked, since the last tick */
		struct retry retry;
	} heat[HEAT_SLOTS];
	struct retry kernel_retry;
	bool kernel_waits;
	u32 kernel_polls;
	u64 sampled; /* processor time: up to when it is known what ran */
	u64 asked;   /* vm time when the host was asked for it */
	u64 news;    /* exceptions and pages marked accessed or dirty, at the last tick */
	u64 guilty[GUILTY_SLOTS];
	struct blame {
		u64 insn_pa, tick; /* stats.interrupts */
		u32 count;
	} blame[BLAME_SLOTS];
	u8 churn[CHURN_SLOTS];	  /* how often a page (by a hash) of the supervisor's window was zapped singly */
	u8 differs[REGION_COUNT]; /* how often a region of it was zapped because address spaces differ there */
	u64 decayed;		  /* vm time: when these were halved */
};

/* For -d page: "window 3 (cr3 00123000)". */
#define WINDOW_FMT	  "page: window %u (%s, cr3 %08x): "
#define WINDOW_ARGS(v, w) (u32)((w) - (v)->windows->window), (w)->kernel ? "supervisor" : "user", (w)->kernel ? (v)->cr3 : (w)->cr3

static inline struct region *region_at(struct vcpu *v, u32 index)
{
	return &v->windows->pool[index];
}

/* window_map.c */

/* Whether the bookkeeping has a linear page for mapped; `which`: window number << 20 | linear page. */
bool window_is_mapped(struct vcpu *v, const struct window *w, u32 page);
bool window_is_writable(struct vcpu *v, u32 which);
/* Empties a window. */
void window_reset(struct vcpu *v, struct window *w);
/* Does the queued zaps. */
void window_flush_zaps(struct vcpu *v, struct window *w);
/* The supervisor's window goes over to the current address space; it is not `used` any more where that could not be. */
void window_switch_kernel(struct vcpu *v, struct window *w);
/* The supervisor's window stops tracing directories. */
void window_release_roots(struct vcpu *v, struct window *w);

/* The descriptor of a RAM page, NULL if there is no RAM. */
struct page_desc *window_page_desc(struct vcpu *v, u64 pa);
/* Whether a page must not be writable in windows: what it holds would change unseen. */
bool window_must_not_write(const struct vcpu *v, const struct page_desc *d);
/* The region of a window, made if need be, for what a walk has found; NULL if there is no room, or no RAM where its tables are. */
struct region *window_need_region(struct vcpu *v, struct window *w, u32 number, const struct walk *walk);
/* Forgets a region, and what it used. */
void window_drop_region(struct vcpu *v, struct window *w, u32 number);
/* There may be so many more host mappings in it. */
void window_count_mappings(struct vcpu *v, struct window *w, s32 n);
/* A page is writable at `which` now: who protects it must find that. */
void window_remember_writer(struct vcpu *v, struct page_desc *d, u32 which);

/* window_fill.c */

/* A page's entry in the page table of its region; false if there is no memory any more where that was. */
bool window_table_entry(struct vcpu *v, const struct region *r, u32 page, u64 *e);
u64 window_entry_frame(const struct region *r, u64 e);
/* What a page beside the faulting one may be mapped as without touching the guest's tables: PROT_NONE if it may not. */
int window_neighbour(struct vcpu *v, const struct window *w, const struct region *r, u32 page, u64 *pa);

/* What window_hand_over would cost at most, ns. */
u64 window_price(const struct vcpu *v);
/* Maps what checked code of the current address space has in its flat table, until no more than `least` ns are left in the account. */
void window_hand_over(struct vcpu *v, struct window *w, s64 least);
/* Maps the page of the last true fault. */
void window_prefault(struct vcpu *v, struct window *w);

/* window.c */

/* Gives the current address space a window: a free one, or the least recently used. */
void window_adopt(struct vcpu *v);

#endif
