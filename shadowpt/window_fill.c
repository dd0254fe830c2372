/*
 * How windows are filled (see window.h): hidden and true faults, runs of pages, room for them, and what is handed over from flat tables.
 *
 * Functions below window_fault run in a signal handler: no allocation but from pools made at start, no libc but system calls.
 */
#include "shadowpt/window_state.h"

#include <sys/mman.h>

#include "cache/smc.h"
#include "monitor/cpuid.h"
#include "monitor/debug.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/access.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/walk.h"

/* ---- room ---- */

/*
 * How many host mappings a region can be, at most: pages of a table each one and the hole behind it, those of a large page as many as there
 * are changes of rights.
 */
static u32 region_mappings(const struct region *r)
{
	u32 n = 1, was = 0;
	if (r->table_pa)
		return 2 * r->count;
	for (u32 i = 0; i < REGION_PAGES; i++) {
		u32 is = (r->mapped[i / 64] >> (i % 64) & 1) + (r->writable[i / 64] >> (i % 64) & 1);
		n += is != was;
		was = is;
	}
	return n + 1;
}

/* Counts grow with each change of rights, though most of them undo another. */
static void recount(struct vcpu *v)
{
	for (u32 i = 0; i <= WINDOW_COUNT; i++) {
		struct window *w = &v->windows->window[i];
		u32 n = 1;
		if (!w->mappings || w->lost)
			continue;
		for (u32 k = 0; k < w->live_count; k++)
			n += region_mappings(region_at(v, w->region[w->live[k]] - 1u));
		if (n < w->mappings)
			window_count_mappings(v, w, (s32)(n - w->mappings));
	}
}

static void evict_for(struct vcpu *v, struct window *keep)
{
	struct windows *ws = v->windows;
	if (ws->mappings + ws->span <= ws->budget && ws->free_region)
		return;
	recount(v);
	/* What little that may have brought would be gone with the next few fills. */
	if (ws->mappings + ws->span + ws->budget / 8 <= ws->budget && ws->free_region)
		return;
	do {
		struct window *victim = NULL;
		for (u32 i = 0; i <= WINDOW_COUNT; i++) {
			struct window *w = &ws->window[i];
			if (w != keep && w->mappings && (!victim || w->last_use < victim->last_use))
				victim = w;
		}
		v->stats.windows_evicted++;
		trace_to(LOG_PAGE, WINDOW_FMT "evicted, to make room\n", WINDOW_ARGS(v, victim ? victim : keep));
		window_reset(v, victim ? victim : keep);
		if (!victim)
			return;
	} while (ws->mappings + ws->span > ws->budget || !ws->free_region);
}

/* ---- filling ---- */

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
	return window_must_not_write(v, d) ? prot & ~PROT_WRITE : prot;
}

/* A page's entry in the page table of its region; false if there is no memory any more where that was. */
bool window_table_entry(struct vcpu *v, const struct region *r, u32 page, u64 *e)
{
	u32 n = r->entry_size == 4 ? page & 1023 : page & 511;
	const u8 *p = ram_ptr(&v->vm->mem, r->table_pa + (u64)n * r->entry_size);
	if (!p)
		return false;
	*e = r->entry_size == 4 ? *(const u32 *)p : *(const u64 *)p;
	return true;
}

u64 window_entry_frame(const struct region *r, u64 e)
{
	return e & (r->entry_size == 4 ? 0xfffff000ull : 0xffffff000ull);
}

/* What a page beside the faulting one may be mapped as without touching the guest's tables: PROT_NONE if it may not. */
int window_neighbour(struct vcpu *v, const struct window *w, const struct region *r, u32 page, u64 *pa)
{
	u64 e, both;
	if (!v->vm->mem.a20_open || !window_table_entry(v, r, page, &e))
		return PROT_NONE;
	both = e & r->pde;
	/* P and A; nothing reserved (of a PAE entry all above the address, XD too unless there is NXE); U = 1 in a user's window only. */
	if ((e & 0x21) != 0x21 || e >> CPU_PHYS_BITS & (v->efer & EFER_NXE ? 0x7ffffff : 0xfffffff) || !(both & 4) != w->kernel)
		return PROT_NONE;
	*pa = window_entry_frame(r, e);
	/* W and D. */
	bool writable = (e & 0x40) && ((both & 2) || (w->kernel && !(v->cr0 & CR0_WP)));
	return page_rights(v, page, *pa, writable ? PROT_READ | PROT_WRITE : PROT_READ);
}

