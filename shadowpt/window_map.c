/*
 * What is in windows (see window.h): regions, traces of page tables, zaps; and how the supervisor's goes from one address space to another.
 *
 * What window_fill.c calls runs in a signal handler: no allocation but from pools made at start, no libc but system calls.
 */
#include "shadowpt/window_state.h"

#include <string.h>
#include <sys/mman.h>

#include "cache/smc.h"
#include "monitor/trace.h"
#include "monitor/vm.h"
#include "shadowpt/softmmu.h"
#include "shadowpt/walk.h"

struct page_desc *window_page_desc(struct vcpu *v, u64 pa)
{
	u8 *host = ram_ptr(&v->vm->mem, pa);
	return host ? smc_page(v, ram_page(&v->vm->mem, host)) : NULL;
}

/* Code, or tables that a window depends on; or code that is rewritten again and again, where each change of rights would cost system calls.
 */
bool window_must_not_write(const struct vcpu *v, const struct page_desc *d)
{
	return d->granules || d->traces || smc_is_churned(v, d);
}

/* ---- uses of guest pages as page tables ---- */

static u64 use_pa(const struct region *r, u32 which)
{
	return which ? r->table_pa : r->pde_pa;
}

static void add_use(struct vcpu *v, u32 index, u32 which)
{
	struct region *r = region_at(v, index);
	u64 pa = use_pa(r, which);
	u8 *host = ram_ptr(&v->vm->mem, pa);
	struct page_desc *d = window_page_desc(v, pa);
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

void window_drop_region(struct vcpu *v, struct window *w, u32 number)
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

struct region *window_need_region(struct vcpu *v, struct window *w, u32 number, const struct walk *walk)
{
	struct windows *ws = v->windows;
	if (w->region[number])
		return region_at(v, w->region[number] - 1u);
	if (!ws->free_region)
		return NULL;
	u32 index = ws->free_region - 1;
	struct region *r = region_at(v, index);
	if (walk->paged && (!window_page_desc(v, walk->pde_pa) || (walk->table_pa && !window_page_desc(v, walk->table_pa))))
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

/* ---- unmapping ---- */

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
	if (reserve(w, page, pages))
		return;
	reserve(w, 0, 1u << 20);
	w->lost = true;
}

void window_count_mappings(struct vcpu *v, struct window *w, s32 n)
{
	w->mappings += (u32)n;
	v->windows->mappings += (u32)n;
}

void window_reset(struct vcpu *v, struct window *w)
{
	if (!w->mappings && !w->live_count)
		return;
	trace_to(LOG_PAGE, WINDOW_FMT "emptied, %u regions\n", WINDOW_ARGS(v, w), w->live_count);
	account_pay(&w->account, COST_UNMAP + w->mappings / 2 * COST_MAPPING);
	unmap(w, 0, 1u << 20);
	while (w->live_count)
		window_drop_region(v, w, w->live[w->live_count - 1]);
	window_count_mappings(v, w, -(s32)w->mappings);
	w->zap_count = 0;
	w->lost = false;
	v->stats.window_resets++;
}

static void zap_region(struct vcpu *v, struct window *w, u32 number)
{
	trace_to(LOG_PAGE, WINDOW_FMT "zap of %08x, 512 pages\n", WINDOW_ARGS(v, w), number << REGION_SHIFT);
	account_pay(&w->account, COST_UNMAP + region_at(v, w->region[number] - 1u)->count * COST_PAGE / 2);
	unmap(w, number * REGION_PAGES, REGION_PAGES);
	window_drop_region(v, w, number);
	v->stats.window_zaps++;
	/* A window without regions is empty, whatever the count of its mappings has come to. */
	if (w->live_count)
		return;
	window_count_mappings(v, w, -(s32)w->mappings);
	w->zap_count = 0;
}

bool window_is_mapped(struct vcpu *v, const struct window *w, u32 page)
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
		window_drop_region(v, w, page / REGION_PAGES);
}

static void zap_pages(struct vcpu *v, struct window *w, u32 page, u32 pages)
{
	trace_to(LOG_PAGE, WINDOW_FMT "zap of %08x, %u pages\n", WINDOW_ARGS(v, w), page << PAGE_SHIFT, pages);
	unmap(w, page, pages);
	/* A hole in the middle of a mapping makes two of it. */
	window_count_mappings(v, w, 1);
	account_pay(&w->account, COST_UNMAP);
	v->stats.window_zaps++;
	for (u32 i = 0; i < pages; i++)
		if (window_is_mapped(v, w, page + i))
			forget_page(v, w, page + i);
	if (w->kernel && pages == 1)
		policy_page_zapped(v, page);
}

