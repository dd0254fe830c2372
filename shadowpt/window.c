/*
 * Windows (see window.h): fills, traces of page tables, zaps, the mapping budget.
 *
 * A window is kept in regions of 2 MiB, the least that one page-directory entry maps in any paging mode. A region that has mappings has two
 * "uses": one on the page of its directory entry, one on its page table. A guest page with uses is traced; when its last use goes, it is
 * plain data again.
 *
 * Functions below window_fault run in a signal handler: no allocation but from pools made at start, no libc but system calls.
 */
#include "shadowpt/window.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cache/smc.h"
#include "monitor/cpuid.h"
#include "monitor/debug.h"
#include "monitor/fpu.h"
#include "monitor/log.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/access.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/walk.h"

#define WINDOW_SIZE  (1ull << 32)
#define WINDOW_GUARD (1ull << 16)
#define WINDOW_COUNT 32
#define REGION_SHIFT 21
#define REGION_COUNT (1u << (32 - REGION_SHIFT))
#define REGION_PAGES 512u
#define POOL_REGIONS 4096u
#define ZAP_MAX	     128u
#define A20_PAGE     (1u << (20 - PAGE_SHIFT))
#define AROUND	     16u /* pages looked at around a fault */
#define HEAT_SLOTS   64u
#define HEAT_TICKS   1	/* timer interrupts in user code until an address space is hot */
#define CALM_FAULTS  8u /* exceptions between two interrupts, at most, of a program that is past its start */
#define COOL_NS	     200000000ull
#define JUDGE_NS     10000000ull
#define ACTIVITY_NS  10000ull
#define GUILTY_SLOTS 8192u
#define BLAME_SLOTS  256u
#define BLAME_LIMIT  64u /* true faults of one instruction between two interrupts: a signal for each is too much */
#define REBIND_MAX   16u /* pages that a region may lose when it goes over to another page table */
#define CHURN_SLOTS  4096u
#define CHURN_LIMIT  8u

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
	u16 live_count;
	u16 live[REGION_COUNT]; /* numbers of the regions in use */
	u32 root[4];		/* kernel: index + 1 of the root uses */
	u32 cr3;
	u64 pdpte[4];
	bool pae;
	u64 last_use;
	u32 mappings;		  /* host mappings, at most */
	u16 region[REGION_COUNT]; /* index + 1 into the pool */
	u32 activity;		  /* fills, zaps, changes of rights since `since` (vm time, ns) */
	u64 since;
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
	bool refused; /* the host gives no more of it: go on with those that there are, or checked */
	struct heat {
		u32 cr3, ticks;
		u64 not_before; /* vm time: it has been tried, and cost too much */
	} heat[HEAT_SLOTS];
	u64 exceptions; /* at the last tick */
	u64 guilty[GUILTY_SLOTS];
	struct blame {
		u64 insn_pa, tick; /* stats.interrupts */
		u32 count;
	} blame[BLAME_SLOTS];
	u8 churn[CHURN_SLOTS]; /* how often a page (by a hash) of the supervisor's window was zapped singly */
};

static struct page_desc *desc_of(struct vcpu *v, u64 pa)
{
	u8 *host = ram_ptr(&v->vm->mem, pa);
	return host ? smc_page(v, ram_page(&v->vm->mem, host)) : NULL;
}

/* Code, or tables that a window depends on; or code that is rewritten again and again, where each change of rights would cost system calls.
 */
static bool must_not_write(const struct vcpu *v, const struct page_desc *d)
{
	return d->granules || d->traces ||
	       (d->code_churn == CODE_CHURN_LIMIT && (u8)(v->stats.interrupts - d->code_tick) < CODE_CHURN_TICKS);
}

/* ---- uses of guest pages as page tables ---- */

static struct region *region_at(struct vcpu *v, u32 index)
{
	return &v->windows->pool[index];
}

static u64 use_pa(const struct region *r, u32 which)
{
	return which ? r->table_pa : r->pde_pa;
}

static void add_use(struct vcpu *v, u32 index, u32 which)
{
	struct region *r = region_at(v, index);
	u64 pa = use_pa(r, which);
	u8 *host = ram_ptr(&v->vm->mem, pa);
	struct page_desc *d = desc_of(v, pa);
	u32 link = index * 2 + which + 1;
	bool first = !d->traces;
	r->used[which] = d;
	r->prev_use[which] = 0;
	r->next_use[which] = d->traces;
	if (d->traces)
		region_at(v, (d->traces - 1) / 2)->prev_use[(d->traces - 1) & 1] = link;
	d->traces = link;
	if (first)
		softmmu_protect_page(v, ram_page(&v->vm->mem, host));
}

static void remove_use(struct vcpu *v, u32 index, u32 which)
{
	struct region *r = region_at(v, index);
	u32 next = r->next_use[which], prev = r->prev_use[which];
	if (prev)
		region_at(v, (prev - 1) / 2)->next_use[(prev - 1) & 1] = next;
	else
		r->used[which]->traces = next;
	if (next)
		region_at(v, (next - 1) / 2)->prev_use[(next - 1) & 1] = prev;
}

static void drop_region(struct vcpu *v, struct window *w, u32 number)
{
	u32 index = w->region[number] - 1u, i = 0;
	struct region *r = region_at(v, index);
	if (!w->kernel)
		remove_use(v, index, 0);
	if (r->table_pa)
		remove_use(v, index, 1);
	w->region[number] = 0;
	while (w->live[i] != number)
		i++;
	w->live[i] = w->live[--w->live_count];
	r->next_free = v->windows->free_region;
	v->windows->free_region = index + 1;
}