/* What is to be done with a run of pages. */
enum fill { FILL_NOTHING, FILL_READ, FILL_WRITE, FILL_UPGRADE };

static void note_run(struct vcpu *v, struct window *w, u32 page, u64 pa, u32 pages, bool writable)
{
	struct memory *m = &v->vm->mem;
	struct region *r = region_at(v, w->region[page / REGION_PAGES] - 1u);
	u32 host = ram_page(m, ram_ptr(m, pa));
	for (u32 i = 0; i < pages; i++) {
		u32 n = (page + i) % REGION_PAGES;
		u64 bit = 1ull << (n % 64);
		if (!(r->mapped[n / 64] & bit))
			r->count++;
		r->mapped[n / 64] |= bit;
		r->writable[n / 64] &= ~bit;
		if (writable) {
			r->writable[n / 64] |= bit;
			window_remember_writer(v, smc_page(v, host + i), (u32)(w - v->windows->window) << 20 | (page + i));
		}
	}
}

/* Pages that are mapped at once. */
struct page_run {
	u32 page, pages;
	u64 pa;
	enum fill how;
	bool populate; /* all of it, at once; else, if it is large, as it is touched: much of it may never be */
};

static bool fill_run(struct vcpu *v, struct window *w, const struct page_run *run)
{
	struct memory *m = &v->vm->mem;
	u8 *at = w->base + (u64)run->page * PAGE_SIZE;
	size_t n = (size_t)run->pages * PAGE_SIZE;
	bool populate = run->populate || run->pages <= AROUND;
	if (run->how == FILL_UPGRADE) {
		/* The host joins it with its neighbours again, mostly; recount() finds that out. */
		if (mprotect(at, n, PROT_READ | PROT_WRITE) < 0)
			return false;
		account_pay(&w->account, COST_PROTECT);
		v->stats.window_upgrades++;
	} else {
		int prot = run->how == FILL_WRITE ? PROT_READ | PROT_WRITE : PROT_READ;
		int flags = MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0);
		if (mmap(at, n, prot, flags, m->fd, ram_ptr(m, run->pa) - m->ram) == MAP_FAILED)
			return false;
		account_pay(&w->account, COST_MAP + (populate ? run->pages * COST_PAGE : COST_LAZY));
		v->stats.window_mappings++;
		v->stats.window_pages += run->pages;
	}
	note_run(v, w, run->page, run->pa, run->pages, run->how != FILL_READ);
	trace_to(LOG_PAGE, WINDOW_FMT "%s of %08x, %u pages -> pa %llx %s\n", WINDOW_ARGS(v, w),
		 run->how == FILL_UPGRADE ? "upgrade" : "fill", run->page << PAGE_SHIFT, run->pages, (unsigned long long)run->pa,
		 run->how == FILL_READ ? "r" : "rw");
	window_count_mappings(v, w, 2);
	return true;
}

/* A page joins the run, or the run is filled and the page begins another. */
static bool add_to_run(struct vcpu *v, struct window *w, struct page_run *run, u32 page, u64 pa, enum fill how)
{
	struct memory *m = &v->vm->mem;
	bool joins = run->pages && how == run->how && page == run->page + run->pages && pa == run->pa + (u64)run->pages * PAGE_SIZE &&
		     ram_ptr(m, pa) == ram_ptr(m, run->pa) + (u64)run->pages * PAGE_SIZE;
	if (joins && how != FILL_NOTHING) {
		run->pages++;
		return true;
	}
	bool filled = !run->pages || fill_run(v, w, run);
	run->page = page;
	run->pages = how != FILL_NOTHING;
	run->pa = pa;
	run->how = how;
	return filled;
}

/*
 * What is there already with the right to write or without need of it stays: a mapping made anew is empty, and the host would populate it
 * page by page once more. A page that only lacks the right gets it, if it is certain that what is mapped there is still the page that the
 * tables mean.
 */