/* Does the queued zaps, neighbours together. */
void window_flush_zaps(struct vcpu *v, struct window *w)
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
		window_reset(v, w);
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
	struct page_desc *d = window_page_desc(v, pa);
	if (likely(!d || !d->traces))
		return;
	v->stats.table_writes++;
	for (u32 link = d->traces, next; link; link = next) {
		u32 index = (link - 1) / 2, which = (link - 1) & 1;
		struct region *r = region_at(v, index);
		struct window *w = &v->windows->window[r->window];
		u32 number = r->number;
		next = r->next_use[which];
		account_pay(&w->account, COST_TABLE_WRITE);
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
			if (window_is_mapped(v, w, page)) {
				queue_zap(v, w, page);
				if (!w->region[number]) {
					next = d->traces;
					break;
				}
			}
		}
	}
}

bool window_is_writable(struct vcpu *v, u32 which)
{
	struct window *w = &v->windows->window[which >> 20];
	u32 page = which & 0xfffff, index = w->region[page / REGION_PAGES];
	return index && (region_at(v, index - 1)->writable[page % REGION_PAGES / 64] >> (page % 64) & 1);
}

static void protect_run(struct vcpu *v, struct window *w, u32 page, u32 pages)
{
	trace_to(LOG_PAGE, WINDOW_FMT "%08x, %u pages, is read-only now\n", WINDOW_ARGS(v, w), page << PAGE_SHIFT, pages);
	if (mprotect(w->base + (u64)page * PAGE_SIZE, (u64)pages * PAGE_SIZE, PROT_READ) < 0) {
		reserve(w, 0, 1u << 20);
		w->lost = true;
	}
	/* It may split a mapping in three. */
	account_pay(&w->account, COST_PROTECT);
	window_count_mappings(v, w, 2);
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
				for (run = 0; n + run < REGION_PAGES && window_is_writable(v, i << 20 | (first + n + run)); run++)
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
		if (window_is_writable(v, d->window_writer[i]))
			protect_run(v, &v->windows->window[d->window_writer[i] >> 20], d->window_writer[i] & 0xfffff, 1);
	d->window_writers = 0;
}

void window_remember_writer(struct vcpu *v, struct page_desc *d, u32 which)
{
	u32 kept = 0;
	for (u32 i = 0; i < d->window_writers && i < WINDOW_WRITERS; i++)
		if (d->window_writer[i] == which)
			return;
	/* Those that are not writable any more make room. */
	if (d->window_writers == WINDOW_WRITERS) {
		for (u32 i = 0; i < WINDOW_WRITERS; i++)
			if (window_is_writable(v, d->window_writer[i]))
				d->window_writer[kept++] = d->window_writer[i];
		d->window_writers = (u8)kept;
	}
	if (d->window_writers < WINDOW_WRITERS)
		d->window_writer[d->window_writers] = which;
	if (d->window_writers <= WINDOW_WRITERS)
		d->window_writers++;
}

/* ---- the supervisor's window goes from one address space to another ---- */

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
	if (!link || !window_page_desc(v, pa))
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
	n.table_pa = window_entry_frame(r, e);
	/* P, A, and no large page. */
	if (!r->table_pa || (e & 0xa1) != 0x21 || !window_page_desc(v, n.table_pa))
		return false;
	for (u32 k = 0; k < REGION_PAGES / 64; k++) {
		for (u64 bits = r->mapped[k]; bits; bits &= bits - 1) {
			u32 at = k * 64 + (u32)__builtin_ctzll(bits), page = r->number * REGION_PAGES + at;
			u64 pa = 0, was;
			int prot = window_neighbour(v, w, &n, page, &pa);
			if (!window_table_entry(v, r, page, &was))
				return false;
			if (prot != PROT_NONE && pa != window_entry_frame(r, was)) {
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
		window_count_mappings(v, w, 1);
		forget_page(v, w, dirty[i]);
	}
	v->stats.window_rebinds++;
	return true;
}

/* The supervisor's window goes over to the current address space. */
void window_switch_kernel(struct vcpu *v, struct window *w)
{
	u64 root[4];
	bool held = true;
	roots(v, root);
	for (u32 i = w->live_count; i-- > 0;) {
		struct region *r = region_at(v, w->region[w->live[i]] - 1u);
		u64 pde_pa, e;
		if (directory_entry(v, r, root, &pde_pa, &e) && (same_entry(r, e) || rebind(v, w, r, pde_pa, e)))
			continue;
		policy_region_differs(v, r->number);
		zap_region(v, w, r->number);
	}
	for (int i = 0; i < 4; i++) {
		if (w->root[i] && region_at(v, w->root[i] - 1)->pde_pa == root[i])
			continue;
		release_root(v, w, i);
		held &= !root[i] || hold_root(v, w, i, root[i]);
	}
	w->used = held;
	if (held)
		return;
	window_reset(v, w);
	if (v->window == w)
		v->window = NULL;
}

void window_release_roots(struct vcpu *v, struct window *w)
{
	for (int i = 0; i < 4; i++)
		release_root(v, w, i);
}