/* ---- unmapping ---- */

/* For -d page: "window 3 (cr3 00123000)". */
#define WINDOW_FMT	  "page: window %u (%s, cr3 %08x): "
#define WINDOW_ARGS(v, w) (u32)((w) - (v)->windows->window), (w)->kernel ? "supervisor" : "user", (w)->kernel ? (v)->cr3 : (w)->cr3

static bool reserve(struct window *w, u32 page, u32 pages)
{
	return mmap(w->base + (u64)page * PAGE_SIZE, (u64)pages * PAGE_SIZE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/*
 * If the host refuses (a hole splits a mapping, and there may be no more of them), all of the window goes, which cannot fail. What the
 * bookkeeping then holds for mapped is filled again when it faults.
 */
static void unmap(struct window *w, u32 page, u32 pages)
{
	if (!reserve(w, page, pages))
		reserve(w, 0, 1u << 20);
}

static void count_mappings(struct vcpu *v, struct window *w, s32 n)
{
	w->mappings += (u32)n;
	v->windows->mappings += (u32)n;
}

static void reset(struct vcpu *v, struct window *w)
{
	if (!w->mappings && !w->live_count)
		return;
	trace_to(LOG_PAGE, WINDOW_FMT "emptied, %u regions\n", WINDOW_ARGS(v, w), w->live_count);
	w->activity += 4 + w->mappings / 8;
	unmap(w, 0, 1u << 20);
	while (w->live_count)
		drop_region(v, w, w->live[w->live_count - 1]);
	count_mappings(v, w, -(s32)w->mappings);
	w->zap_count = 0;
	v->stats.window_resets++;
}

static void zap_region(struct vcpu *v, struct window *w, u32 number)
{
	trace_to(LOG_PAGE, WINDOW_FMT "zap of %08x, 512 pages\n", WINDOW_ARGS(v, w), number << REGION_SHIFT);
	unmap(w, number * REGION_PAGES, REGION_PAGES);
	drop_region(v, w, number);
	w->activity++;
	v->stats.window_zaps++;
	/* A window without regions is empty, whatever the count of its mappings has come to. */
	if (w->live_count)
		return;
	count_mappings(v, w, -(s32)w->mappings);
	w->zap_count = 0;
}

static bool is_mapped(struct vcpu *v, const struct window *w, u32 page)
{
	u32 index = w->region[page / REGION_PAGES];
	return index && (region_at(v, index - 1)->mapped[page % REGION_PAGES / 64] >> (page % 64) & 1);
}

static void forget_page(struct vcpu *v, struct window *w, u32 page)
{
	struct region *r = region_at(v, w->region[page / REGION_PAGES] - 1u);
	u64 bit = 1ull << (page % 64);
	r->mapped[page % REGION_PAGES / 64] &= ~bit;
	r->writable[page % REGION_PAGES / 64] &= ~bit;
	if (!--r->count)
		drop_region(v, w, page / REGION_PAGES);
}

/*
 * A page that the kernel maps to use it once (fixmaps, temporary mappings) costs a signal and two system calls each time: beyond a few
 * times the instructions that go there are guilty.
 */
static u8 *churn(struct vcpu *v, u32 page)
{
	return &v->windows->churn[(page ^ page >> 12) % CHURN_SLOTS];
}

static void zap_pages(struct vcpu *v, struct window *w, u32 page, u32 pages)
{
	trace_to(LOG_PAGE, WINDOW_FMT "zap of %08x, %u pages\n", WINDOW_ARGS(v, w), page << PAGE_SHIFT, pages);
	unmap(w, page, pages);
	/* A hole in the middle of a mapping makes two of it. */
	count_mappings(v, w, 1);
	w->activity++;
	v->stats.window_zaps++;
	for (u32 i = 0; i < pages; i++)
		if (is_mapped(v, w, page + i))
			forget_page(v, w, page + i);
	if (w->kernel && pages == 1 && *churn(v, page) <= CHURN_LIMIT)
		++*churn(v, page);
}

/* Does the queued zaps, neighbours together. */
static void flush_zaps(struct vcpu *v, struct window *w)
{
	u32 n = w->zap_count;
	for (u32 i = 0, run; i < n; i += run) {
		run = 1;
		while (i + run < n && w->zap[i + run] == w->zap[i] + run)
			run++;
		zap_pages(v, w, w->zap[i], run);
	}
	w->zap_count = 0;
}

static void queue_zap(struct vcpu *v, struct window *w, u32 page)
{
	if (w->zap_count && w->zap[w->zap_count - 1] == page)
		return;
	if (w->zap_count == ZAP_MAX) {
		/* A teardown, or a fork: begin anew. */
		reset(v, w);
		return;
	}
	w->zap[w->zap_count++] = page;
}

/* ---- traces ---- */

/* Directory entries of the current address space have been written: zaps the supervisor's regions that came from them. */
static bool root_write(struct vcpu *v, struct window *w, const struct region *root, u64 pa, u32 n)
{
	u64 from = MAX(pa, root->pde_pa), to = MIN(pa + n, root->pde_pa + PAGE_SIZE);
	u32 size = root->entry_size, each = size == 4 ? 2 : 1;
	bool zapped = false;
	if (from >= to)
		return false;
	for (u32 e = (u32)(from - root->pde_pa) / size; e <= (u32)(to - 1 - root->pde_pa) / size; e++) {
		for (u32 k = 0; k < each; k++) {
			/* root->count: the first region that the directory maps. */
			u32 number = root->count + e * each + k;
			if (w->region[number]) {
				zap_region(v, w, number);
				zapped = true;
			}
		}
	}
	return zapped;
}

void window_table_write(struct vcpu *v, u64 pa, u32 n)
{
	struct page_desc *d = desc_of(v, pa);
	if (likely(!d || !d->traces))
		return;
	v->stats.table_writes++;
	for (u32 link = d->traces, next; link; link = next) {
		u32 index = (link - 1) / 2, which = (link - 1) & 1;
		struct region *r = region_at(v, index);
		struct window *w = &v->windows->window[r->window];
		u32 number = r->number;
		next = r->next_use[which];
		if (number == ROOT_NUMBER) {
			if (root_write(v, w, r, pa, n))
				next = d->traces;
			continue;
		}
		if (!which) {
			if (pa < r->pde_pa + r->entry_size && r->pde_pa < pa + n) {
				/* The region's other use may be the next in line: begin again. */
				zap_region(v, w, number);
				next = d->traces;
			}
			continue;
		}
		/* Entries of this region in its page table: all 512 of a PAE table, one half of a two-level one. */
		u64 first = r->table_pa + (r->entry_size == 4 ? (number & 1) * REGION_PAGES * 4 : 0);
		u64 end = first + REGION_PAGES * r->entry_size, from = MAX(pa, first), to = MIN(pa + n, end);
		if (from >= to)
			continue;
		for (u32 e = (u32)(from - first) / r->entry_size; e <= (u32)(to - 1 - first) / r->entry_size; e++) {
			u32 page = number * REGION_PAGES + e;
			if (is_mapped(v, w, page)) {
				queue_zap(v, w, page);
				if (!w->region[number]) {
					next = d->traces;
					break;
				}
			}
		}
	}
}

static bool is_writable(struct vcpu *v, u32 which)
{
	struct window *w = &v->windows->window[which >> 20];
	u32 page = which & 0xfffff, index = w->region[page / REGION_PAGES];
	return index && (region_at(v, index - 1)->writable[page % REGION_PAGES / 64] >> (page % 64) & 1);
}

static void protect_run(struct vcpu *v, struct window *w, u32 page, u32 pages)
{
	trace_to(LOG_PAGE, WINDOW_FMT "%08x, %u pages, is read-only now\n", WINDOW_ARGS(v, w), page << PAGE_SHIFT, pages);
	if (mprotect(w->base + (u64)page * PAGE_SIZE, (u64)pages * PAGE_SIZE, PROT_READ) < 0)
		unmap(w, 0, 1u << 20);
	/* It may split a mapping in three. */
	w->activity++;
	count_mappings(v, w, 2);
	struct region *r = region_at(v, w->region[page / REGION_PAGES] - 1u);
	for (u32 i = page % REGION_PAGES; pages--; i++)
		r->writable[i / 64] &= ~(1ull << (i % 64));
}

/* For a page with more writable mappings than are remembered: all writable mappings go. */
static void protect_everything(struct vcpu *v)
{
	for (u32 i = 0; i <= WINDOW_COUNT; i++) {
		struct window *w = &v->windows->window[i];
		for (u32 k = 0; w->used && k < w->live_count; k++) {
			u32 first = w->live[k] * REGION_PAGES;
			for (u32 n = 0, run; n < REGION_PAGES; n += run + 1) {
				for (run = 0; n + run < REGION_PAGES && is_writable(v, i << 20 | (first + n + run)); run++)
					;
				if (run)
					protect_run(v, w, first + n, run);
			}
		}
	}
}

void window_protect_page(struct vcpu *v, struct page_desc *d)
{
	if (d->window_writers > WINDOW_WRITERS)
		protect_everything(v);
	for (u32 i = 0; i < d->window_writers && i < WINDOW_WRITERS; i++)
		if (is_writable(v, d->window_writer[i]))
			protect_run(v, &v->windows->window[d->window_writer[i] >> 20], d->window_writer[i] & 0xfffff, 1);
	d->window_writers = 0;
}

static void remember_writer(struct vcpu *v, struct page_desc *d, u32 which)
{
	u32 kept = 0;
	for (u32 i = 0; i < d->window_writers && i < WINDOW_WRITERS; i++)
		if (d->window_writer[i] == which)
			return;
	/* Those that are not writable any more make room. */
	if (d->window_writers == WINDOW_WRITERS) {
		for (u32 i = 0; i < WINDOW_WRITERS; i++)
			if (is_writable(v, d->window_writer[i]))
				d->window_writer[kept++] = d->window_writer[i];
		d->window_writers = (u8)kept;
	}
	if (d->window_writers < WINDOW_WRITERS)
		d->window_writer[d->window_writers] = which;
	if (d->window_writers <= WINDOW_WRITERS)
		d->window_writers++;
}

/* ---- filling ---- */

static void evict_for(struct vcpu *v, struct window *keep)
{
	struct windows *ws = v->windows;
	while (ws->mappings + ws->span > ws->budget) {
		struct window *victim = NULL;
		for (u32 i = 0; i <= WINDOW_COUNT; i++) {
			struct window *w = &ws->window[i];
			if (w != keep && w->mappings && (!victim || w->last_use < victim->last_use))
				victim = w;
		}
		v->stats.windows_evicted++;
		trace_to(LOG_PAGE, WINDOW_FMT "evicted, to make room\n", WINDOW_ARGS(v, victim ? victim : keep));
		reset(v, victim ? victim : keep);
		if (!victim)
			return;
	}
}

static struct region *need_region(struct vcpu *v, struct window *w, u32 number, const struct walk *walk)
{
	struct windows *ws = v->windows;
	if (w->region[number])
		return region_at(v, w->region[number] - 1u);
	if (!ws->free_region)
		return NULL;
	u32 index = ws->free_region - 1;
	struct region *r = region_at(v, index);
	if (walk->paged && (!desc_of(v, walk->pde_pa) || (walk->table_pa && !desc_of(v, walk->table_pa))))
		return NULL;
	ws->free_region = r->next_free;
	memset(r, 0, sizeof(*r));
	r->window = (u16)(w - ws->window);
	r->number = (u16)number;
	r->entry_size = v->cr4 & CR4_PAE ? 8 : 4;
	r->pde_pa = walk->pde_pa;
	r->table_pa = walk->table_pa;
	r->pde = walk->pde;
	w->region[number] = (u16)(index + 1);
	w->live[w->live_count++] = (u16)number;
	if (!w->kernel)
		add_use(v, index, 0);
	if (r->table_pa)
		add_use(v, index, 1);
	return r;
}

/* RAM that may be mapped, and with which of the rights `prot`. */
static int page_rights(struct vcpu *v, u32 page, u64 pa, int prot)
{
	u8 *host = ram_ptr(&v->vm->mem, pa);
	u32 watched = debug_watched_kinds(v, page);
	if (!host || (watched & DEBUG_READS))
		return PROT_NONE;
	if (watched)
		prot &= ~PROT_WRITE;
	if (!memory_is_writable(&v->vm->mem, pa))
		prot &= ~PROT_WRITE;
	struct page_desc *d = smc_page(v, ram_page(&v->vm->mem, host));
	return must_not_write(v, d) ? prot & ~PROT_WRITE : prot;
}

/* A page's entry in the page table of its region; false if there is no memory any more where that was. */
static bool table_entry(struct vcpu *v, const struct region *r, u32 page, u64 *e)
{
	u32 n = r->entry_size == 4 ? page & 1023 : page & 511;
	const u8 *p = ram_ptr(&v->vm->mem, r->table_pa + (u64)n * r->entry_size);
	if (!p)
		return false;
	*e = r->entry_size == 4 ? *(const u32 *)p : *(const u64 *)p;
	return true;
}

static u64 entry_frame(const struct region *r, u64 e)
{
	return e & (r->entry_size == 4 ? 0xfffff000ull : 0xffffff000ull);
}

/* What a page beside the faulting one may be mapped as without touching the guest's tables: PROT_NONE if it may not. */
static int neighbour(struct vcpu *v, const struct window *w, const struct region *r, u32 page, u64 *pa)
{
	u64 e, both;
	if (!v->vm->mem.a20_open || !table_entry(v, r, page, &e))
		return PROT_NONE;
	both = e & r->pde;
	/* P and A; nothing reserved (of a PAE entry all above the address, XD too unless there is NXE); U = 1 in a user's window only. */
	if ((e & 0x21) != 0x21 || e >> CPU_PHYS_BITS & (v->efer & EFER_NXE ? 0x7ffffff : 0xfffffff) || !(both & 4) != w->kernel)
		return PROT_NONE;
	*pa = entry_frame(r, e);
	/* W and D. */
	bool writable = (e & 0x40) && ((both & 2) || (w->kernel && !(v->cr0 & CR0_WP)));
	return page_rights(v, page, *pa, writable ? PROT_READ | PROT_WRITE : PROT_READ);
}

/* Large runs are left to be populated as they are touched: much of them may never be. */
static bool map_run(struct vcpu *v, struct window *w, u32 page, u64 pa, u32 pages, int prot)
{
	struct memory *m = &v->vm->mem;
	u8 *host = ram_ptr(m, pa);
	int flags = MAP_SHARED | MAP_FIXED | (pages <= AROUND ? MAP_POPULATE : 0);
	if (mmap(w->base + (u64)page * PAGE_SIZE, (u64)pages * PAGE_SIZE, prot, flags, m->fd, host - m->ram) == MAP_FAILED)
		return false;
	struct region *r = region_at(v, w->region[page / REGION_PAGES] - 1u);
	for (u32 i = 0; i < pages; i++) {
		u32 n = (page + i) % REGION_PAGES;
		u64 bit = 1ull << (n % 64);
		if (!(r->mapped[n / 64] & bit))
			r->count++;
		r->mapped[n / 64] |= bit;
		r->writable[n / 64] &= ~bit;
		if (prot & PROT_WRITE) {
			r->writable[n / 64] |= bit;
			remember_writer(v, smc_page(v, ram_page(m, host) + i), (u32)(w - v->windows->window) << 20 | (page + i));
		}
	}
	trace_to(LOG_PAGE, WINDOW_FMT "fill of %08x, %u pages -> pa %llx %s\n", WINDOW_ARGS(v, w), page << PAGE_SHIFT, pages,
		 (unsigned long long)pa, prot & PROT_WRITE ? "rw" : "r");
	count_mappings(v, w, 2);
	w->activity++;
	v->stats.window_mappings++;
	v->stats.window_pages += pages;
	return true;
}

/*
 * The faulting page, and in runs those around it: of a page table's those that the guest has touched already, of a large page (or without
 * paging) all.
 */
static bool map_around(struct vcpu *v, struct window *w, struct region *r, u32 page, u64 pa, int prot)
{
	u32 span = r->table_pa ? AROUND : v->windows->span, first = page & ~(span - 1);
	u64 run_pa = 0, p = 0;
	u32 run_page = 0, run = 0;
	int run_prot = PROT_NONE;
	pa &= ~(u64)PAGE_MASK;
	for (u32 i = 0; i <= span; i++) {
		u32 at = first + i;
		int here = PROT_NONE;
		if (i == span) {
			;
		} else if (at == page || (!r->table_pa && (v->vm->mem.a20_open || !((at ^ page) & A20_PAGE)))) {
			p = pa + ((u64)at - page) * PAGE_SIZE;
			here = page_rights(v, at, p, prot);
		} else if (!r->table_pa) {
			/* With a closed A20 gate a megabyte is not followed by the next. */
			;
		} else if (!(r->mapped[at % REGION_PAGES / 64] >> (at % 64) & 1)) {
			here = neighbour(v, w, r, at, &p);
		}
		bool joins = run && here == run_prot && p == run_pa + (u64)run * PAGE_SIZE &&
			     ram_ptr(&v->vm->mem, p) == ram_ptr(&v->vm->mem, run_pa) + (u64)run * PAGE_SIZE;
		if (joins && here != PROT_NONE) {
			run++;
			continue;
		}
		if (run && !map_run(v, w, run_page, run_pa, run, run_prot))
			return false;
		run = here != PROT_NONE;
		run_page = at;
		run_pa = p;
		run_prot = here;
	}
	return true;
}

enum window_fault window_fault(struct vcpu *v, u64 offset, bool write, u32 *error)
{
	struct window *w = v->window;
	struct walk walk;
	int acc = (w->kernel ? 0 : ACC_USER) | (write ? ACC_WRITE : ACC_READ);
	u32 linear = (u32)offset, page = linear >> PAGE_SHIFT;
	if (offset >= WINDOW_SIZE)
		return WINDOW_GUILTY; /* in a guard: an access that wraps at 4 GiB */
	int err = walk_translate(v, linear, acc, &walk);
	if (err >= 0) {
		*error = (u32)err;
		w->prefault = linear;
		return WINDOW_TRUE_FAULT;
	}
	u8 *host = ram_ptr(&v->vm->mem, walk.pa);
	/* The supervisor's window is shared by all address spaces, whose user pages differ. */
	if (!host || (w->kernel && (walk.user || *churn(v, page) > CHURN_LIMIT)))
		return WINDOW_GUILTY;
	struct page_desc *d = smc_page(v, ram_page(&v->vm->mem, host));
	u32 watched = debug_watched_kinds(v, page);
	bool writable = walk.writable && !must_not_write(v, d) && !watched;
	if (unlikely(watched & DEBUG_READS))
		return WINDOW_GUILTY;
	if (write && !writable)
		return WINDOW_GUILTY;
	evict_for(v, w);
	struct region *r = need_region(v, w, page / REGION_PAGES, &walk);
	if (!r)
		return WINDOW_GUILTY;
	/* The tables themselves may be what is accessed: they are traced now. */
	writable = writable && !d->traces;
	if (write && !writable) {
		/* A region lives only while it maps something. */
		if (!r->count)
			drop_region(v, w, page / REGION_PAGES);
		return WINDOW_GUILTY;
	}
	v->stats.window_fills++;
	w->activity++;
	if (!map_around(v, w, r, page, walk.pa, writable ? PROT_READ | PROT_WRITE : PROT_READ)) {
		reset(v, w);
		return WINDOW_GUILTY;
	}
	return WINDOW_FILLED;
}

/* ---- guilt ---- */

static u64 *guilty_slot(const struct vcpu *v, u64 pa)
{
	return &v->windows->guilty[(pa ^ pa >> 13) & (GUILTY_SLOTS - 1)];
}

void window_convict(struct vcpu *v, u64 insn_pa)
{
	*guilty_slot(v, insn_pa) = insn_pa + 1;
	trace_to(LOG_PAGE, "page: the instruction at pa %llx runs checked from now on\n", (unsigned long long)insn_pa);
	v->stats.guilty++;
}

bool window_blame(struct vcpu *v, u64 insn_pa)
{
	struct blame *b = &v->windows->blame[(insn_pa ^ insn_pa >> 8) % BLAME_SLOTS];
	if (b->insn_pa != insn_pa || b->tick != v->stats.interrupts)
		*b = (struct blame){.insn_pa = insn_pa, .tick = v->stats.interrupts};
	if (++b->count < BLAME_LIMIT)
		return false;
	window_convict(v, insn_pa);
	return true;
}

bool window_is_guilty(struct vcpu *v, u64 insn_pa)
{
	return *guilty_slot(v, insn_pa) == insn_pa + 1;
}

/* ---- life of windows ---- */

/* Guards on both sides: string instructions walk either way. */
static bool create(struct vcpu *v, struct window *w)
{
	struct windows *ws = v->windows;
	u64 size = WINDOW_SIZE * 2 + WINDOW_GUARD * 2;
	if (ws->refused)
		return false;
	u8 *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		ws->refused = true;
		warn("no address space for %s window of 4 GiB (%s; see ulimit -v): %s", ws->reserved ? "another" : "a", strerror(errno),
		     ws->reserved ? "some code runs as with flavour=checked" : "running with flavour=checked");
		return false;
	}
	u8 *base = (u8 *)(((u64)p + WINDOW_GUARD + WINDOW_SIZE - 1) & ~(WINDOW_SIZE - 1));
	u8 *first = base - WINDOW_GUARD, *end = base + WINDOW_SIZE + WINDOW_GUARD;
	if (first > p)
		munmap(p, (size_t)(first - p));
	if (p + size > end)
		munmap(end, (size_t)(p + size - end));
	w->base = base;
	ws->reserved++;
	return true;
}

static bool same_space(const struct vcpu *v, const struct window *w)
{
	return w->used && w->cr3 == v->cr3 && w->pae == !!(v->cr4 & CR4_PAE);
}

/* The directories of the current address space: one, or four with PAE (0: not present). */
static void roots(const struct vcpu *v, u64 root[4])
{
	root[0] = root[1] = root[2] = root[3] = 0;
	if (!(v->cr0 & CR0_PG))
		return;
	if (!(v->cr4 & CR4_PAE)) {
		root[0] = v->cr3 & 0xfffff000u;
		return;
	}
	for (int i = 0; i < 4; i++)
		root[i] = v->pdpte[i] & 1 ? v->pdpte[i] & 0xffffff000ull : 0;
}

static void release_root(struct vcpu *v, struct window *w, int i)
{
	u32 index = w->root[i] - 1;
	if (!w->root[i])
		return;
	remove_use(v, index, 0);
	region_at(v, index)->next_free = v->windows->free_region;
	v->windows->free_region = w->root[i];
	w->root[i] = 0;
}

static bool hold_root(struct vcpu *v, struct window *w, int i, u64 pa)
{
	u32 link = v->windows->free_region;
	if (!link || !desc_of(v, pa))
		return false;
	struct region *r = region_at(v, link - 1);
	v->windows->free_region = r->next_free;
	memset(r, 0, sizeof(*r));
	r->window = (u16)(w - v->windows->window);
	r->number = ROOT_NUMBER;
	r->entry_size = v->cr4 & CR4_PAE ? 8 : 4;
	r->pde_pa = pa;
	r->count = (u32)i * (REGION_COUNT / 4);
	w->root[i] = link;
	add_use(v, link - 1, 0);
	return true;
}

static bool has_writable(const struct region *r)
{
	for (u32 i = 0; i < REGION_PAGES / 64; i++)
		if (r->writable[i])
			return true;
	return false;
}

/* The directory entry of a region in the current address space, and where it lies; false if there is none. */
static bool directory_entry(struct vcpu *v, const struct region *r, const u64 root[4], u64 *pa, u64 *e)
{
	bool pae = r->entry_size == 8;
	u64 dir = pae ? root[r->number / (REGION_COUNT / 4)] : root[0];
	*pa = dir + (pae ? r->number % (REGION_COUNT / 4) * 8 : r->number / 2 * 4);
	const u8 *p = dir ? ram_ptr(&v->vm->mem, *pa) : NULL;
	if (!p)
		return false;
	*e = pae ? *(const u64 *)p : *(const u32 *)p;
	return true;
}

/*
 * A region keeps what it holds if the new address space has the same directory entry for it, in which an access has nothing to set: A is
 * there, and, in the entry of a large page, D if a write could go through.
 */
static bool same_entry(const struct region *r, u64 e)
{
	if (((e ^ r->pde) & ~0x60ull) || !(e & 0x20))
		return false;
	return r->table_pa || (e & 0x40) || !has_writable(r);
}

/*
 * The new address space has another page table for a region, as where each has kernel tables of its own: what maps the same pages with the
 * same rights, A and D set, stays, and the rest goes. False if too much would go: then the region is better made anew. No zaps are queued.
 */
static bool rebind(struct vcpu *v, struct window *w, struct region *r, u64 pde_pa, u64 e)
{
	struct region n = *r;
	u32 other[REBIND_MAX], dirty[REBIND_MAX], others = 0, dirties = 0, index = w->region[r->number] - 1u;
	n.pde_pa = pde_pa;
	n.pde = e;
	n.table_pa = entry_frame(r, e);
	/* P, A, and no large page. */
	if (!r->table_pa || (e & 0xa1) != 0x21 || !desc_of(v, n.table_pa))
		return false;
	for (u32 k = 0; k < REGION_PAGES / 64; k++) {
		for (u64 bits = r->mapped[k]; bits; bits &= bits - 1) {
			u32 at = k * 64 + (u32)__builtin_ctzll(bits), page = r->number * REGION_PAGES + at;
			u64 pa = 0, was;
			int prot = neighbour(v, w, &n, page, &pa);
			if (!table_entry(v, r, page, &was))
				return false;
			if (prot != PROT_NONE && pa != entry_frame(r, was)) {
				if (others == REBIND_MAX)
					return false;
				other[others++] = page;
			} else if (!(prot & PROT_READ) || (!(prot & PROT_WRITE) && (r->writable[k] >> (at % 64) & 1))) {
				if (dirties == REBIND_MAX)
					return false;
				dirty[dirties++] = page;
			}
		}
	}
	if (others + dirties >= r->count)
		return false;
	remove_use(v, index, 1);
	r->pde_pa = pde_pa;
	r->pde = e;
	r->table_pa = n.table_pa;
	add_use(v, index, 1);
	/* A page that is another one in each address space makes those who go there guilty in the end. */
	for (u32 i = 0; i < others; i++)
		zap_pages(v, w, other[i], 1);
	for (u32 i = 0; i < dirties; i++) {
		unmap(w, dirty[i], 1);
		count_mappings(v, w, 1);
		forget_page(v, w, dirty[i]);
	}
	v->stats.window_rebinds++;
	return true;
}

/* The supervisor's window goes over to the current address space. */
static void switch_kernel(struct vcpu *v, struct window *w)
{
	u64 root[4];
	bool held = true;
	roots(v, root);
	for (u32 i = w->live_count; i-- > 0;) {
		struct region *r = region_at(v, w->region[w->live[i]] - 1u);
		u64 pde_pa, e;
		if (!directory_entry(v, r, root, &pde_pa, &e) || (!same_entry(r, e) && !rebind(v, w, r, pde_pa, e)))
			zap_region(v, w, r->number);
	}
	for (int i = 0; i < 4; i++) {
		if (w->root[i] && region_at(v, w->root[i] - 1)->pde_pa == root[i])
			continue;
		release_root(v, w, i);
		held &= !root[i] || hold_root(v, w, i, root[i]);
	}
	w->used = held;
	if (!held)
		reset(v, w);
}

void window_sync(struct vcpu *v)
{
	struct window *w = &v->windows->window[KERNEL_WINDOW];
	if (w->zap_count)
		flush_zaps(v, w);
}

void window_switch(struct vcpu *v)
{
	struct windows *ws = v->windows;
	v->user_window = NULL;
	if (v->vm->opt.flavour == FLAVOUR_CHECKED || !ws)
		return;
	window_sync(v);
	if (ws->window[KERNEL_WINDOW].used)
		switch_kernel(v, &ws->window[KERNEL_WINDOW]);
	for (u32 i = 0; i < WINDOW_COUNT; i++) {
		struct window *w = &ws->window[i];
		if (!same_space(v, w))
			continue;
		if (w->pae && memcmp(w->pdpte, v->pdpte, sizeof(w->pdpte)) != 0) {
			reset(v, w);
			memcpy(w->pdpte, v->pdpte, sizeof(w->pdpte));
		}
		v->user_window = w;
		return;
	}
}

/* Gives the current address space a window: a free one, or the least recently used. */
static void adopt(struct vcpu *v)
{
	struct windows *ws = v->windows;
	struct window *w = NULL;
	for (u32 i = 0; i < WINDOW_COUNT; i++) {
		struct window *c = &ws->window[i];
		if (!c->used) {
			if (c->base || create(v, c)) {
				w = c;
				break;
			}
			continue;
		}
		if (!w || c->last_use < w->last_use)
			w = c;
	}
	if (!w)
		return;
	if (w->used) {
		trace_to(LOG_PAGE, WINDOW_FMT "dropped, for cr3 %08x\n", WINDOW_ARGS(v, w), v->cr3);
		reset(v, w);
		v->stats.windows_evicted++;
	}
	w->used = true;
	w->cr3 = v->cr3;
	w->pae = v->cr4 & CR4_PAE;
	memcpy(w->pdpte, v->pdpte, sizeof(w->pdpte));
	w->zap_count = 0;
	w->activity = 0;
	/* The first fills are forgiven. */
	w->since = clock_ns(&v->vm->clock) + JUDGE_NS;
	v->user_window = w;
	v->stats.windows_made++;
	trace_to(LOG_PAGE, WINDOW_FMT "made\n", WINDOW_ARGS(v, w));
}

static struct heat *heat(struct vcpu *v)
{
	struct heat *h = &v->windows->heat[(v->cr3 >> PAGE_SHIFT ^ v->cr3 >> 5) % HEAT_SLOTS];
	if (h->cr3 != v->cr3)
		*h = (struct heat){.cr3 = v->cr3};
	return h;
}

/* An address space that changes its mappings all the time is better off checked: a fill or a zap costs about ACTIVITY_NS, a quarter of its
 * time is too much. */
static void judge(struct vcpu *v, struct window *w)
{
	u64 now = clock_ns(&v->vm->clock), passed = now - w->since;
	if (now < w->since + JUDGE_NS)
		return;
	bool busy = (u64)w->activity * ACTIVITY_NS * 4 > passed;
	w->activity = 0;
	w->since = now;
	if (!busy || v->vm->opt.flavour != FLAVOUR_AUTO)
		return;
	trace_to(LOG_PAGE, WINDOW_FMT "given up, its address space changes too fast\n", WINDOW_ARGS(v, w));
	reset(v, w);
	w->used = false;
	v->user_window = NULL;
	heat(v)->not_before = now + COOL_NS;
	v->stats.windows_demoted++;
}

void window_tick(struct vcpu *v)
{
	struct windows *ws = v->windows;
	if (v->vm->opt.flavour == FLAVOUR_CHECKED || !(v->cr0 & CR0_PG))
		return;
	/* A program that has just been started faults its pages in, and many end before they have them all: that is not heat. */
	u64 faults = v->stats.exceptions - ws->exceptions;
	ws->exceptions = v->stats.exceptions;
	if (v->user_window) {
		judge(v, v->user_window);
		return;
	}
	if (v->cpl != 3 || (ws->refused && ws->reserved == !!ws->window[KERNEL_WINDOW].base))
		return;
	struct heat *h = heat(v);
	if (v->vm->opt.flavour == FLAVOUR_AUTO && faults > CALM_FAULTS) {
		h->ticks = 0;
		return;
	}
	if (v->vm->opt.flavour == FLAVOUR_AUTO && (++h->ticks < HEAT_TICKS || clock_ns(&v->vm->clock) < h->not_before))
		return;
	h->ticks = 0;
	fpu_park(v);
	adopt(v);
}

/* The supervisor's window exists from the first need on. */
static struct window *kernel_window(struct vcpu *v)
{
	struct window *w = &v->windows->window[KERNEL_WINDOW];
	if (likely(w->used))
		return w;
	if (v->vm->opt.flavour == FLAVOUR_CHECKED || (v->windows->refused && !w->base))
		return NULL;
	fpu_park(v);
	w->kernel = true;
	if (!w->base && !create(v, w))
		return NULL;
	w->live_count = 0;
	switch_kernel(v, w);
	trace_to(LOG_PAGE, WINDOW_FMT "made\n", WINDOW_ARGS(v, w));
	return w->used ? w : NULL;
}

bool window_enter(struct vcpu *v)
{
	struct windows *ws = v->windows;
	struct window *w = v->cpl == 3 ? v->user_window : kernel_window(v);
	v->window = w;
	if (!w)
		return false;
	v->window_base = (u64)w->base;
	if (unlikely(w->zap_count) && !w->kernel)
		flush_zaps(v, w);
	/* The kernel has most likely mapped what a true fault asked for. The guest may never repeat it: A may be set on suspicion, D may
	 * not. */
	if (w->prefault && !w->kernel) {
		u32 error, linear = w->prefault;
		w->prefault = 0;
		window_fault(v, linear, false, &error);
		w->prefault = 0;
	}
	w->last_use = ++ws->clock;
	if (ws->gs != w->base) {
		ws->gs = w->base;
		__asm__ volatile("wrgsbase %0" : : "r"(w->base));
	}
	return true;
}

void windows_flush(struct vcpu *v)
{
	struct windows *ws = v->windows;
	u32 paging =
		(v->cr0 & (CR0_PG | CR0_WP)) | (v->cr4 & (CR4_PSE | CR4_PAE)) | (v->efer & EFER_NXE ? 1u << 30 : 0) | v->vm->mem.a20_open;
	if (!ws)
		return;
	if (ws->paging != paging) {
		windows_drop(v);
		ws->paging = paging;
	}
	window_switch(v);
}

bool window_contains(const struct vcpu *v, u64 host)
{
	return v->window && host - ((u64)v->window->base - WINDOW_GUARD) < WINDOW_SIZE + 2 * WINDOW_GUARD;
}

u64 window_offset(const struct vcpu *v, u64 host)
{
	return host - (u64)v->window->base;
}

void windows_drop(struct vcpu *v)
{
	struct windows *ws = v->windows;
	for (u32 i = 0; ws && i <= WINDOW_COUNT; i++) {
		struct window *w = &ws->window[i];
		if (!w->used)
			continue;
		trace_to(LOG_PAGE, WINDOW_FMT "dropped\n", WINDOW_ARGS(v, w));
		reset(v, w);
		for (int k = 0; k < 4; k++)
			release_root(v, w, k);
		w->used = false;
	}
	v->window = v->user_window = NULL;
}

static u32 mapping_budget(const struct options *o)
{
	u32 max = 65530;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");
	if (f) {
		if (fscanf(f, "%u", &max) != 1)
			max = 65530;
		fclose(f);
	}
	if (o->max_maps && o->max_maps < max)
		max = o->max_maps;
	/* What the process has of its own, and that a count of ours may be behind by a split or two. */
	return max > 1200 ? (max - 600) / 2 : 200;
}

int windows_init(struct vcpu *v)
{
	struct windows *ws = calloc(1, sizeof(*ws));
	v->windows = ws;
	if (!ws)
		return -ENOMEM;
	ws->pool = calloc(POOL_REGIONS, sizeof(*ws->pool));
	if (!ws->pool)
		return -ENOMEM;
	v->kernel_window = &ws->window[KERNEL_WINDOW];
	for (u32 i = 0; i < POOL_REGIONS; i++)
		ws->pool[i].next_free = i + 1 < POOL_REGIONS ? i + 2 : 0;
	ws->free_region = 1;
	ws->budget = mapping_budget(&v->vm->opt);
	ws->span = REGION_PAGES;
	while (ws->span * 4 > ws->budget)
		ws->span /= 2;
	return 0;
}

void windows_free(struct vcpu *v)
{
	struct windows *ws = v->windows;
	if (!ws)
		return;
	for (u32 i = 0; i <= WINDOW_COUNT; i++)
		if (ws->window[i].base)
			munmap(ws->window[i].base - WINDOW_GUARD, WINDOW_SIZE + 2 * WINDOW_GUARD);
	free(ws->pool);
	free(ws);
	v->windows = NULL;
	v->window = v->kernel_window = NULL;
}