static enum fill what_to_do(const struct window *w, const struct region *r, u32 page, int prot, bool faulted)
{
	u32 n = page % REGION_PAGES;
	bool mapped = r->mapped[n / 64] >> (n % 64) & 1, writable = r->writable[n / 64] >> (n % 64) & 1;
	if (prot == PROT_NONE)
		return FILL_NOTHING;
	if (mapped && !faulted && (writable || !(prot & PROT_WRITE)))
		return FILL_NOTHING;
	if (mapped && !writable && (prot & PROT_WRITE) && !w->zap_count && !w->lost)
		return FILL_UPGRADE;
	return prot & PROT_WRITE ? FILL_WRITE : FILL_READ;
}

/* Pages around a fault that are looked at. A user's window that is filled from one end to the other gets ever more at a time. */
static u32 around(const struct vcpu *v, struct window *w, const struct region *r, u32 page)
{
	u32 most = v->windows->span;
	if (w->kernel)
		return r->table_pa ? AROUND : most;
	w->stride = page == w->next ? w->stride * 2 : AROUND;
	/* Each page of a table may be a mapping of its own. */
	w->stride = MIN(w->stride, MAX(AROUND, r->table_pa ? most / 2 : most));
	w->next = (page & ~(w->stride - 1)) + w->stride;
	return w->stride;
}

/*
 * The faulting page, and in runs those around it: of a page table's those that the guest has touched already, of a large page (or without
 * paging) all.
 */
static bool map_around(struct vcpu *v, struct window *w, struct region *r, u32 page, u64 pa, int prot)
{
	u32 span = around(v, w, r, page), first = page & ~(span - 1);
	struct page_run run = {.populate = !w->kernel};
	u64 p = 0;
	pa &= ~(u64)PAGE_MASK;
	for (u32 at = first; at < first + span; at++) {
		int here = PROT_NONE;
		if (at == page || (!r->table_pa && (v->vm->mem.a20_open || !((at ^ page) & A20_PAGE)))) {
			p = pa + ((u64)at - page) * PAGE_SIZE;
			here = page_rights(v, at, p, prot);
		} else if (!r->table_pa) {
			/* With a closed A20 gate a megabyte is not followed by the next. */
			;
		} else if (!(r->mapped[at % REGION_PAGES / 64] >> (at % 64) & 1)) {
			here = window_neighbour(v, w, r, at, &p);
		}
		if (!add_to_run(v, w, &run, at, p, what_to_do(w, r, at, here, at == page)))
			return false;
	}
	return add_to_run(v, w, &run, 0, 0, FILL_NOTHING);
}

static enum window_fault resolve(struct vcpu *v, struct window *w, u32 linear, bool write, u32 *error)
{
	struct walk walk;
	int acc = (w->kernel ? 0 : ACC_USER) | (write ? ACC_WRITE : ACC_READ);
	u32 page = linear >> PAGE_SHIFT;
	int err = walk_translate(v, linear, acc, &walk);
	if (err >= 0) {
		*error = (u32)err;
		return WINDOW_TRUE_FAULT;
	}
	u8 *host = ram_ptr(&v->vm->mem, walk.pa);
	/* The supervisor's window is shared by all address spaces, whose user pages differ. */
	if (!host || (w->kernel && (walk.user || policy_avoids(v, page))))
		return WINDOW_GUILTY;
	struct page_desc *d = smc_page(v, ram_page(&v->vm->mem, host));
	u32 watched = debug_watched_kinds(v, page);
	bool writable = walk.writable && !window_must_not_write(v, d) && !watched;
	if (unlikely(watched & DEBUG_READS))
		return WINDOW_GUILTY;
	if (write && !writable)
		return WINDOW_GUILTY;
	evict_for(v, w);
	struct region *r = window_need_region(v, w, page / REGION_PAGES, &walk);
	if (!r)
		return WINDOW_GUILTY;
	/* The tables themselves may be what is accessed: they are traced now. */
	writable = writable && !d->traces;
	if (write && !writable) {
		/* A region lives only while it maps something. */
		if (!r->count)
			window_drop_region(v, w, page / REGION_PAGES);
		return WINDOW_GUILTY;
	}
	v->stats.window_fills++;
	if (!map_around(v, w, r, page, walk.pa, writable ? PROT_READ | PROT_WRITE : PROT_READ)) {
		window_reset(v, w);
		return WINDOW_GUILTY;
	}
	return WINDOW_FILLED;
}

enum window_fault window_fault(struct vcpu *v, u64 offset, bool write, u32 *error)
{
	struct window *w = v->window;
	if (offset >= WINDOW_SIZE)
		return WINDOW_GUILTY; /* in a guard: an access that wraps at 4 GiB */
	account_pay(&w->account, COST_SIGNAL);
	enum window_fault result = resolve(v, w, (u32)offset, write, error);
	if (result == WINDOW_TRUE_FAULT)
		w->prefault = (u32)offset;
	return result;
}

/* The kernel has most likely mapped what a true fault asked for. The guest may never repeat it: A may be set on suspicion, D may not. */
void window_prefault(struct vcpu *v, struct window *w)
{
	u32 error, linear = w->prefault;
	w->prefault = 0;
	resolve(v, w, linear, false, &error);
}

/* ---- from the flat table ---- */

/* Pages of one region, from `page` on, that the flat table has. False if that was too much for the host. */
static bool hand_over_part(struct vcpu *v, struct window *w, struct region *r, u32 page, const struct walk *walk)
{
	u32 part = MAX(AROUND, v->windows->span / 2), first = page & ~(part - 1);
	const u64 *table = v->mmu->table[MMU_USER];
	struct page_run run = {.populate = true};
	for (u32 at = first; at < first + part; at++) {
		u64 p = (walk->pa & ~(u64)PAGE_MASK) + ((u64)at - page) * PAGE_SIZE;
		int here = PROT_NONE;
		if (!table[2 * (u64)at] || window_is_mapped(v, w, at))
			;
		else if (r->table_pa)
			here = window_neighbour(v, w, r, at, &p);
		else if (v->vm->mem.a20_open)
			here = page_rights(v, at, p, walk->writable ? PROT_READ | PROT_WRITE : PROT_READ);
		if (!add_to_run(v, w, &run, at, p, what_to_do(w, r, at, here, false)))
			return false;
	}
	return add_to_run(v, w, &run, 0, 0, FILL_NOTHING);
}

/* Whether an entry of the log (softmmu.h) stands for a page of the user's that is still in the flat table. */
static bool logged_user_page(const struct vcpu *v, u32 which, u32 *page)
{
	*page = which >> 1;
	return (which & 1) == MMU_USER && v->mmu->table[MMU_USER][2 * (u64)*page];
}

u64 window_price(const struct vcpu *v)
{
	const u64 *table = v->mmu->table[MMU_USER];
	u64 price = 0;
	for (int global = 0; global < 2; global++) {
		const struct mmu_log *l = &v->mmu->log[global];
		for (u32 i = 0, page; i < l->n; i++) {
			if (!logged_user_page(v, l->page[i], &page))
				continue;
			/* Pages that lie side by side here and there have the same delta. */
			bool joins = page && table[2 * (u64)(page - 1)] == table[2 * (u64)page];
			price += COST_PAGE + (joins ? 0 : COST_MAP);
		}
	}
	return price;
}

void window_hand_over(struct vcpu *v, struct window *w, s64 least)
{
	struct windows *ws = v->windows;
	for (int global = 0; global < 2; global++) {
		const struct mmu_log *l = &v->mmu->log[global];
		/* The latest come first. */
		for (u32 i = l->n, page; i-- > 0;) {
			struct walk walk;
			if (!logged_user_page(v, l->page[i], &page) || window_is_mapped(v, w, page))
				continue;
			if (w->account.balance <= least || ws->mappings + 2 * ws->span > ws->budget)
				return;
			if (walk_translate(v, page << PAGE_SHIFT, ACC_USER | ACC_READ, &walk) >= 0)
				continue;
			struct region *r = window_need_region(v, w, page / REGION_PAGES, &walk);
			if (!r)
				return;
			if (!hand_over_part(v, w, r, page, &walk)) {
				window_reset(v, w);
				return;
			}
			/* A region lives only while it maps something. */
			if (!r->count)
				window_drop_region(v, w, page / REGION_PAGES);
		}
	}
}
